/** How random a method is: by seed, step and layer, while training and not otherwise. */
import assert from "node:assert/strict";
import { adapterHook, attach, methodStates, withCopies } from "../adapters/adapter.ts";
import { initializeAdapter } from "../adapters/initialize.ts";
import { Graph, reachable } from "../ir/graph.ts";
import { dim } from "../ir/shape.ts";
import { linear } from "../nn/linear.ts";
import type { ParameterSpec } from "../nn/module.ts";
import { sgd } from "../optim/sgd.ts";
import { Random } from "../random.ts";
import type { Tensor } from "../runtime/runtime.ts";
import { scalarTensor, Stepper } from "../train/stepper.ts";
import { type Bench, scatter, targetsFor } from "./method-bench.ts";
import { differs, sameBits } from "./method-numbers.ts";
import { logitsOf, scatterParameters, tracingOf, trainingOf } from "./method-rig.ts";

/** @param ownNumbers a layer has numbers of its own, while training or not */
export async function checkRandomness(bench: Bench, { ownNumbers }: { readonly ownNumbers?: true }): Promise<void> {
  const { device, rig, adapter, x, feeds } = bench;
  await scatter({ device, rig, adapter });
  const training = trainingOf(rig, [adapter], sgd());
  const isRandom =
    ownNumbers !== true &&
    reachable(training.graph, training.graph.outputs.values()).some(({ op }) => op.name === "randomUniform");
  const one = await logitsOf(device, rig, x, [adapter], 1);
  sameBits(await logitsOf(device, rig, x, [adapter], 1), one, "logits of the same seed");
  const two = await logitsOf(device, rig, x, [adapter], 2);
  assert.equal(differs(one, two), isRandom, "whether logits change with the seed");

  // With a learning rate of 0 nothing but the random numbers changes from step to step.
  const losses = async (seed: number) => {
    const optimizer = sgd();
    const stepper = await Stepper.create(device, training, { optimizer, seed });
    const found: number[] = [];
    for (let i = 0; i < 3; i++) found.push((await stepper.step(feeds, 0)).loss);
    await stepper.dispose();
    return found;
  };
  const first = await losses(1);
  assert.deepEqual(await losses(1), first, "losses of the same seed");
  assert.equal(new Set(first).size, isRandom ? 3 : 1, "losses of different steps");
  if (isRandom) assert.notDeepEqual(await losses(2), first, "losses of another seed");

  const [a, b] = await twins(bench, undefined);
  if (ownNumbers === true) assert.ok(differs(a!, b!), "two layers have the same numbers");
  else sameBits(b!, a!, "two equal layers outside training");
  const [left, right] = await twins(bench, 1);
  const areRandom = isRandom || ownNumbers === true;
  assert.equal(differs(left!, right!), areRandom, "whether two equal layers differ while training");
}

/** Outputs of two layers with the same sizes, weights, adapter parameters and input. */
async function twins({ device, adapter }: Bench, seed: number | undefined): Promise<Tensor[]> {
  const layers = [linear("a", 7, 5), linear("b", 7, 5)];
  const two = attach(
    { parameters: layers.flatMap((layer) => layer.parameters), layers: layers.map(({ layer }) => layer) },
    adapter.method,
    { config: adapter.config, ...targetsFor(adapter.method, ["a", "b"]) },
  );
  const bases = layers.flatMap((layer) => layer.parameters);
  const random = new Random(9);
  const fill = async (parameters: readonly ParameterSpec[]) => {
    const half = (prefix: string) => parameters.filter(({ name }) => name.startsWith(prefix));
    for (const [i, { name, shape }] of half("a.").entries()) {
      const data = Float32Array.from({ length: shape.reduce((p, q) => p * q, 1) }, () => random.normal());
      for (const twin of [name, half("b.")[i]!.name]) await device.write(twin, { dtype: "float32", shape, data });
    }
  };
  await fill(bases);
  await initializeAdapter(device, two, 0);
  await scatterParameters(device, two.parameters);
  const copies = [...two.copies.values()].filter(({ ofMethod }) => ofMethod === true);
  await fill([...methodStates(two).filter(({ derived }) => derived !== true), ...copies]);
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(7)] });
  const feed = seed === undefined ? undefined : graph.feed("seed", { dtype: "int32", shape: [] });
  const adapt = adapterHook([two], feed === undefined ? {} : { seed: feed });
  const tracing = withCopies({ ...tracingOf(graph), adapt }, [two]);
  for (const layer of layers) graph.output(layer.layer.name, layer.forward(tracing, x));
  const executable = await device.compile(graph);
  const data = Float32Array.from({ length: 4 * 7 }, () => random.normal());
  const given = { dtype: "float32", shape: [4, 7], data } as const;
  const results = await executable.run({
    x: given,
    ...(seed === undefined ? {} : { seed: scalarTensor("int32", seed) }),
  });
  await executable.dispose();
  return [results.a!, results.b!];
}
