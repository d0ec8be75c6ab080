/** Adapters of models that are known by the names of their tensors alone, as PEFT leaves them. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { openPairs } from "../../src/analysis/weight-pairs.ts";
import { LowrankError } from "../../src/errors.ts";
import { gaussian, type Tensor, writeTensors } from "./planted.ts";

const LANGUAGE = new URL("../../../golden/peft-language/", import.meta.url).pathname;

const NAMES: string[] = [];
for (const name of await readdir(LANGUAGE)) {
  if ((await stat(join(LANGUAGE, name, "adapter_config.json")).catch(() => undefined)) !== undefined) NAMES.push(name);
}

suite("adapters on checkpoints", () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-adapter-folders-"));
  });
  after(() => rm(root, { recursive: true }));

  let count = 0;
  async function adapter(tensors: Readonly<Record<string, Tensor>>, settings: object): Promise<string> {
    const dir = join(root, `adapter-${++count}`);
    await mkdir(dir);
    const named = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [`base_model.model.${name}`, tensor]),
    );
    await writeTensors(join(dir, "adapter_model.safetensors"), named);
    const config = { peft_type: "LORA", r: 2, lora_alpha: 6, ...settings };
    await writeFile(join(dir, "adapter_config.json"), JSON.stringify(config));
    return dir;
  }

  for (const prefix of ["", "roberta."]) {
    test(`a classifier's adapter on an encoder whose names begin with "${prefix}": its layers, its head apart`, async () => {
      const base = await writeTensors(join(root, `encoder-${prefix}.safetensors`), {
        [`${prefix}embeddings.word_embeddings.weight`]: gaussian([30, 12], 1),
        [`${prefix}encoder.layer.0.attention.self.query.weight`]: gaussian([12, 12], 2),
        [`${prefix}encoder.layer.0.output.dense.weight`]: gaussian([12, 20], 3),
        // Called as a target is, and no target: classifiers have no such layers.
        ...(prefix === ""
          ? { "pooler.dense.weight": gaussian([12, 12], 4) }
          : { "lm_head.dense.weight": gaussian([12, 12], 5) }),
      });
      const [A, B] = [gaussian([2, 20], 6, 1), gaussian([12, 2], 7, 1)];
      const dir = await adapter(
        {
          "roberta.encoder.layer.0.output.dense.lora_A.weight": A,
          "roberta.encoder.layer.0.output.dense.lora_B.weight": B,
          "classifier.dense.weight": gaussian([12, 12], 8),
          "classifier.out_proj.weight": gaussian([3, 12], 9),
        },
        { target_modules: ["dense"], modules_to_save: ["classifier", "score"], task_type: "SEQ_CLS" },
      );
      const pairs = await openPairs(base, dir);
      try {
        assert.deepEqual(
          pairs.pairs.map(({ name }) => name),
          [`${prefix}encoder.layer.0.output.dense.weight`],
        );
        assert.deepEqual(pairs.skipped.map(({ name }) => name).toSorted(), [
          "classifier.dense.weight",
          "classifier.out_proj.weight",
        ]);
        const { delta } = await pairs.pairs[0]!.load();
        assert.ok("kind" in delta);
        // alpha / r = 3.
        const [a, b] = [delta.A[1]!, delta.B[1]!];
        assert.ok(Math.abs(a[5]! * b[7]! - 3 * A.values[25]! * B.values[15]!) < 1e-6);
      } finally {
        await pairs.close();
      }
    });
  }

  for (const name of NAMES) {
    test(`${name}: every weight once, by the name that the base has for it`, async () => {
      const base = join(LANGUAGE, name.split("-")[0]!);
      const pairs = await openPairs(base, join(LANGUAGE, name), { embeddings: true });
      try {
        const names = pairs.pairs.map((pair) => pair.name);
        assert.ok(names.length > 0);
        assert.equal(new Set(names).size, names.length);
        for (const pair of pairs.pairs) {
          const { base: W, tuned, unchanged } = await pair.load();
          assert.deepEqual([W!.rows, W!.columns], [...pair.shape]);
          assert.equal(tuned!.data.length, W!.data.length);
          assert.equal(unchanged, undefined, pair.name);
        }
      } finally {
        await pairs.close();
      }
    });
  }

  test("an adapter for another model is refused with what does not fit", async () => {
    const base = await writeTensors(join(root, "other.safetensors"), {
      "model.layers.0.q_proj.weight": gaussian([8, 8], 1),
    });
    const tensors = (width: number) => ({
      "model.layers.0.q_proj.lora_A.weight": gaussian([2, width], 2, 1),
      "model.layers.0.q_proj.lora_B.weight": gaussian([8, 2], 3, 1),
    });
    const refused = async (dir: string) => {
      const error: unknown = await openPairs(base, dir).catch((reason: unknown) => reason);
      assert.ok(error instanceof LowrankError, String(error));
      return error.message;
    };
    assert.match(await refused(await adapter(tensors(9), {})), /lora_A\.weight" is F32\[2, 9\] and not F32\[2, 8\]/);
    const elsewhere = { "h.0.attn.lora_A.weight": gaussian([2, 8], 2), "h.0.attn.lora_B.weight": gaussian([8, 2], 2) };
    assert.match(await refused(await adapter(elsewhere, {})), /does not fit the model/);
    assert.match(await refused(await adapter(tensors(8), { peft_type: "NEW" })), /peft_type/);
    const fine = await openPairs(base, await adapter(tensors(8), { base_model_name_or_path: "org/another" }));
    assert.match(fine.warnings.join(), /says that it is for "org\/another"/);
    await fine.close();
  });
});
