/**
 * A case of golden/peft-methods as tests: an adapter that PEFT saved for a language model is loaded, computes PEFT's logits,
 * loss and gradients, is merged and trained as PEFT does it, and is written again as it was.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Adapter, adapterHook, attach, resolveParameter } from "../adapters/adapter.ts";
import { merge, unmerge } from "../adapters/merge.ts";
import type { Method } from "../adapters/method.ts";
import { readModelConfig } from "../formats/model/config.ts";
import { loadAdapter, saveAdapter } from "../formats/peft/index.ts";
import { tensorKeys } from "../formats/peft/tensor-keys.ts";
import { openSafetensors } from "../formats/safetensors/index.ts";
import { grad } from "../ir/grad.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { scalar } from "../ir/ops/constant.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { softmaxCrossEntropy } from "../ir/ops/softmax-cross-entropy.ts";
import { dim } from "../ir/shape.ts";
import { sequenceFeeds, wholeSequence } from "../lm/sequence.ts";
import type { TextModel } from "../models/text-model.ts";
import { familyOf } from "../models/index.ts";
import type { Tracing } from "../nn/module.ts";
import { adamw } from "../optim/adam.ts";
import { interpDevice } from "../runtime/interp.ts";
import type { Device, Feeds } from "../runtime/runtime.ts";
import { Stepper } from "../train/stepper.ts";
import { trainingGraph } from "../train/training-graph.ts";
import { readAll, tracingOf } from "./method-rig.ts";

export interface PeftCase {
  /** A folder of golden/peft-methods. */
  readonly folder: string;
  /** Settings of PEFT's file that ours need not repeat. Default: none. */
  readonly unlike?: readonly string[];
  /** PEFT computed a part of the base in float32, which it takes out: of the largest element. Default: nothing. */
  readonly taken?: number;
  /** A folder of golden/peft-methods that holds the same adapter as it is written. Default: itself. */
  readonly writtenAs?: string;
  /** What `attach` is given to make such an adapter, without `target_modules` where PEFT's defaults are meant. */
  readonly attach?: { readonly config: object; readonly targetModules?: readonly string[] };
}

interface Expected {
  readonly base: string;
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly position_ids: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly loss: number;
  readonly learning_rate: number;
  readonly weight_decay: number;
  readonly losses: readonly number[];
}

interface Opened {
  readonly device: Device;
  readonly model: TextModel & { readonly defaultTargets: readonly string[] };
  readonly adapter: Adapter;
  readonly warnings: readonly string[];
}

const IGNORED = -100;
/** Of the largest element: both sides compute in float64, the files and transformers' norms are float32. */
const exact = 2e-6;
/** Of the largest gradient of a tensor: sums of a few hundred such terms. */
const gradients = 1e-5;
/** Relative, after up to ten steps of AdamW, which divides by √v. */
const curve = 3e-5;
type Three = [number, number, number];

const GOLDEN = fileURLToPath(new URL("../../../golden", import.meta.url));

/** Declares the tests of a case. */
export function describePeftCase<C extends object>(
  method: Method<C>,
  { folder, unlike = [], attach: as, taken = 0, writtenAs }: PeftCase,
): void {
  const [EXACT, GRADIENT, CURVE] = [exact, gradients, curve].map((tolerance) => Math.max(tolerance, taken)) as Three;
  const dir = join(GOLDEN, "peft-methods", folder);
  const expected = () => JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as Expected;

  /** @param training without dropout, as PEFT's curves are */
  const open = async (training = false): Promise<Opened> => {
    const device = interpDevice();
    const { base } = expected();
    const model = await openBase(device, join(GOLDEN, "causal-lm", base));
    const config = training && "dropout" in method.settings ? { dropout: 0 } : {};
    const { adapter, warnings } = await loadAdapter(device, model, dir, { config });
    return { device, model, adapter, warnings };
  };

  describe(`PEFT's ${folder}`, () => {
    it("computes PEFT's logits, and has an effect", async () => {
      const { device, model, adapter, warnings } = await open();
      assert.deepEqual(warnings, []);
      assert.equal(adapter.method.name, method.name);
      const logits = await arrayOf(dir, "logits");
      near(await logitsOf(device, model, expected(), [adapter]), logits, EXACT, "logits");
      const without = await logitsOf(device, model, expected(), []);
      assert.throws(() => near(without, logits, 1e-2, "logits of the base"));
    });

    it("has PEFT's loss and gradients", async () => {
      const { device, model, adapter } = await open();
      const graph = new Graph();
      const loss = lossOf({ ...tracingOf(graph), adapt: adapterHook([adapter]) }, model, expected(), [adapter]);
      const trained = new Set(adapter.parameters.map(({ name }) => name));
      const states = [...tensorKeys(adapter)].filter(([, spec]) => trained.has(spec.name));
      const values = states.map(([, { name }]) => graph.inputs.find(({ value }) => value.name === name)!.value);
      graph.output("loss", loss);
      grad(loss, values).forEach((gradient, i) => graph.output(states[i]![0], gradient));
      const results = await run(device, graph, feedsOf(model, expected()));
      near(results("loss"), [expected().loss], EXACT, "loss");
      const file = await openSafetensors(join(dir, "expected.safetensors"));
      const named = [...file.tensors.keys()].filter((key) => key.startsWith("gradient."));
      await file.close();
      assert.deepEqual(states.map(([key]) => `gradient.${key}`).sort(), named.sort());
      for (const [key] of states) near(results(key), await arrayOf(dir, `gradient.${key}`), GRADIENT, key);
    });

    it("is trained as PEFT trains it", async () => {
      const { device, model, adapter } = await open(true);
      const { learning_rate: lr, weight_decay: weightDecay, losses } = expected();
      const optimizer = adamw({ weightDecay });
      const training = trainingGraph({
        parameters: [...model.parameters, ...adapter.parameters],
        trainable: new Set(adapter.parameters.map((spec) => spec.name)),
        optimizer,
        adapt: (seed) => adapterHook([adapter], { seed }),
        loss: (tracing) => lossOf(tracing, model, expected(), [adapter]),
      });
      const stepper = await Stepper.create(device, training, { optimizer });
      for (const [i, want] of losses.entries()) {
        const { loss } = await stepper.step(feedsOf(model, expected()), lr);
        near([loss], [want], CURVE, `loss of step ${i + 1}`);
      }
    });

    if (method.merged !== undefined || method.forward === undefined) {
      it("is merged as PEFT merges it, and unmerging restores every bit", async () => {
        const { device, model, adapter } = await open();
        const before = await readAll(device, model.parameters);
        const merged = await merge(device, adapter);
        const logits = await logitsOf(device, model, expected(), [], merged.tied);
        near(logits, await arrayOf(dir, "merged_logits"), EXACT, "merged logits");
        const file = await openSafetensors(join(dir, "expected.safetensors"));
        const changed = [...file.tensors.keys()].filter((key) => key.startsWith("merged."));
        await file.close();
        for (const key of changed) {
          const { data } = await device.read(key.slice("merged.".length));
          near([...(data as Float32Array)], await arrayOf(dir, key), EXACT, key);
        }
        await unmerge(device, merged);
        for (const [name, tensor] of before) assert.deepEqual(await device.read(name), tensor, name);
      });
    }

    it("is written again as it was", async () => {
      const { device, adapter } = await open();
      await writtenAgain(async (out) => {
        const wanted = writtenAs === undefined ? dir : join(GOLDEN, "peft-methods", writtenAs);
        const theirs = settingsOf(wanted);
        await saveAdapter(device, adapter, out, { taskType: theirs.task_type as string });
        if (writtenAs === undefined) {
          assert.deepEqual(await tensorsOf(out), await tensorsOf(dir));
        } else {
          const [found, tensors] = [await tensorsOf(out), await tensorsOf(wanted)];
          assert.deepEqual([...found.keys()], [...tensors.keys()]);
          await computesTheSame(out);
        }
        const without = (settings: Readonly<Record<string, unknown>>) =>
          Object.fromEntries(Object.entries(settings).filter(([key]) => ![...unlike, "peft_version"].includes(key)));
        assert.deepEqual(without(settingsOf(out)), without(theirs));
      });
    });

    /** What is in a folder computes PEFT's logits. */
    async function computesTheSame(at: string): Promise<void> {
      const { device, model } = await open();
      const { adapter } = await loadAdapter(device, model, at, { name: "again" });
      const logits = await logitsOf(device, model, expected(), [adapter]);
      near(logits, await arrayOf(dir, "logits"), EXACT, "logits of what was written");
    }

    if (as !== undefined) {
      it("has the parameters that attaching with its settings makes", async () => {
        const { adapter, model } = await open();
        const fresh = attach(model, method, { ...as, config: as.config as Partial<C> });
        const shapes = (one: Adapter) => new Map([...tensorKeys(one)].map(([key, { shape }]) => [key, shape]));
        assert.deepEqual(shapes(fresh as unknown as Adapter), shapes(adapter));
        assert.deepEqual(fresh.config, adapter.config);
      });
    }
  });
}

/** A model of golden/causal-lm with its weights on a device. */
export async function openBase(device: Device, dir: string): Promise<Opened["model"]> {
  const config = await readModelConfig(dir);
  const family = familyOf(config.modelType);
  const model = { ...family.build(config), defaultTargets: family.defaultTargets };
  const file = await openSafetensors(join(dir, "model.safetensors"));
  const stored = (name: string) => (file.tensors.has(name) ? name : (family.storedName?.(name) ?? name));
  for (const { name, shape } of model.parameters) {
    await device.write(name, { dtype: "float32", shape, data: await file.readFloat32(stored(name)) });
  }
  await file.close();
  return model;
}

/** Logits of every position, [B · T, V]. */
function traceLogits(
  tracing: Tracing,
  model: TextModel,
  adapters: readonly Adapter[],
  tied: Readonly<Record<string, string>> = model.tied,
): Value {
  const stateOf = resolveParameter(adapters, tied);
  const resolved: Tracing = { ...tracing, parameter: (name, shape) => tracing.parameter(stateOf(name), shape) };
  const hidden = model.hidden(resolved, wholeSequence(tracing.graph, model, { exactPadding: true }));
  return model.head(resolved, reshape(hidden, [-1, model.hiddenSize]));
}

/** Mean over the tokens with a label of their own, each predicted by the one before. */
function lossOf(tracing: Tracing, model: TextModel, { labels }: Expected, adapters: readonly Adapter[]): Value {
  const target = tracing.graph.feed("labels", { dtype: "int32", shape: [dim("B"), dim("T")] });
  const rows = traceLogits(tracing, model, adapters);
  const sum = reduceSum(softmaxCrossEntropy(rows, reshape(target, [-1])));
  const count = nextTokens(labels).filter((label) => label !== IGNORED).length;
  return mul(sum, scalar(tracing.graph, 1 / count));
}

function nextTokens(labels: Expected["labels"]): number[] {
  return labels.flatMap((row) => [...row.slice(1), IGNORED]);
}

function feedsOf(model: TextModel, expected: Expected): Feeds {
  const { input_ids: ids, attention_mask: mask, position_ids: positions, labels } = expected;
  const [batch, length] = [ids.length, ids[0]!.length];
  const integers = (rows: readonly (readonly number[])[]) => Int32Array.from(rows.flat());
  return {
    ...sequenceFeeds(model, {
      batch,
      length,
      tokens: integers(ids),
      segments: integers(mask),
      positions: integers(positions),
    }),
    labels: { dtype: "int32", shape: [batch, length], data: Int32Array.from(nextTokens(labels)) },
  };
}

async function run(device: Device, graph: Graph, feeds: Feeds): Promise<(output: string) => number[]> {
  const executable = await device.compile(graph);
  try {
    const results = await executable.run(feeds);
    return (output) => Array.from(results[output]!.data, Number);
  } finally {
    await executable.dispose();
  }
}

async function logitsOf(
  device: Device,
  model: TextModel,
  expected: Expected,
  adapters: readonly Adapter[],
  tied: Readonly<Record<string, string>> = model.tied,
): Promise<number[]> {
  const graph = new Graph();
  const hook = adapters.length === 0 ? {} : { adapt: adapterHook(adapters) };
  graph.output("logits", traceLogits({ ...tracingOf(graph), ...hook }, model, adapters, tied));
  const { labels: _labels, ...feeds } = feedsOf(model, expected);
  return (await run(device, graph, feeds))("logits");
}

async function arrayOf(dir: string, name: string): Promise<number[]> {
  const file = await openSafetensors(join(dir, "expected.safetensors"));
  try {
    return [...(await file.readFloat32(name))];
  } finally {
    await file.close();
  }
}

/** Shapes and values by name. */
async function tensorsOf(dir: string): Promise<Map<string, readonly number[]>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  const tensors = new Map<string, readonly number[]>();
  for (const name of [...file.tensors.keys()].sort()) {
    tensors.set(name, [...file.tensors.get(name)!.shape, ...(await file.readFloat32(name))]);
  }
  await file.close();
  return tensors;
}

function settingsOf(dir: string): Readonly<Record<string, unknown>> {
  return JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8")) as Readonly<Record<string, unknown>>;
}

async function writtenAgain(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-peft-case-"));
  try {
    await use(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** @param tolerance of the largest element */
function near(got: readonly number[], want: readonly number[], tolerance: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = Math.max(...want.map(Math.abs));
  want.forEach((value, i) => {
    const error = Math.abs(got[i]! - value) / largest;
    assert.ok(error <= tolerance, `${what}: element ${i} is ${got[i]}, not ${value} (${error.toExponential(1)})`);
  });
}
