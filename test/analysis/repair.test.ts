/** λ-repair: against PEFT's reduce_intruder_dimension, exactly at any rank, of whole checkpoints, and what it refuses. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { scaled } from "../../src/analysis/measures/intervention.ts";
import { repairAdapter } from "../../src/analysis/repair.ts";
import { addProduct, openPairs } from "../../src/analysis/weight-pairs.ts";
import { LowrankError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { svd } from "../../src/linear-algebra/svd.ts";
import { gaussian, scaledBy, withIntruders, writeTensors } from "./planted.ts";

const GOLDEN = new URL("../../../golden/repair/", import.meta.url).pathname;
const METHODS = new URL("../../../golden/peft-methods/", import.meta.url).pathname;
const BASES = new URL("../../../golden/causal-lm/", import.meta.url).pathname;
const [BASE, ADAPTER] = [join(GOLDEN, "base.safetensors"), join(GOLDEN, "adapter")];
/** PEFT decomposes in float32. */
const FLOAT32 = 3e-6;

interface Case {
  readonly top_k: number;
  readonly threshold_epsilon: number;
  readonly mitigation_lambda: number;
  readonly intruders: Readonly<Record<string, number>>;
}

suite("repair", async () => {
  let root: string;
  let folders = 0;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-repair-"));
  });
  after(() => rm(root, { recursive: true }));
  const options = { cacheDir: false, threads: 1 } as const;
  const fresh = () => join(root, String(++folders));

  const { cases } = JSON.parse(await readFile(join(GOLDEN, "expected.json"), "utf8")) as {
    cases: Record<string, Case>;
  };
  for (const [name, { top_k: k, threshold_epsilon: epsilon, mitigation_lambda: lambda, intruders }] of Object.entries(
    cases,
  )) {
    test(`${name}: the intruders that PEFT finds, and its new update (λ ${lambda}, k ${k}, ε ${epsilon})`, async () => {
      const out = fresh();
      const { report, isWritten } = await repairAdapter(BASE, ADAPTER, { ...options, out, k, epsilon, lambda });
      assert.ok(isWritten);
      assert.deepEqual(
        Object.fromEntries(report.matrices.map((each) => [each.name.replace(".weight", ""), each.intruders_before])),
        intruders,
      );
      const expected = await openSafetensors(join(GOLDEN, "expected.safetensors"));
      try {
        for (const [module, made] of await updatesOf(out)) {
          near(made, await expected.readFloat32(`${name}.${module}`), FLOAT32);
        }
      } finally {
        await expected.close();
      }
      const config = JSON.parse(await readFile(join(out, "adapter_config.json"), "utf8")) as Record<string, unknown>;
      assert.deepEqual([config["r"], config["lora_alpha"], config["rank_pattern"]], [4, 10, {}]);
      assert.ok(existsSync(join(out, "repair.json")));
      // Every refactored layer has lost what its rank cuts off; the one without intruders is as it was.
      for (const each of report.matrices) {
        assert.equal(each.truncation_error > 0, each.intruders_before > 0, each.name);
        assert.equal(each.rank, 4);
      }
    });
  }

  test("what belongs to the adapter beside its weights comes along, and nothing of an earlier repair stays", async () => {
    const [from, out] = [fresh(), fresh()];
    await cp(ADAPTER, from, { recursive: true });
    const companions = {
      "labels.json": '["bad","good"]',
      "tokenizer.json": "{}",
      "tokenizer_config.json": "{}",
      "chat_template.jinja": "{{ messages }}",
      "additional_chat_templates/tool.jinja": "{{ tools }}",
    };
    await mkdir(join(from, "additional_chat_templates"));
    for (const [name, text] of Object.entries(companions)) await writeFile(join(from, name), text);
    await writeFile(join(from, "trainer_state.json"), "{}");
    await repairAdapter(BASE, from, { ...options, out, lambda: 0.5 });
    for (const [name, text] of Object.entries(companions)) assert.equal(await readFile(join(out, name), "utf8"), text);
    assert.equal(existsSync(join(out, "trainer_state.json")), false);
    await repairAdapter(BASE, ADAPTER, { ...options, out, lambda: 0.5 });
    assert.deepEqual((await readdir(out)).toSorted(), [
      "adapter_config.json",
      "adapter_model.safetensors",
      "repair.json",
    ]);
  });

  test("a layer without intruders keeps its factors to the bit; λ = 1 keeps all", async () => {
    const [half, one] = [fresh(), fresh()];
    await repairAdapter(BASE, ADAPTER, { ...options, out: half, lambda: 0.5 });
    await repairAdapter(BASE, ADAPTER, { ...options, out: one, lambda: 1 });
    const bytes = async (dir: string, layer: string) => {
      const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
      const found = await Promise.all(["A", "B"].map((x) => file.read(`base_model.model.${layer}.lora_${x}.weight`)));
      await file.close();
      return found;
    };
    for (const layer of ["wide", "tall", "calm"])
      assert.deepEqual(await bytes(one, layer), await bytes(ADAPTER, layer));
    assert.deepEqual(await bytes(half, "calm"), await bytes(ADAPTER, "calm"));
    assert.notDeepEqual(await bytes(half, "wide"), await bytes(ADAPTER, "wide"));
  });

  for (const topOnly of [false, true]) {
    test(`exact: W(λ) as the paper writes it${topOnly ? ", of the highest-ranking intruder alone" : ""}`, async () => {
      const out = fresh();
      const lambda = 0.3;
      const { report } = await repairAdapter(BASE, ADAPTER, { ...options, out, lambda, rank: "exact", topOnly });
      const pairs = await openPairs(BASE, ADAPTER);
      const made = await updatesOf(out);
      try {
        for (const pair of pairs.pairs) {
          const { base, tuned } = await pair.load();
          const {
            scaled_ranks: ranks,
            rank,
            truncation_error: error,
          } = report.matrices.find(({ name }) => name === pair.name)!;
          const places = ranks.map((each) => each - 1);
          const wanted = scaled(tuned!, svd(tuned!), places, lambda);
          near(
            made.get(pair.module!)!,
            wanted.data.map((value, i) => value - base!.data[i]!),
            1e-6,
          );
          assert.equal(error < 1e-6, true);
          assert.equal(rank, 4 + ranks.length);
          assert.ok(!topOnly || ranks.length <= 1);
        }
      } finally {
        await pairs.close();
      }
      assert.ok(report.intruders_after < report.intruders_before);
    });
  }

  test("--rank: as many directions as were asked for", async () => {
    const out = fresh();
    const { report } = await repairAdapter(BASE, ADAPTER, { ...options, out, lambda: 0.3, rank: 2 });
    assert.deepEqual(
      report.matrices.map(({ name, rank }) => [name, rank]),
      [
        ["calm.weight", 4],
        ["tall.weight", 2],
        ["wide.weight", 2],
      ],
    );
    const pairs = await openPairs(BASE, out);
    for (const pair of pairs.pairs) {
      const { delta } = await pair.load();
      assert.equal("kind" in delta && delta.B.length, pair.name === "calm.weight" ? 4 : 2);
    }
    await pairs.close();
  });

  for (const method of ["adalora-pruned", "lora-rslora", "pissa", "lora-embedding", "lora-bias"] as const) {
    test(`${method}: repaired with all its directions, as a plain LoRA`, async () => {
      const base = join(BASES, method === "lora-embedding" ? "qwen2-window" : "qwen2-tied");
      const out = fresh();
      const { report } = await repairAdapter(base, join(METHODS, method), {
        ...options,
        out,
        lambda: 0,
        epsilon: 0.6,
        rank: "exact",
      });
      const [before, after] = [await openPairs(base, join(METHODS, method)), await openPairs(base, out)];
      try {
        assert.deepEqual(
          after.pairs.map(({ name }) => name),
          before.pairs.map(({ name }) => name),
        );
        for (const [i, pair] of before.pairs.entries()) {
          const { base: W, tuned } = await pair.load();
          const { scaled_ranks: ranks } = report.matrices.find(({ name }) => name === pair.name)!;
          const wanted = scaled(
            tuned!,
            svd(tuned!),
            ranks.map((rank) => rank - 1),
            0,
          );
          const got = (await after.pairs[i]!.load()).tuned!;
          near(
            got.data.map((x, at) => x - W!.data[at]!),
            wanted.data.map((x, at) => x - W!.data[at]!),
            2e-6,
          );
        }
      } finally {
        await before.close();
        await after.close();
      }
      assert.ok(report.matrices.some(({ scaled_ranks: ranks }) => ranks.length > 0));
    });
  }

  test("an update that has no factors needs a rank", async () => {
    const [base, adapter] = [join(BASES, "qwen2-tied"), join(METHODS, "loha")];
    await rejects(
      repairAdapter(base, adapter, { ...options, out: fresh(), lambda: 0, epsilon: 0.9 }),
      /loha.*--rank 16/s,
    );
    const { report } = await repairAdapter(base, adapter, {
      ...options,
      out: fresh(),
      lambda: 0,
      epsilon: 0.9,
      rank: 6,
    });
    assert.ok(report.matrices.every(({ rank, rank_before: before }) => rank === 6 && before === null));
    assert.match(report.warnings.join(), /plain LoRA/);
  });

  test("a whole model: its matrices are scaled, every other tensor is the same to the byte", async () => {
    const [dir, out] = [fresh(), fresh()];
    await mkdir(dir);
    const name = "model.layers.0.q_proj.weight";
    const w = gaussian([96, 104], 1);
    const rest = { "model.norm.weight": gaussian([96], 2), "model.embed_tokens.weight": gaussian([20, 96], 3) };
    const base = await writeTensors(join(root, "whole.safetensors"), { [name]: w, ...rest });
    const tuned = withIntruders(w, 2, 30);
    const moved = {
      "model.norm.weight": scaledBy(rest["model.norm.weight"], 2),
      "model.embed_tokens.weight": rest["model.embed_tokens.weight"],
    };
    await writeTensors(join(dir, "model.safetensors"), { [name]: tuned, ...moved });
    for (const file of ["config.json", "tokenizer.json", "trainer_state.json"]) await writeFile(join(dir, file), "{}");
    const { report } = await repairAdapter(base, dir, { ...options, out, lambda: 0 });
    assert.deepEqual([report.intruders_before, report.intruders_after], [2, 0]);
    const file = await openSafetensors(join(out, "model.safetensors"));
    const matrix = { rows: 96, columns: 104, data: tuned.values };
    near(await file.readFloat32(name), scaled(matrix, svd(matrix), [0, 1], 0).data, 1e-6);
    for (const [each, { values }] of Object.entries(moved)) assert.deepEqual(await file.readFloat32(each), values);
    await file.close();
    const files = ["config.json", "model.safetensors", "repair.json", "tokenizer.json"];
    assert.deepEqual((await readdir(out)).toSorted(), files);
    await rejects(repairAdapter(base, dir, { ...options, out, lambda: 0, rank: 3 }), /no rank to keep/);
    // Once more, into the same folder: what the model has not any more goes.
    await rm(join(dir, "tokenizer.json"));
    await repairAdapter(base, dir, { ...options, out, lambda: 0.5 });
    assert.deepEqual((await readdir(out)).toSorted(), files.slice(0, -1));
  });

  test("no intruders: nothing is written, unless it is asked for", async () => {
    const out = fresh();
    const calm = { ...options, out, epsilon: 0.01, lambda: 0.5 };
    const { report, isWritten } = await repairAdapter(BASE, ADAPTER, calm);
    assert.deepEqual([isWritten, report.intruders_before, existsSync(out)], [false, 0, false]);
    await repairAdapter(BASE, ADAPTER, { ...calm, force: true });
    const [before, after] = [await updatesOf(ADAPTER), await updatesOf(out)];
    assert.deepEqual(after, before);
  });

  test("folders that are not free, and settings that are out of range", async () => {
    const out = fresh();
    await mkdir(out);
    await writeFile(join(out, "thesis.txt"), "");
    await rejects(repairAdapter(BASE, ADAPTER, { ...options, out }), /has files in it and is no earlier repair/);
    await rejects(repairAdapter(BASE, ADAPTER, { ...options, out: fresh(), lambda: NaN }), /lambda/);
    await rejects(repairAdapter(BASE, ADAPTER, { ...options, out: fresh(), rank: 0 }), /rank/);
    await rejects(repairAdapter(ADAPTER, BASE, { ...options, out: fresh() }), /is an adapter, and cannot be the base/);
    const again = fresh();
    await repairAdapter(BASE, ADAPTER, { ...options, out: again, lambda: 0.2 });
    await repairAdapter(BASE, ADAPTER, { ...options, out: again, lambda: 0.4 });
  });
});

/** ΔW of each module, [out, in]. */
async function updatesOf(adapter: string): Promise<Map<string, Float64Array>> {
  const opened = await openPairs(BASE, adapter);
  try {
    const found = new Map<string, Float64Array>();
    for (const pair of opened.pairs) {
      const { module, shape } = pair;
      const { delta } = await pair.load();
      assert.ok("kind" in delta);
      const data = new Float64Array(shape[0] * shape[1]);
      addProduct(data, delta);
      found.set(module!, data);
    }
    return found;
  } finally {
    await opened.close();
  }
}

/** Relative to the norm of what is expected. */
function near(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  assert.equal(got.length, expected.length);
  const norm = Math.hypot(...Array.from(expected));
  const off = Math.hypot(...Array.from(expected, (value, i) => value - got[i]!));
  assert.ok(norm > 0 && off <= tolerance * norm, `${off / norm}`);
}

async function rejects(promise: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error: unknown = await promise.catch((reason: unknown) => reason);
  assert.ok(error instanceof LowrankError, String(error));
  assert.match(error.message, pattern);
}
