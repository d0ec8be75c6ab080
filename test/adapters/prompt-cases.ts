/**
 * Cases of golden/peft-methods with virtual tokens, as tests: PEFT's files are loaded as a user loads them and compute PEFT's
 * logits and loss; training has PEFT's gradients and losses, encoders included; what is saved is what PEFT saves.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Adapter, attach, resolveParameter } from "../../src/adapters/adapter.ts";
import type { Method } from "../../src/adapters/method.ts";
import { saveAdapter } from "../../src/formats/peft/index.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { virtualTokens } from "../../src/lm/adapted-sequence.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { adaptable } from "../../src/lm/peft-config.ts";
import { PeftModel } from "../../src/lm/peft-model.ts";
import { supervisedRows, type SupervisedRows } from "../../src/lm/rows.ts";
import { adamw } from "../../src/optim/adam.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { lmGraphs } from "../../src/train/lm-graphs.ts";
import { LmStepper } from "../../src/train/lm-stepper.ts";

const GOLDEN = fileURLToPath(new URL("../../../golden", import.meta.url));

interface Expected {
  readonly base: string;
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly loss: number;
  readonly learning_rate: number;
  readonly weight_decay: number;
  readonly losses: readonly number[];
}

/** Of the largest element: float32 on the engine, through three blocks. */
const ROUNDING = 1e-5;
const GRADIENT = 1e-5;
/** Relative, after up to ten steps of AdamW, which divides by √v. */
const CURVE = 3e-5;
const SEED = 5;

export function describePromptCase<C extends object>(
  method: Method<C>,
  { folder, config }: { readonly folder: string; readonly config: Partial<C> },
): void {
  const dir = join(GOLDEN, "peft-methods", folder);
  const expected = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as Expected;
  const base = join(GOLDEN, "causal-lm", expected.base);

  describe(`PEFT's ${folder}`, () => {
    let out: string;
    before(async () => void (out = await mkdtemp(join(tmpdir(), "lowrank-prompt-"))));
    after(() => rm(out, { recursive: true }));

    it("computes PEFT's logits and loss where there are tokens, and is written again as it was", async () => {
      const model = await AutoModelForCausalLM.fromPretrained(base, { threads: 1 });
      const warnings: string[] = [];
      const peft = await PeftModel.fromPretrained(model, dir, { onWarning: (said) => warnings.push(said) });
      assert.deepEqual(warnings, []);
      const { input_ids: inputIds, attention_mask: attentionMask, labels } = expected;
      const { logits, dims, loss } = await peft.forward({ inputIds, attentionMask, labels });
      const { shape, values } = await arrayOf(dir, "expected", "logits");
      assert.deepEqual(dims, shape);
      const [, places, V] = dims;
      const virtual = places - inputIds[0]!.length;
      // Padding is looked at by nobody.
      const counts = (at: number) => {
        const t = (Math.floor(at / V) % places) - virtual;
        return t < 0 || attentionMask[Math.floor(at / V / places)]![t] === 1;
      };
      const only = (all: ArrayLike<number>) => Array.from(all).filter((_, at) => counts(at));
      near(only(logits), only(values), ROUNDING, "logits");
      near([loss!], [expected.loss], ROUNDING, "loss");
      await peft.savePretrained(out);
      assert.deepEqual(await tensorsOf(out), await tensorsOf(dir));
      const { base_model_name_or_path: _ours, peft_version: _version, ...settings } = settingsOf(out);
      const { base_model_name_or_path: _theirs, peft_version: _their, ...theirs } = settingsOf(dir);
      assert.deepEqual(settings, theirs);
      await peft.dispose();
    });

    it("is trained as PEFT trains it: gradients and ten steps", async () => {
      const { device, adapter, stepper, batch } = await training();
      const { shared } = adapter;
      for (const [i, want] of expected.losses.entries()) {
        const { loss } = await stepper.step([batch], expected.learning_rate);
        near([loss], [want], CURVE, `loss of step ${i + 1}`);
        if (i > 0) continue;
        for (const [name, spec] of shared) {
          const { data } = await device.read(`gradient/${spec.name}`);
          const { shape, values } = await arrayOf(dir, "expected", `gradient.${name}`);
          assert.deepEqual(spec.shape, shape);
          near(Array.from(data as Float32Array), values, GRADIENT, `gradient of ${name}`);
        }
      }
    });

    it("saves what PEFT saves of the same parameters", async () => {
      const { device, adapter } = await training();
      await saveAdapter(device, adapter, out, { taskType: "CAUSAL_LM" });
      const [ours, theirs] = [await tensorsOf(out), await tensorsOf(dir)];
      assert.deepEqual([...ours.keys()], [...theirs.keys()]);
      for (const [name, { shape, values }] of ours) {
        assert.deepEqual(shape, theirs.get(name)!.shape);
        near(values, theirs.get(name)!.values, ROUNDING, name);
      }
      const { peft_version: _ours, ...settings } = settingsOf(out);
      const { peft_version: _theirs, ...wanted } = settingsOf(dir);
      assert.deepEqual(settings, wanted);
    });
  });

  /** A fresh adapter with the parameters that PEFT's run began with. */
  async function training(): Promise<{
    readonly device: Device;
    readonly adapter: Adapter;
    readonly stepper: LmStepper;
    readonly batch: SupervisedRows;
  }> {
    const device = interpDevice();
    const loaded: CausalLMModel = await AutoModelForCausalLM.fromPretrained(base, { device });
    const { model } = loaded.language;
    const adapter = attach(adaptable(model, loaded.defaultTargets), method, { config }) as unknown as Adapter;
    for (const [name, { name: state, shape }] of adapter.shared) {
      const initial = await arrayOf(dir, "expected", `initial.${name}`);
      await device.write(state, { dtype: "float32", shape, data: Float32Array.from(initial.values) });
    }
    const optimizer = adamw({ weightDecay: expected.weight_decay });
    const graphs = lmGraphs({
      model,
      trained: adapter.parameters,
      stateOf: resolveParameter([adapter], model.tied),
      adapters: [adapter],
      optimizerOf: () => optimizer,
      chunks: 2,
      checkpoint: false,
      typicalSizes: {},
    });
    const stepper = await LmStepper.create(device, graphs, {
      model,
      optimizers: [optimizer],
      chunks: 2,
      maxGradNorm: 0,
      seed: SEED,
      compile: {},
      adapters: [adapter],
    });
    const rows = expected.input_ids.map((ids, b) => {
      const kept = (values: readonly number[]) =>
        Int32Array.from(values.filter((_, t) => expected.attention_mask[b]![t] === 1));
      return { inputIds: kept(ids), labels: kept(expected.labels[b]!) };
    });
    return { device, adapter, stepper, batch: supervisedRows(rows, 0, virtualTokens([adapter])) };
  }
}

/** A case of golden/peft-prompts: rows that are padded on the left, and generation. */
export function describeLeftPadded(folder: string): void {
  const dir = join(GOLDEN, "peft-prompts", folder);
  const expected = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as Pick<
    Expected,
    "base" | "input_ids" | "attention_mask"
  > & {
    readonly adapter?: string;
    readonly logits: readonly (readonly (readonly number[])[])[];
    readonly generated: readonly (readonly number[])[];
  };

  it(`computes PEFT's logits of rows padded on the left, and generates its tokens: ${folder}`, async () => {
    const model = await AutoModelForCausalLM.fromPretrained(join(GOLDEN, "causal-lm", expected.base), { threads: 1 });
    const at = expected.adapter === undefined ? dir : join(GOLDEN, "peft-methods", expected.adapter);
    const peft = await PeftModel.fromPretrained(model, at);
    const { input_ids: inputIds, attention_mask: attentionMask } = expected;
    const { logits, dims } = await peft.forward({ inputIds, attentionMask });
    const [B, places, V] = dims;
    const last = Array.from({ length: B }, (_, b) => [
      ...logits.subarray(((b + 1) * places - 2) * V, (b + 1) * places * V),
    ]);
    near(last.flat(), expected.logits.flat(2), ROUNDING, "logits");
    const maxNewTokens = expected.generated[0]!.length;
    const { rows } = await peft.generate({ inputIds, attentionMask, maxNewTokens, eosTokenId: [], doSample: false });
    assert.deepEqual(rows, expected.generated);
    await peft.dispose();
  });
}

async function arrayOf(dir: string, file: "expected" | "adapter_model", name: string): Promise<Stored> {
  const opened = await openSafetensors(join(dir, `${file}.safetensors`));
  try {
    return { shape: opened.tensors.get(name)!.shape, values: [...(await opened.readFloat32(name))] };
  } finally {
    await opened.close();
  }
}

interface Stored {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

async function tensorsOf(dir: string): Promise<Map<string, Stored>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  await file.close();
  const tensors = new Map<string, Stored>();
  for (const name of file.tensors.keys()) tensors.set(name, await arrayOf(dir, "adapter_model", name));
  return tensors;
}

function settingsOf(dir: string): Readonly<Record<string, unknown>> {
  return JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")) as Readonly<Record<string, unknown>>;
}

function near(got: readonly number[], want: readonly number[], tolerance: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = Math.max(...want.map(Math.abs));
  const worst = Math.max(...got.map((value, i) => Math.abs(value - want[i]!)));
  assert.ok(worst <= tolerance * largest, `${what}: differs by ${worst / largest} of the largest`);
}
