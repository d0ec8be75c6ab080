/** The gradients of a method: the engine's against the interpreter's, and those against central differences. */
import assert from "node:assert/strict";
import { adapterHook, adapterStates, withCopies } from "../adapters/adapter.ts";
import { grad } from "../ir/grad.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray } from "../ir/ndarray.ts";
import { Random } from "../random.ts";
import { interpret } from "../runtime/interp.ts";
import { scalarTensor } from "../train/stepper.ts";
import { type Bench, scatter } from "./method-bench.ts";
import { close } from "./method-numbers.ts";
import { lossOf, readAll, tracingOf } from "./method-rig.ts";

/** Relative error between a gradient and central differences, both in float64. */
const DIFFERENCE_TOLERANCE = 1e-7;
/** Their error is about step² from the loss and 1e-16 / step from rounding. */
const STEP = 1e-5;

/** @param areDerivatives whether they are the derivatives of what is computed */
export async function checkGradients({ device, rig, adapter, feeds }: Bench, areDerivatives = true): Promise<void> {
  await scatter({ device, rig, adapter });
  const graph = new Graph();
  const seed = graph.feed("seed", { dtype: "int32", shape: [] });
  const traced = (on: Graph, random: Value) =>
    lossOf(
      withCopies({ ...tracingOf(on), training: true, adapt: adapterHook([adapter], { seed: random }) }, [adapter]),
      rig,
    );
  const loss = traced(graph, seed);
  const states = adapter.parameters.map(({ name }) => graph.inputs.find(({ value }) => value.name === name)!.value);
  const gradients = grad(loss, states);
  graph.output("loss", loss);
  gradients.forEach((gradient, i) => graph.output(states[i]!.name, gradient));

  const arrays: Record<string, NdArray> = { seed: ndarray([], [4]) };
  const given = [
    ...(await readAll(device, [...rig.model.parameters, ...adapterStates(adapter)])),
    ...Object.entries(feeds),
  ];
  for (const [name, { shape, data }] of given)
    arrays[name] = ndarray(shape, Array.from<number | bigint, number>(data, Number));
  const { outputs } = interpret(graph, arrays);

  const executable = await device.compile(graph);
  const engine = await executable.run({ ...feeds, seed: scalarTensor("int32", 4) });
  await executable.dispose();
  for (const [name, { shape, data }] of Object.entries(outputs)) {
    close(engine[name]!, { dtype: "float32", shape, data: Float32Array.from(data) }, name);
  }

  if (!areDerivatives) return;
  const bare = new Graph();
  const random = bare.feed("seed", { dtype: "int32", shape: [] });
  bare.output("loss", traced(bare, random));
  const lossAt = (name: string, direction: Float64Array, step: number) => {
    const { shape, data } = arrays[name]!;
    const moved = ndarray(
      shape,
      data.map((value, i) => value + step * direction[i]!),
    );
    return interpret(bare, { ...arrays, [name]: moved }).outputs.loss!.data[0]!;
  };
  const draw = new Random(13);
  for (const { name } of adapter.parameters) {
    for (let i = 0; i < 3; i++) {
      const direction = arrays[name]!.data.map(() => draw.normal());
      const measured = (lossAt(name, direction, STEP) - lossAt(name, direction, -STEP)) / (2 * STEP);
      const terms = outputs[name]!.data.map((value, j) => value * direction[j]!);
      const derived = terms.reduce((sum, term) => sum + term, 0);
      // The terms may cancel: the error is measured against them, not against what is left of them.
      const scale = Math.max(Math.abs(measured), Math.hypot(...terms));
      assert.ok(scale > 1e-3, `${name}: the gradient is too small to be judged`);
      const error = Math.abs(measured - derived) / scale;
      assert.ok(error <= DIFFERENCE_TOLERANCE, `${name}: ${derived}, by differences ${measured} (${error})`);
    }
  }
}
