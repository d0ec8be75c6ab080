/** Adapters of classifiers and of masked models that PEFT saved, and training them: golden/make/peft_heads.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import {
  AutoModelForSequenceClassification,
  type SequenceClassificationModel,
} from "../../src/lm/classification-model.ts";
import { AutoModelForMaskedLM, type MaskedLMModel } from "../../src/lm/masked-lm-model.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import type { TrainRow } from "../../src/train/train-rows.ts";
import { Trainer } from "../../src/train/trainer.ts";

interface Batch {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly token_type_ids?: readonly (readonly number[])[];
  readonly labels: readonly number[] | readonly (readonly number[])[];
}

interface Expected {
  readonly base: string;
  readonly logits: readonly number[];
  readonly loss: number;
  readonly learning_rate: number;
  readonly losses: readonly number[];
  readonly trainable: number;
}

/** float32 rounds each of at most a hundred terms to 2⁻²⁴, in two blocks. */
const ROUNDING = 2e-5;
/** Relative, after up to five steps of AdamW, which divides by √v. */
const CURVE = 1e-4;

const GOLDEN = fileURLToPath(new URL("../../../golden", import.meta.url));
const json = <T>(...path: string[]) => JSON.parse(readFileSync(join(GOLDEN, ...path), "utf8")) as T;

/**
 * `curve`: whether rows of a trainer are those of PEFT's run. They are padded on the right, which moves positions where a
 * table has them. AdaLoRA has a loss of its own besides.
 */
const CASES: readonly { readonly folder: string; readonly curve?: false }[] = [
  { folder: "roberta-classes-lora" },
  { folder: "roberta-classes-dora" },
  { folder: "roberta-classes-bias-all" },
  { folder: "roberta-classes-prefix" },
  { folder: "bert-classes-all-linear" },
  { folder: "bert-classes-ia3" },
  { folder: "bert-classes-prompt" },
  { folder: "bert-classes-adalora", curve: false },
  { folder: "gpt2-classes-lora", curve: false },
  { folder: "qwen3-classes-norms" },
  { folder: "roberta-masked-lora" },
  { folder: "roberta-masked-vera" },
  { folder: "bert-masked-save-head", curve: false },
];

type Model = SequenceClassificationModel | MaskedLMModel;

describe("adapters of other heads", () => {
  const models = new Map<string, Model>();
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "lowrank-heads-"));
  });
  after(async () => {
    for (const model of models.values()) await model.dispose();
    await rm(scratch, { recursive: true, force: true });
  });

  async function open(base: string): Promise<Model> {
    const loader = base.includes("masked") ? AutoModelForMaskedLM : AutoModelForSequenceClassification;
    const model = models.get(base) ?? (await loader.fromPretrained(join(GOLDEN, "text-heads", base), { threads: 1 }));
    models.set(base, model);
    return model;
  }

  for (const { folder, curve } of CASES) {
    describe(folder, () => {
      afterEach(async () => {
        for (const name of models.get(expected.base)?.language.adapters.keys() ?? []) {
          await models.get(expected.base)!.language.remove(name);
        }
      });
      const expected = json<Expected>("peft-heads", folder, "expected.json");
      const batch = json<Batch>("text-heads", expected.base, "batch.json");
      const dir = join(GOLDEN, "peft-heads", folder);
      const load = async () =>
        PeftModel.fromPretrained(await open(expected.base), dir, {
          isTrainable: true,
          onWarning: (warning) => assert.fail(warning),
        });

      it("computes PEFT's logits and loss, and trains as much", async () => {
        const model = await load();
        const { logits, loss } = await forward(model, batch);
        near(counted(logits, batch), counted(expected.logits, batch), ROUNDING, "logits");
        near([loss!], [expected.loss], ROUNDING, "loss");
        assert.equal(model.getNbTrainableParameters().trainable, expected.trainable);
        const base = await model.disableAdapter(() => forward(model, batch));
        assert.throws(() => near(counted(base.logits, batch), counted(expected.logits, batch), 1e-2, "base"));
      });

      if (curve !== false) {
        it("trains as PEFT does", async () => {
          const model = await load();
          const trainer = new Trainer({
            model,
            trainDataset: rowsOf(batch),
            args: {
              perDeviceTrainBatchSize: batch.input_ids.length,
              learningRate: expected.learning_rate,
              weightDecay: 0,
              maxGradNorm: 0,
              numTrainEpochs: expected.losses.length,
              lrSchedulerType: "constant",
              loggingSteps: 1,
              shuffle: false,
            },
          });
          const { logHistory } = await trainer.train();
          const losses = logHistory.flatMap(({ loss }) => loss ?? []);
          near(losses.slice(0, expected.losses.length), expected.losses, CURVE, "losses");
        });
      }

      it("writes what PEFT wrote", async () => {
        const model = await load();
        const out = join(scratch, folder);
        await model.savePretrained(out);
        const [ours, theirs] = [await tensorsOf(out), await tensorsOf(dir)];
        assert.deepEqual(
          [...ours.keys()].toSorted(),
          [...theirs.keys()].filter((name) => ours.has(name) || !isShadow(name)).toSorted(),
        );
        for (const [name, values] of ours) assert.deepEqual(values, theirs.get(name), name);
        const configs = await Promise.all([out, dir].map((at) => readFile(join(at, "adapter_config.json"), "utf8")));
        const [mine, other] = configs.map((text) => JSON.parse(text) as Record<string, unknown>);
        for (const key of ["task_type", "auto_mapping", "peft_type", "target_modules", "modules_to_save"]) {
          // PEFT adds the heads of prompt methods twice.
          const once = (value: unknown) => (Array.isArray(value) ? [...new Set(value)] : value);
          assert.deepEqual(once(mine![key]) ?? null, once(other![key]) ?? null, key);
        }
      });
    });
  }

  it("puts a fresh adapter where PEFT would, with a head of its own", async () => {
    const settings = { peftType: "LORA", r: 3, loraAlpha: 7, taskType: "SEQ_CLS" };
    for (const base of ["roberta-classes", "bert-classes", "gpt2-classes"]) {
      const model = await open(base);
      const fresh = getPeftModel(model as SequenceClassificationModel, settings);
      const theirs = json<{ target_modules: string[] }>(
        "peft-heads",
        base === "bert-classes" ? "bert-classes-adalora" : `${base}-lora`,
        "adapter_config.json",
      );
      const adapter = model.language.adapter("default");
      assert.deepEqual([adapter.targetModules].flat().toSorted(), theirs.target_modules.toSorted(), base);
      assert.deepEqual(adapter.modulesToSave, model.language.model.newModules, base);
      const before = await forward(fresh, json<Batch>("text-heads", base, "batch.json"));
      const without = await fresh.disableAdapter(() => forward(fresh, json<Batch>("text-heads", base, "batch.json")));
      assert.deepEqual(before.logits, without.logits, "B is zero, and the head is a copy");
      await fresh.deleteAdapter("default");
    }
  });

  it("merged, a model computes what it did with the adapter, also when it has been saved", async () => {
    const cases = [
      { base: "roberta-masked", config: { targetModules: ["query", "lm_head.decoder"] } },
      { base: "roberta-masked", config: { modulesToSave: ["lm_head"] } },
      { base: "bert-classes", config: { targetModules: "all-linear" } },
    ];
    for (const [i, { base, config }] of cases.entries()) {
      const loader = base.includes("masked") ? AutoModelForMaskedLM : AutoModelForSequenceClassification;
      const model: Model = await loader.fromPretrained(join(GOLDEN, "text-heads", base), { threads: 1 });
      const batch = json<Batch>("text-heads", base, "batch.json");
      const peft = getPeftModel<Model>(model, { peftType: "LORA", initLoraWeights: false, ...config });
      const { logits } = await forward(peft, batch);
      const merged = await peft.mergeAndUnload();
      near((await forward(merged, batch)).logits, logits, ROUNDING, "merged");
      await merged.savePretrained(join(scratch, `merged-${i}`));
      await merged.dispose();
      const again = await loader.fromPretrained(join(scratch, `merged-${i}`), { threads: 1 });
      near((await forward(again, batch)).logits, logits, ROUNDING, "saved");
      await again.dispose();
    }
  });

  it("what a classifier has learnt is put on the model that predicts masked tokens, without its head", async () => {
    for (const folder of [
      "roberta-classes-lora",
      "roberta-classes-dora",
      "bert-classes-all-linear",
      "bert-classes-prompt",
    ]) {
      const [family] = folder.split("-");
      const model = (await open(`${family}-masked`)) as MaskedLMModel;
      const warnings: string[] = [];
      const peft = await PeftModel.fromPretrained(model, join(GOLDEN, "peft-heads", folder), {
        onWarning: (warning) => warnings.push(warning),
      });
      assert.match(warnings[0]!, /its head is left aside/, folder);
      const batch = json<Batch>("text-heads", `${family}-masked`, "batch.json");
      const [on, off] = [await forward(peft, batch), await peft.disableAdapter(() => forward(peft, batch))];
      assert.notEqual(on.loss, off.loss, folder);
      await peft.deleteAdapter("default");
    }
    const adapter = join(GOLDEN, "peft-heads", "roberta-classes-lora");
    const file = JSON.parse(await readFile(join(adapter, "adapter_config.json"), "utf8")) as object;
    const other = join(scratch, "no-classifier");
    await cp(adapter, other, { recursive: true });
    await writeFile(join(other, "adapter_config.json"), JSON.stringify({ ...file, task_type: "CAUSAL_LM" }));
    await assert.rejects(PeftModel.fromPretrained((await open("roberta-masked")) as MaskedLMModel, other), {
      message: /classifier.* is no parameter of it/,
    });
  });

  it("refuses a task that the model was not loaded for", async () => {
    const model = (await open("roberta-classes")) as SequenceClassificationModel;
    assert.throws(() => getPeftModel(model, { peftType: "LORA", taskType: "CAUSAL_LM" }), {
      message: /task_type is not what the model was loaded for.*CAUSAL_LM.*SEQ_CLS/s,
    });
  });

  it("classifiers do not generate", async () => {
    const model = (await open("roberta-classes")) as SequenceClassificationModel;
    const peft = getPeftModel(model, { peftType: "LORA" });
    await assert.rejects(peft.generate({ inputIds: [[1]] } as never), { message: /AutoModelForCausalLM/ });
    await peft.deleteAdapter("default");
  });
});

interface Output {
  readonly logits: Float32Array;
  readonly loss?: number;
}

/** Whatever the model is for. */
async function forward(model: { forward(input: never): Promise<Output> }, batch: Batch): Promise<Output> {
  const input = {
    inputIds: batch.input_ids,
    attentionMask: batch.attention_mask,
    ...(batch.token_type_ids === undefined ? {} : { tokenTypeIds: batch.token_type_ids }),
    labels: batch.labels,
  };
  return model.forward(input as never);
}

/** Logits at places that are not padding; of classifiers all. */
function counted(logits: ArrayLike<number>, { attention_mask, labels }: Batch): number[] {
  if (typeof labels[0] === "number") return Array.from(logits);
  const places = attention_mask.flat();
  const width = logits.length / places.length;
  return Array.from(logits).filter((_, i) => places[Math.floor(i / width)] === 1);
}

function rowsOf({ input_ids, attention_mask, token_type_ids, labels }: Batch): TrainRow[] {
  return input_ids.map((inputIds, i) => {
    const said = labels[i]!;
    return {
      inputIds,
      attentionMask: attention_mask[i]!,
      ...(token_type_ids === undefined ? {} : { types: token_type_ids[i]! }),
      ...(typeof said === "number"
        ? { label: said }
        : { targets: said.flatMap((label, at) => (label === -100 ? [] : [{ at, label }])) }),
    };
  });
}

async function tensorsOf(dir: string): Promise<Map<string, Float32Array>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  try {
    const tensors = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) tensors.set(name, await file.readFloat32(name));
    return tensors;
  } finally {
    await file.close();
  }
}

/** With `bias: all` PEFT writes biases inside of its own wrapping, too. */
function isShadow(name: string): boolean {
  return /\.(modules_to_save|original_module)\./.test(name);
}

/** Of the largest element. */
function near(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(got.length, expected.length, `${what}: number of elements`);
  const largest = Math.max(...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(got[i]! - expected[i]!) / largest;
    assert.ok(error <= tolerance, `${what}[${i}]: ${got[i]} instead of ${expected[i]}, off by ${error}`);
  }
}
