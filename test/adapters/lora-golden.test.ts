/** LoRA against PEFT's numbers (golden/make/lora.py): outputs, every gradient, ten AdamW steps, merged weights. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { type Adapter, adapterHook, attach } from "../../src/adapters/adapter.ts";
import { lora, type LoraForm } from "../../src/adapters/lora.ts";
import { merge } from "../../src/adapters/merge.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { adamw } from "../../src/optim/adam.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Tensor } from "../../src/runtime/runtime.ts";
import { convRig, lossOf, mlpRig, type Rig, tracingOf, trainingOf } from "../../src/testing/method-rig.ts";
import { SCALAR_FEED } from "../../src/train/training-graph.ts";
import { Stepper } from "../../src/train/stepper.ts";

interface Golden {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Run {
  readonly config: { readonly r: number; readonly lora_alpha: number; readonly use_rslora?: boolean };
  readonly targets: readonly string[];
  readonly x: Golden;
  readonly y: readonly number[];
  readonly parameters: Readonly<Record<string, Golden>>;
  readonly base_logits: readonly number[];
  readonly logits: readonly number[];
  readonly gradients: Readonly<Record<string, Golden>>;
  readonly losses: readonly number[];
  readonly trained: Readonly<Record<string, Golden>>;
  readonly merged: Readonly<Record<string, Golden>>;
}

const file = new URL("../../../golden/lora.json", import.meta.url);
const { runs } = JSON.parse(readFileSync(file, "utf8")) as { runs: Readonly<Record<string, Run>> };

/** Both sides compute in float64. */
const EXACT = 1e-10;
/** Of the largest element: float32 rounds each of at most a hundred terms to 2⁻²⁴, in three layers. */
const ROUNDING = 1e-5;
/** Ten steps of AdamW divide by √v, which magnifies the rounding of small gradients. */
const AFTER_TRAINING = 1e-4;
const LEARNING_RATE = 0.02;

for (const [name, run] of Object.entries(runs)) {
  for (const form of ["activation", "weight"] as const) {
    describe(`${name}, ${form} form`, () => describeRun(run, form));
  }
}

function describeRun(run: Run, form: LoraForm): void {
  const rig: Rig = "base_model.model.conv1.base_layer.weight" in run.parameters ? convRig([1, 0]) : mlpRig();
  const { r, lora_alpha: alpha, use_rslora: useRslora = false } = run.config;
  const config = { r, alpha, useRslora, form };
  const adapter = attach(rig.model, lora, { targetModules: run.targets, config });
  const parameters = renamed(run.parameters);

  it("has the names and shapes that PEFT has in memory", () => {
    const ours = adapter.parameters.map(({ name, shape }): [string, readonly number[]] => [name, shape]);
    const theirs = Object.entries(renamed(run.gradients)).map(([name, { shape }]) => [name, shape]);
    assert.deepEqual(Object.fromEntries(ours), Object.fromEntries(theirs));
  });

  it("has PEFT's outputs and gradients in float64", () => {
    const { graph, states } = differentiated(rig, adapter);
    const { outputs } = interpret(graph, inputs(run, parameters));
    near(outputs.logits!.data, run.logits, EXACT, "logits");
    near(outputs.loss!.data, run.losses.slice(0, 1), EXACT, "loss");
    for (const [name, { data }] of Object.entries(renamed(run.gradients))) {
      assert.ok(states.includes(name));
      near(outputs[name]!.data, data, EXACT, name);
    }
    const base = new Graph();
    base.output("loss", lossOf(tracingOf(base), rig));
    const logits = base.nodes.find(({ op }) => op.name === "softmaxCrossEntropy")!.inputs[0]!;
    base.output("logits", logits);
    near(interpret(base, inputs(run, parameters)).outputs.logits!.data, run.base_logits, EXACT, "logits of the base");
  });

  it("trains as PEFT does in float64", () => {
    const optimizer = adamw();
    const { graph, slots } = trainingOf(rig, [adapter], optimizer);
    let states = inputs(run, parameters);
    for (const { name, shape } of slots) states[name] = ndarray(shape, new Float64Array(shape.reduce((a, b) => a * b)));
    run.losses.forEach((loss, i) => {
      const scalars = optimizer.scalarsAt(i + 1, LEARNING_RATE);
      for (const scalar of optimizer.scalars) states[SCALAR_FEED + scalar] = ndarray([], [scalars[scalar]!]);
      const { outputs, updates } = interpret(graph, states);
      near(outputs.loss!.data, [loss], EXACT, `loss of step ${i + 1}`);
      states = { ...states, ...updates };
    });
    for (const [name, { data }] of Object.entries(renamed(run.trained))) near(states[name]!.data, data, EXACT, name);
  });

  describe("on ONNX Runtime", () => {
    let device: Device;
    before(async () => {
      device = await ortDevice({ threads: 1 });
      for (const [name, { shape, data }] of Object.entries(parameters)) {
        await device.write(name, { dtype: "float32", shape, data: Float32Array.from(data) });
      }
    });
    after(() => device.dispose());

    it("has PEFT's outputs and gradients", async () => {
      const { graph } = differentiated(rig, adapter);
      const executable = await device.compile(graph);
      const results = await executable.run(feeds(run));
      await executable.dispose();
      near(numbers(results.logits!), run.logits, ROUNDING, "logits");
      for (const [name, { data }] of Object.entries(renamed(run.gradients))) {
        near(numbers(results[name]!), data, ROUNDING, name);
      }
    });

    it("trains as PEFT does, and merges into PEFT's weights", async () => {
      const optimizer = adamw();
      const training = trainingOf(rig, [adapter], optimizer);
      const stepper = await Stepper.create(device, training, { optimizer });
      for (const loss of run.losses) {
        near([(await stepper.step(feeds(run), LEARNING_RATE)).loss], [loss], AFTER_TRAINING, "loss");
      }
      await stepper.dispose();
      for (const [name, { data }] of Object.entries(renamed(run.trained))) {
        near(numbers(await device.read(name)), data, AFTER_TRAINING, name);
      }
      await merge(device, adapter);
      for (const [name, { data }] of Object.entries(run.merged)) {
        near(numbers(await device.read(name)), data, AFTER_TRAINING, name);
      }
    });
  });
}

/** `base_model.model.fc1.base_layer.weight` is `fc1.weight` here. */
function renamed(tensors: Readonly<Record<string, Golden>>): Record<string, Golden> {
  const rename = (name: string) => name.replace("base_model.model.", "").replace(".base_layer.", ".");
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [rename(name), tensor]));
}

/** Logits, loss and the gradients of all adapter parameters, by their names. */
function differentiated(rig: Rig, adapter: Adapter): { graph: Graph; states: string[] } {
  const graph = new Graph();
  const loss = lossOf({ ...tracingOf(graph), adapt: adapterHook([adapter]) }, rig);
  graph.output("loss", loss);
  graph.output("logits", graph.nodes.find(({ op }) => op.name === "softmaxCrossEntropy")!.inputs[0]!);
  const states = adapter.parameters.map(({ name }) => graph.inputs.find(({ value }) => value.name === name)!.value);
  grad(loss, states).forEach((gradient, i) => graph.output(states[i]!.name, gradient));
  return { graph, states: states.map(({ name }) => name) };
}

function inputs({ x, y }: Run, parameters: Readonly<Record<string, Golden>>): Record<string, NdArray> {
  const given = { ...parameters, x, labels: { shape: [y.length], data: y }, "step/seed": { shape: [], data: [0] } };
  return Object.fromEntries(Object.entries(given).map(([name, { shape, data }]) => [name, ndarray(shape, data)]));
}

function feeds({ x, y }: Run): { x: Tensor; labels: Tensor } {
  return {
    x: { dtype: "float32", shape: x.shape, data: Float32Array.from(x.data) },
    labels: { dtype: "int32", shape: [y.length], data: Int32Array.from(y) },
  };
}

function numbers({ data }: Tensor): number[] {
  return Array.from<number | bigint, number>(data, Number);
}

/** @param tolerance of the largest element */
function near(got: ArrayLike<number>, want: readonly number[], tolerance: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = Math.max(...want.map(Math.abs));
  want.forEach((value, i) => {
    const error = Math.abs(got[i]! - value) / largest;
    assert.ok(error <= tolerance, `${what}: element ${i} is ${got[i]}, not ${value} (${error.toExponential(1)})`);
  });
}
