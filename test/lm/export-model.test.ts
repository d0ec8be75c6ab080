/** Merged models as files: what is in them, how they are checked, and what becomes of one that fails. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { openCheckpoint, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { type ExportOptions, exportModel } from "../../src/lm/export-model.ts";
import { PeftModel } from "../../src/lm/peft-model.ts";
import { assertClose } from "../support/close.ts";
import { writeLora } from "../support/lora-folder.ts";

const BASE = "golden/causal-lm/qwen2-tied";
const INPUT = { inputIds: [[3, 8, 1, 20, 7, 5]] };

suite("exportModel", () => {
  let root: string;
  let one: string;
  let two: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-export-"));
    [one, two] = [join(root, "one"), join(root, "two")];
    await writeLora(one, BASE, {}, 1);
    await writeLora(two, BASE, { r: 3, loraAlpha: 5, targetModules: ["v_proj", "up_proj"], useRslora: true }, 2);
  });
  after(() => rm(root, { recursive: true }));

  let count = 0;
  const run = async (options: Partial<ExportOptions> = {}) => {
    const out = join(root, `out-${++count}`);
    return { out, ...(await exportModel({ model: BASE, adapters: [one], out, threads: 1, ...options })) };
  };

  async function logits(dir: string, adapters: readonly string[] = []): Promise<Float32Array> {
    const model = await AutoModelForCausalLM.fromPretrained(dir, { threads: 1 });
    try {
      const peft = new PeftModel(model);
      for (const [i, adapter] of adapters.entries()) await peft.loadAdapter(adapter, `a${i}`);
      peft.setAdapter(adapters.map((_, i) => `a${i}`));
      return (await peft.forward(INPUT)).logits;
    } finally {
      await model.dispose();
    }
  }

  test("the files compute what base and adapter compute", async () => {
    const { report, out, dir } = await run();
    assert.equal(dir, out);
    assert.equal(report.verdict, "passed");
    assert.deepEqual(report.problems, []);
    // Float32, on logits of order 1.
    assertClose(await logits(out), await logits(BASE, [one]), { absolute: 2e-5 });
    assert.ok(report.merged!.max_logit_difference < 1e-4);
    assert.ok(report.exported!.max_logit_difference < 1e-4);
    assert.equal(report.exported!.greedy_agreement, 1);
    assert.ok(report.adapter_effect!.max_logit_difference > 0.01, "the adapter does something");
    assert.equal(report.operators!.merged, report.operators!.base);
    assert.deepEqual(report.operators!.extra, []);
    const written = JSON.parse(await readFile(join(out, "merge_report.json"), "utf8")) as unknown;
    assert.deepEqual(written, JSON.parse(JSON.stringify(report)));
    const { sha256 } = report.base.files.find(({ name }) => name === "model.safetensors")!;
    assert.match(sha256, /^[0-9a-f]{64}$/);
    assert.equal(report.adapters[0]!.lora_alpha, 10);
    assert.equal(report.adapters[0]!.files.length, 2);
  });

  test("several adapters are merged one after the other", async () => {
    const { report, out } = await run({ adapters: [one, two] });
    assert.equal(report.verdict, "passed");
    assertClose(await logits(out), await logits(BASE, [one, two]), { absolute: 2e-5 });
    const first = await run({ adapters: [one] });
    const second = await run({ model: first.out, adapters: [two] });
    assertClose(await logits(out), await logits(second.out), { absolute: 2e-5 });
    assert.match(second.report.warnings.join(), /says that it is for ".*qwen2-tied"/);
  });

  for (const [dtype, stored, limit] of [
    ["bfloat16", "BF16", 0.5],
    ["float16", "F16", 0.1],
  ] as const) {
    test(`${dtype}: rounded once, and checked as it lies in the files`, async () => {
      const { report, out } = await run({ dtype, maxShardBytes: 20_000 });
      assert.equal(report.verdict, "passed");
      assert.ok(report.merged!.max_logit_difference < 1e-4, "before rounding");
      const { max_logit_difference: rounded } = report.exported!;
      assert.ok(rounded > 1e-4 && rounded < limit, `rounding moves logits by ${rounded}`);
      const checkpoint = await openCheckpoint(out);
      await checkpoint.close();
      assert.ok(checkpoint.files.length > 1, "in several files");
      assert.ok([...checkpoint.tensors.values()].every((tensor) => tensor.dtype === stored));
      const config = JSON.parse(await readFile(join(out, "config.json"), "utf8")) as Record<string, unknown>;
      assert.equal(config["dtype"] ?? config["torch_dtype"], dtype);
      assert.deepEqual(
        (await readdir(root)).filter((name) => name.startsWith(".")),
        [],
        "nothing is left beside it",
      );
    });
  }

  test("a failed check leaves a folder that says so, and an earlier export as it was", async () => {
    const { out } = await run();
    const before = await readFile(join(out, "model.safetensors"));
    const { report, dir } = await exportModel({
      model: BASE,
      adapters: [two],
      out,
      threads: 1,
      dtype: "bfloat16",
      threshold: 1e-6,
    });
    assert.equal(dir, `${out}.failed`);
    assert.equal(report.verdict, "failed");
    assert.match(report.problems.join(), /files in bfloat16: .*rounding to bfloat16 loses too much/);
    assert.equal(
      (JSON.parse(await readFile(join(dir, "merge_report.json"), "utf8")) as { verdict: string }).verdict,
      "failed",
    );
    assert.deepEqual(await readFile(join(out, "model.safetensors")), before);
    // One that passes takes its place, and the failed one away.
    await exportModel({ model: BASE, adapters: [two], out, threads: 1 });
    assert.notDeepEqual(await readFile(join(out, "model.safetensors")), before);
    assert.deepEqual(
      (await readdir(root)).filter((name) => /\.(failed|unchecked)$/.test(name)),
      [],
    );
  });

  test("a weight that float16 cannot hold stops the export", async () => {
    const base = join(root, "large");
    await cp(BASE, base, { recursive: true });
    const checkpoint = await openCheckpoint(base);
    const tensors = [];
    for (const [name, { shape }] of checkpoint.tensors) {
      const data = await checkpoint.readFloat32(name);
      if (name === "model.norm.weight") data[5] = 70_000;
      tensors.push({ name, dtype: "F32" as const, shape, data: async () => data });
    }
    await checkpoint.close();
    await writeSafetensors(join(base, "model.safetensors"), tensors, { metadata: { format: "pt" } });
    const out = join(root, "overflow");
    await assert.rejects(
      exportModel({ model: base, adapters: [one], out, threads: 1, dtype: "float16" }),
      (error: unknown) =>
        error instanceof ConfigError &&
        /model\.norm\.weight does not fit into float16: element 5: got 70000/.test(error.message) &&
        /bfloat16/.test(error.message),
    );
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.startsWith("overflow") || name.startsWith(".")),
      [],
    );
  });

  test("an adapter that changes nothing is called out", async () => {
    const idle = join(root, "idle");
    await writeLora(idle, BASE, { initLoraWeights: true });
    const { report } = await run({ adapters: [idle] });
    assert.equal(report.verdict, "passed");
    assert.match(report.warnings.join(), /changes nothing/);
  });

  test("a tied head that an adapter changes has its own weight afterwards", async () => {
    const head = join(root, "head");
    await writeLora(head, BASE, { targetModules: ["q_proj", "lm_head"] }, 3);
    const { report, out } = await run({ adapters: [head] });
    assert.equal(report.verdict, "passed");
    const config = JSON.parse(await readFile(join(out, "config.json"), "utf8")) as Record<string, unknown>;
    assert.equal(config["tie_word_embeddings"], false);
    assertClose(await logits(out), await logits(BASE, [head]), { absolute: 2e-5 });
  });

  test("two adapters with copies of whole parameters cannot be merged together", async () => {
    const [a, b] = [join(root, "copy-a"), join(root, "copy-b")];
    for (const dir of [a, b]) await writeLora(dir, BASE, { targetModules: ["q_proj"], modulesToSave: ["lm_head"] });
    await assert.rejects(run({ adapters: [a, b] }), /replace whole parameters .*\n.*export with the first of them/);
  });

  test("without a check the report says that there was none", async () => {
    const { report, out } = await run({ check: false });
    assert.equal(report.verdict, "unchecked");
    assert.equal(report.exported, undefined);
    assertClose(await logits(out), await logits(BASE, [one]), { absolute: 2e-5 });
  });

  test("a folder with other things in it is not touched", async () => {
    const out = join(root, "taken");
    await cp(one, out, { recursive: true });
    await assert.rejects(run({ out }), /taken: has files in it and is not an earlier export/);
    await assert.rejects(run({ out: BASE }), /is the folder that the model comes from/);
    await writeFile(join(root, "file"), "");
    await assert.rejects(run({ out: join(root, "file") }), /is a file/);
  });
});
