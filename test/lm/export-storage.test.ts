/** Adapters that were trained on stored weights, merged: into what the storage stands for, and into the original weights. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { trainedStorage } from "../../src/cli/export/trained-storage.ts";
import { AutoModelForCausalLM, type FromPretrainedOptions } from "../../src/lm/causal-lm-model.ts";
import { type ExportOptions, exportModel } from "../../src/lm/export-model.ts";
import { PeftModel } from "../../src/lm/peft-model.ts";
import { assertClose } from "../support/close.ts";
import { writeLora } from "../support/lora-folder.ts";

const BASE = "golden/causal-lm/qwen2-tied";
const INPUT = { inputIds: [[3, 8, 1, 20, 7, 5]] };
const NF4 = { storage: "nf4", doubleQuantization: true } as const;

suite("export of what was trained on stored weights", () => {
  let root: string;
  let adapter: string;
  let cache: string | undefined;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-export-storage-"));
    cache = process.env["LOWRANK_CACHE"];
    process.env["LOWRANK_CACHE"] = join(root, "cache");
    adapter = join(root, "adapter");
    await writeLora(adapter, BASE, {}, 1);
  });
  after(async () => {
    if (cache === undefined) delete process.env["LOWRANK_CACHE"];
    else process.env["LOWRANK_CACHE"] = cache;
    await rm(root, { recursive: true });
  });

  let count = 0;
  const run = async (options: Partial<ExportOptions>) => {
    const out = join(root, `out-${++count}`);
    return { out, ...(await exportModel({ model: BASE, adapters: [adapter], out, threads: 1, ...options })) };
  };
  async function logits(dir: string, options: FromPretrainedOptions = {}, adapters: readonly string[] = []) {
    const model = await AutoModelForCausalLM.fromPretrained(dir, { threads: 1, ...options });
    try {
      const peft = new PeftModel(model);
      for (const [i, name] of adapters.entries()) await peft.loadAdapter(name, `a${i}`);
      peft.setAdapter(adapters.map((_, i) => `a${i}`));
      return Float32Array.from((await peft.forward(INPUT)).logits);
    } finally {
      await model.dispose();
    }
  }

  test("into what the storage stands for: the model as it was trained", async () => {
    const { report, out } = await run(NF4);
    assert.equal(report.verdict, "passed", report.problems.join());
    assertClose(await logits(out), await logits(BASE, NF4, [adapter]), { ofLargest: 2e-5 }, "logits");
    const { storage } = report;
    assert.deepEqual([storage!.name, storage!.double_quantization, storage!.against], ["nf4", true, "dequantised"]);
    assert.equal(storage!.weights, 21);
    const { dequantised, original } = storage!.costs!;
    assert.ok(dequantised!.max_logit_difference < 1e-4, String(dequantised!.max_logit_difference));
    assert.ok(Math.abs(dequantised!.loss_difference!) < 1e-5);
    // A base that is off by a tenth moves logits far more.
    assert.ok(original!.max_logit_difference > 0.05, String(original!.max_logit_difference));
    assert.ok(original!.mean_kl > 100 * dequantised!.mean_kl);
    assert.equal(report.base.name_or_path, BASE);
    assert.ok(
      (await readdir(root)).every((name) => !name.includes(".dequantised.")),
      "nothing is left behind",
    );
  });

  test("into the original weights: another model than the trained one, and the report says by how much", async () => {
    const { report, out } = await run({ ...NF4, against: "original", dtype: "bfloat16" });
    assert.equal(report.verdict, "passed", report.problems.join());
    const expected = await logits(BASE, {}, [adapter]);
    assertClose(await logits(out), expected, { ofLargest: 0.02 }, "logits");
    const { against, costs } = report.storage!;
    assert.equal(against, "original");
    assert.ok(costs!.dequantised!.max_logit_difference < 1e-4);
    assert.ok(costs!.original!.max_logit_difference > 0.05);
    const trained = await logits(BASE, NF4, [adapter]);
    const largest = trained.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
    assert.ok(largest > 0.05, "the two models differ");
  });

  test("int8, whose products round activations too, is judged by its weights", async () => {
    const { report } = await run({ storage: "int8" });
    assert.equal(report.verdict, "passed", report.problems.join());
    assert.ok(report.storage!.costs!.dequantised!.max_logit_difference > 1e-4, "products of integers round");
  });

  test("a checkpoint that bitsandbytes quantised has no original weights", async () => {
    const model = "golden/bitsandbytes/nf4-double";
    const { report, out } = await run({ model });
    assert.equal(report.verdict, "passed", report.problems.join());
    assert.deepEqual(Object.keys(report.storage!.costs!), ["dequantised"]);
    assertClose(await logits(out), await logits(model, {}, [adapter]), { ofLargest: 2e-5 }, "logits");
    await assert.rejects(run({ model, against: "original" }), /no weights but the quantised ones/);
  });

  test("without a check there are no costs, and a float32 base has no storage", async () => {
    const { report } = await run({ ...NF4, check: false });
    assert.equal(report.verdict, "unchecked");
    assert.equal(report.storage!.costs, undefined);
    assert.equal((await run({ check: false })).report.storage, undefined);
  });

  test("the run says beside the adapter how the base was stored", async () => {
    assert.deepEqual(await trainedStorage([adapter, "owner/name"]), { settings: {}, notes: [] });
    const lines = "model_name_or_path: m\ndataset: d\nquantization_bit: 4\n";
    await writeFile(join(adapter, "training_args.yaml"), lines);
    const { settings, notes } = await trainedStorage([adapter]);
    assert.deepEqual(settings, { storage: "nf4", doubleQuantization: true });
    assert.match(notes[0]!, /training_args\.yaml: the adapter was trained on weights stored as nf4/);
    await writeFile(join(adapter, "training_args.yaml"), "someone: else\n");
    assert.deepEqual(await trainedStorage([adapter]), { settings: {}, notes: [] });
    await rm(join(adapter, "training_args.yaml"));
  });
});
