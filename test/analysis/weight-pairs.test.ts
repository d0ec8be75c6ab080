/** Which weights are compared, in which orientation and precision, and what is said of the others. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { alignNames } from "../../src/analysis/align-names.ts";
import { kindOf, transposedWeights } from "../../src/analysis/matrix-kind.ts";
import { openPairs, UNCHANGED, type WeightPairs } from "../../src/analysis/weight-pairs.ts";
import { LowrankError, NumericError } from "../../src/errors.ts";
import type { Matrix } from "../../src/linear-algebra/svd.ts";
import { gaussian, scaledBy, type Tensor, writeTensors } from "./planted.ts";

suite("pairs of weights", () => {
  let root: string;
  const opened: WeightPairs[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-pairs-"));
  });
  after(async () => {
    for (const pairs of opened) await pairs.close();
    await rm(root, { recursive: true });
  });

  let files = 0;
  const file = (tensors: Readonly<Record<string, Tensor>>, dtype?: "F32" | "F16" | "BF16") =>
    writeTensors(join(root, `${++files}.safetensors`), tensors, dtype);
  const pairsOf = async (...args: Parameters<typeof openPairs>) => {
    const pairs = await openPairs(...args);
    opened.push(pairs);
    return pairs;
  };
  const refused = async (...args: Parameters<typeof openPairs>) => {
    const error: unknown = await pairsOf(...args).catch((reason: unknown) => reason);
    assert.ok(error instanceof LowrankError, String(error));
    return error.message;
  };

  test("linear weights are taken; embeddings, heads, vectors and what only one side has are listed", async () => {
    const base = {
      "model.layers.0.mlp.up_proj.weight": gaussian([12, 8], 1),
      "model.layers.10.mlp.up_proj.weight": gaussian([12, 8], 2),
      "model.layers.2.mlp.up_proj.weight": gaussian([12, 8], 3),
      "model.embed_tokens.weight": gaussian([30, 8], 4),
      "lm_head.weight": gaussian([30, 8], 5),
      "model.norm.weight": gaussian([8], 6),
      "model.old.weight": gaussian([4, 8], 7),
    };
    const { "model.old.weight": _, ...rest } = base;
    const tuned = Object.fromEntries(Object.entries(rest).map(([name, tensor]) => [name, scaledBy(tensor, 1.5)]));
    const [a, b] = [await file(base), await file({ ...tuned, "score.weight": gaussian([2, 8], 8) })];
    const { pairs, skipped } = await pairsOf(a, b);
    assert.deepEqual(
      pairs.map(({ name }) => name),
      [0, 2, 10].map((i) => `model.layers.${i}.mlp.up_proj.weight`),
    );
    const reasons = new Map(skipped.map(({ name, reason }) => [name, reason]));
    assert.match(reasons.get("model.embed_tokens.weight")!, /embedding.*--embeddings/);
    assert.match(reasons.get("lm_head.weight")!, /output layer.*--embeddings/);
    assert.match(reasons.get("model.norm.weight")!, /vector/);
    assert.equal(reasons.get("model.old.weight"), "only the base has it");
    assert.equal(reasons.get("score.weight"), "only the tuned one has it");
    const all = await pairsOf(a, b, { embeddings: true });
    assert.deepEqual(
      all.pairs.map(({ name }) => name).toSorted(),
      Object.keys(rest)
        .filter((name) => !name.includes("norm"))
        .toSorted(),
    );
    const some = await pairsOf(a, b, { filter: "*layers.10.*" });
    assert.deepEqual(
      some.pairs.map(({ name }) => name),
      ["model.layers.10.mlp.up_proj.weight"],
    );
    assert.match(await refused(a, b, { filter: "*q_prj*" }), /--filter.*q_prj.*up_proj/);
  });

  test("a prefix that one side lacks, and a head that is tied on one side", async () => {
    const [w, table] = [gaussian([12, 8], 1), gaussian([30, 8], 2)];
    const base = await file({ "model.layers.0.up_proj.weight": w, "model.embed_tokens.weight": table });
    const tuned = await file({
      "layers.0.up_proj.weight": scaledBy(w, 2),
      "embed_tokens.weight": table,
      "lm_head.weight": table,
    });
    for (const [a, b] of [
      [base, tuned],
      [tuned, base],
    ] as const) {
      const { pairs } = await pairsOf(a, b);
      assert.equal(pairs.length, 1);
      const { delta } = await pairs[0]!.load();
      const factor = a === base ? 1 : -1;
      assert.deepEqual(
        Array.from((delta as Matrix).data),
        Array.from(w.values, (value) => factor * value),
      );
    }
  });

  test("the same weights are the same, in every type and across two", async () => {
    const w = { "a.up_proj.weight": gaussian([9, 7], 1) };
    const unchanged = async (a: string, b: string) => {
      const { pairs, warnings } = await pairsOf(a, b);
      return { unchanged: (await pairs[0]!.load()).unchanged, warnings };
    };
    for (const dtype of ["F32", "BF16", "F16"] as const) {
      const same = await unchanged(await file(w, dtype), await file(w, dtype));
      assert.deepEqual(same, { unchanged: UNCHANGED, warnings: [] });
    }
    for (const dtype of ["BF16", "F16"] as const) {
      const narrow = await unchanged(await file(w, dtype), await file(w));
      assert.match(narrow.unchanged!, new RegExp(`equal in ${dtype}`));
      assert.match(narrow.warnings.join(), new RegExp(`stored as ${dtype} in the base and F32 in the tuned`));
    }
    const moved = { "a.up_proj.weight": scaledBy(w["a.up_proj.weight"], 1.02) };
    assert.equal((await unchanged(await file(w, "F16"), await file(moved))).unchanged, undefined);
  });

  test("GPT-2's weights are turned, kernels are flattened", async () => {
    const tensors = {
      "h.0.attn.c_attn.weight": gaussian([4, 12], 1),
      "h.0.attn.c_proj.weight": gaussian([4, 4], 2),
      "h.0.mlp.c_proj.weight": gaussian([16, 4], 3),
      "conv1.weight": gaussian([6, 3, 2, 2], 4),
    };
    const zeros = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, scaledBy(tensor, 0.5)]));
    const { pairs } = await pairsOf(await file(tensors), await file(zeros));
    const shapes = Object.fromEntries(pairs.map(({ name, shape }) => [name, shape]));
    assert.deepEqual(shapes, {
      "h.0.attn.c_attn.weight": [12, 4],
      "h.0.attn.c_proj.weight": [4, 4],
      "h.0.mlp.c_proj.weight": [4, 16],
      "conv1.weight": [6, 12],
    });
    const { base } = await pairs.find(({ name }) => name.includes("attn.c_proj"))!.load();
    assert.equal(base!.data[1], tensors["h.0.attn.c_proj.weight"].values[4]);
  });

  test("layers of these names that are not GPT-2's stay as they are", () => {
    const starcoder = [
      ["transformer.h.0.attn.c_attn.weight", [12, 4]],
      ["transformer.h.0.mlp.c_fc.weight", [16, 4]],
      ["transformer.h.0.attn.c_proj.weight", [4, 4]],
    ] as const;
    assert.equal(transposedWeights(starcoder).size, 0);
  });

  test("a number that is not finite is named", async () => {
    const w = gaussian([6, 5], 1);
    const broken = { shape: w.shape, values: Float32Array.from(w.values) };
    broken.values[7] = NaN;
    const { pairs } = await pairsOf(await file({ "x.up.weight": w }), await file({ "x.up.weight": broken }));
    await assert.rejects(pairs[0]!.load(), (error: unknown) => {
      assert.ok(error instanceof NumericError);
      assert.match(error.message, /x\.up\.weight.*not finite: element 7.*NaN/);
      return true;
    });
  });

  test("another architecture, and nothing in common", async () => {
    const base = await file({ "a.up.weight": gaussian([6, 5], 1), "b.up.weight": gaussian([6, 5], 2) });
    const wider = await file({ "a.up.weight": gaussian([8, 5], 1), "b.up.weight": gaussian([8, 5], 2) });
    assert.match(await refused(base, wider), /another architecture.*\[6, 5\] in the base and \[8, 5\]/s);
    assert.match(await refused(base, await file({ "c.down.weight": gaussian([6, 5], 1) })), /has no weight of/);
    const partly = await pairsOf(
      base,
      await file({ "a.up.weight": gaussian([8, 5], 1), "b.up.weight": gaussian([6, 5], 3) }),
    );
    assert.deepEqual(
      partly.pairs.map(({ name }) => name),
      ["b.up.weight"],
    );
    assert.match(partly.warnings.join(), /1 weight has another shape.*a\.up\.weight/);
  });

  test("what is no weights at all is said, and what to give instead", async () => {
    const base = await file({ "a.up.weight": gaussian([6, 5], 1) });
    await writeFile(join(root, "notes.txt"), "hello");
    assert.match(await refused(base, join(root, "notes.txt")), /holds no weights/);
    assert.match(await refused(base, root), /neither weights nor an adapter/);
    assert.match(await refused(undefined, base), /compared with its base/);
    await writeFile(join(root, "empty.safetensors"), "");
    assert.match(await refused(base, join(root, "empty.safetensors")), /too short/);
    await writeFile(join(root, "pickle.bin"), "not a pickle");
    assert.match(await refused(base, join(root, "pickle.bin")), /pickle\.bin/);
  });
});

test("names are aligned by what stands before them, and never two to one", () => {
  const aligned = alignNames(["model.a.w", "model.b.w", "c.w"], ["a.w", "b.w", "x.c.w", "y.c.w"]);
  assert.deepEqual(Object.fromEntries(aligned), { "model.a.w": "a.w", "model.b.w": "b.w" });
  const twice = alignNames(["encoder.a.w", "decoder.a.w"], ["a.w"]);
  assert.equal(twice.size, 0);
});

test("kinds follow from names and shapes", () => {
  const kinds: Readonly<Record<string, [readonly number[], string]>> = {
    "roberta.embeddings.word_embeddings.weight": [[50, 8], "embedding"],
    "transformer.wte.weight": [[50, 8], "embedding"],
    "bert.encoder.layer.0.output.dense.weight": [[8, 8], "matrix"],
    "roberta.encoder.layer.0.attention.self.query.weight": [[8, 8], "matrix"],
    "lm_head.weight": [[50, 8], "output"],
    "blk.ffn_gate_exps.experts.weight": [[4, 8, 8], "none"],
    "visual.patch_embed.proj.weight": [[8, 3, 4, 4], "matrix"],
    "mamba.A_log": [[8, 4], "matrix"],
    "gate.weight": [[1, 8], "none"],
  };
  for (const [name, [shape, kind]] of Object.entries(kinds)) assert.equal(kindOf(name, shape).kind, kind, name);
});
