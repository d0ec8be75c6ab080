/**
 * What webgpu.test.ts runs in processes of their own: `node webgpu-scenarios.js NAME FOLDER`. The last line that a
 * scenario prints is its result, as JSON.
 */
import { join } from "node:path";
import { InferenceSession, type Tensor as OrtTensor } from "onnxruntime-node";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora.ts";
import { EngineError } from "../../src/errors.ts";
import { mapParameters, saveParameters } from "../../src/formats/model/parameters.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { sizeOfShape } from "../../src/ir/ndarray.ts";
import {
  add,
  layerNormalization,
  logSoftmax,
  mul,
  reduceSum,
  relu,
  reshape,
  scalar,
  sub,
  transpose,
} from "../../src/ir/ops/index.ts";
import { dim, shapeOf, sizesOf } from "../../src/ir/shape.ts";
import { attention } from "../../src/nn/attention.ts";
import { multiplyRows } from "../../src/nn/linear.ts";
import { adam, adamw } from "../../src/optim/adam.ts";
import { Random, streamOf } from "../../src/random.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { Engine } from "../../src/runtime/node/engine-node.ts";
import type { Device, Tensor } from "../../src/runtime/runtime.ts";
import {
  batchOf,
  convRig,
  lossOf,
  mlpRig,
  readAll,
  type Rig,
  scatterParameters,
} from "../../src/testing/method-rig.ts";
import { Stepper } from "../../src/train/stepper.ts";
import { trainingGraph } from "../../src/train/training-graph.ts";
import { lower } from "../../src/onnx/lower.ts";
import { encodeModel } from "../../src/onnx/model.ts";

/** Numbers by name. */
type Numbers = Record<string, number[]>;

const STEPS = 10;
const LEARNING_RATE = 0.01;
/** Rows of a batch, which the graphs know by name only. Another number in the last step. */
const ROWS = 9;

const scenarios: Record<string, (folder: string) => Promise<unknown>> = {
  probe: async () => {
    await (await ortDevice({ device: "webgpu" })).dispose();
    return "found";
  },
  full: () => onBoth((device) => trainFully(device, mlpRig())),
  lora: (folder) => onBoth((device) => trainAdapter(device, mlpRig(), join(folder, `${device.kind}.safetensors`))),
  conv: (folder) =>
    onBoth((device) => trainAdapter(device, convRig([1, 0, 2, 1]), join(folder, `${device.kind}.safetensors`))),
  attention: () => onBoth(attentionBlock),
  states: (folder) => withGpu((device) => moveStates(device, folder)),
  resident: countTransfers,
  memory: () => withGpu(updateOften),
  unsupported: () => withGpu(compileUnsupported),
  failing: () => withGpu(failInARun),
  disposed: useDisposed,
  abandoned: abandon,
  "exit in a run": exitInRun,
};

async function onBoth(run: (device: Device) => Promise<Numbers>): Promise<{ cpu: Numbers; webgpu: Numbers }> {
  const results: Numbers[] = [];
  for (const kind of ["cpu", "webgpu"] as const) {
    const device = await ortDevice({ device: kind, threads: 1 });
    results.push(await run(device));
    await device.dispose();
  }
  return { cpu: results[0]!, webgpu: results[1]! };
}

async function withGpu<T>(run: (device: Device) => Promise<T>): Promise<T> {
  const device = await ortDevice({ device: "webgpu" });
  try {
    return await run(device);
  } finally {
    await device.dispose();
  }
}

async function trainFully(device: Device, rig: Rig): Promise<Numbers> {
  const { parameters } = rig.model;
  await scatterParameters(device, parameters);
  const optimizer = adam();
  const training = trainingGraph({
    parameters,
    trainable: new Set(parameters.map(({ name }) => name)),
    optimizer,
    maxGradNorm: 1,
    loss: (tracing) => lossOf(tracing, rig),
  });
  const stepper = await Stepper.create(device, training, { optimizer });
  return { loss: await takeSteps(stepper, rig), ...(await contents(device, [...parameters, ...training.slots])) };
}

async function trainAdapter(device: Device, rig: Rig, path: string): Promise<Numbers> {
  const { parameters, layers } = rig.model;
  await scatterParameters(device, parameters);
  await saveParameters(device, parameters, path);
  await mapParameters(device, parameters, path);
  const targetModules = layers.map(({ name }) => name);
  const adapter = attach(rig.model, lora, { targetModules, config: { r: 3, alpha: 7, dropout: 0.2 } });
  await scatterParameters(device, adapter.parameters, { seed: 8 });
  const optimizer = adamw({ weightDecay: 0.1 });
  const training = trainingGraph({
    parameters: [...parameters, ...adapter.parameters],
    trainable: new Set(adapter.parameters.map(({ name }) => name)),
    optimizer,
    adapt: (seed) => adapterHook([adapter], { seed }),
    loss: (tracing) => lossOf(tracing, rig),
  });
  const stepper = await Stepper.create(device, training, { optimizer, frozen: training.frozen, seed: 3 });
  const loss = await takeSteps(stepper, rig);
  await stepper.dispose();
  return { loss, ...(await contents(device, [...adapter.parameters, ...parameters])) };
}

async function takeSteps(stepper: Stepper, rig: Rig): Promise<number[]> {
  const losses: number[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const rows = step === STEPS ? ROWS + 4 : ROWS;
    losses.push((await stepper.step(batchOf(rig, rows, step), LEARNING_RATE)).loss);
  }
  return losses;
}

async function contents(device: Device, specs: readonly { readonly name: string }[]): Promise<Numbers> {
  const tensors = await readAll(device, specs);
  return Object.fromEntries([...tensors].map(([name, { data }]) => [name, Array.from(data, Number)]));
}

/** y = x + attention(norm(x)) with causal, grouped heads, and every derivative; batch and tokens by name only. */
async function attentionBlock(device: Device): Promise<Numbers> {
  const [D, H, Hkv, Dh] = [12, 6, 2, 4];
  const graph = new Graph();
  const state = (name: string, ...shape: number[]) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", "T", D]) });
  const weights = {
    scale: state("scale", D),
    bias: state("bias", D),
    q: state("q", H * Dh, D),
    k: state("k", Hkv * Dh, D),
    v: state("v", Hkv * Dh, D),
    o: state("o", D, H * Dh),
  };
  const heads = (value: Value, count: number) => transpose(reshape(value, ["B", "T", count, Dh]), [0, 2, 1, 3]);
  const normal = layerNormalization(x, weights.scale, weights.bias);
  const [q, k, v] = [weights.q, weights.k, weights.v].map((w) => multiplyRows(normal, w)) as [Value, Value, Value];
  const mixed = attention(heads(q, H), heads(k, Hkv), heads(v, Hkv), { mask: "causal" });
  const joined = reshape(transpose(mixed, [0, 2, 1, 3]), ["B", "T", H * Dh]);
  const y = add(x, multiplyRows(joined, weights.o));
  graph.output("y", y);
  const wanted = { x, ...weights };
  const gradients = grad(reduceSum(mul(y, y)), Object.values(wanted));
  Object.keys(wanted).forEach((name, i) => graph.output(`d${name}`, gradients[i]!));

  for (const value of Object.values(weights)) {
    await device.write(value.name, randomTensor(value.name, sizesOf(value.type.shape), 0.4));
  }
  const executable = await device.compile(graph);
  const numbers: Numbers = {};
  for (const [B, T] of [
    [2, 5],
    [3, 7],
  ] as const) {
    const results = await executable.run({ x: randomTensor("x", [B, T, D]) });
    for (const [name, { data }] of Object.entries(results)) numbers[`${name} ${B}x${T}`] = Array.from(data, Number);
  }
  return numbers;
}

/** What a state holds after everything that can be done to it. */
async function moveStates(device: Device, folder: string): Promise<unknown> {
  const graph = new Graph();
  const a = graph.state("a", { dtype: "float32", shape: shapeOf([2, 3]) });
  const b = graph.state("b", { dtype: "float32", shape: shapeOf([2, 3]) });
  graph.update(a, add(a, b));
  // The old contents of a.
  graph.update(b, a);
  const numbers = async (name: string) => Array.from((await device.read(name)).data, Number);
  const sixOf = (value: number): Tensor => ({ dtype: "float32", shape: [2, 3], data: new Float32Array(6).fill(value) });
  const path = join(folder, "states.safetensors");
  await device.write("a", sixOf(1));
  await saveParameters(device, [{ name: "a", shape: [2, 3], init: () => new Float32Array(6) }], path);
  const file = await openSafetensors(path);
  const { byteOffset } = file.tensors.get("a")!;
  await file.close();

  const found: Record<string, number[]> = {};
  await device.write("b", sixOf(10));
  found["written"] = await numbers("a");
  const first = await device.compile(graph);
  await first.run({});
  found["a after 1 run"] = await numbers("a");
  found["b after 1 run"] = await numbers("b");
  await first.run({});
  // Its buffers were made by the session that goes.
  await first.dispose();
  found["a after 2 runs"] = await numbers("a");
  found["b after 2 runs"] = await numbers("b");
  const second = await device.compile(graph);
  await second.run({});
  found["a after 3 runs"] = await numbers("a");
  await device.write("a", sixOf(100));
  await second.run({});
  found["a, written and run"] = await numbers("a");
  await device.map("a", { dtype: "float32", shape: [2, 3], path, byteOffset });
  found["a, mapped"] = await numbers("a");
  await second.run({});
  found["a, mapped and run"] = await numbers("a");

  // Compiled in from its file: what is written later does not reach it.
  await device.map("frozen", { dtype: "float32", shape: [2, 3], path, byteOffset });
  const constants = new Graph();
  const frozen = constants.state("frozen", { dtype: "float32", shape: shapeOf([2, 3]) });
  constants.output("y", mul(frozen, scalar(constants, 3)));
  const third = await device.compile(constants, { frozen: ["frozen"] });
  await device.write("frozen", sixOf(5));
  found["3 times frozen"] = Array.from((await third.run({})).y!.data, Number);
  // Read from the file and written back by each run.
  await device.map("a", { dtype: "float32", shape: [2, 3], path, byteOffset, writable: true });
  await second.run({});
  await second.run({});
  found["a, paged and run twice"] = await numbers("a");
  found["b after that"] = await numbers("b");
  const paged = await openSafetensors(path);
  found["a in the file"] = Array.from(await paged.readFloat32("a"));
  await paged.close();
  await device.write("a", { dtype: "float32", shape: [3, 2], data: new Float32Array(6) });
  const misfit = await failure(() => second.run({}));
  await device.free("a");
  const refused = [misfit, await failure(() => device.read("a")), await failure(() => second.run({}))];
  await device.write("flag", { dtype: "bool", shape: [1], data: Uint8Array.of(1) });
  const flags = new Graph();
  flags.output("y", flags.state("flag", { dtype: "bool", shape: shapeOf([1]) }));
  refused.push(await failure(() => device.compile(flags)));
  return { found, refused };
}

/** Where the inputs of every run of every session were. */
async function countTransfers(): Promise<unknown> {
  const runs: string[] = [];
  type Run = (feeds: Record<string, OrtTensor>) => unknown;
  const { prototype } = InferenceSession as unknown as { prototype: { run: Run } };
  const { run } = prototype;
  Object.assign(prototype, {
    run(this: InferenceSession, feeds: Record<string, OrtTensor>) {
      runs.push(
        Object.entries(feeds)
          .map(([name, { location }]) => `${name} ${location}`)
          .join(", "),
      );
      return run.call(this, feeds);
    },
  });
  const graph = new Graph();
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([3]) });
  const m = graph.state("m", { dtype: "float32", shape: shapeOf([3]) });
  const x = graph.feed("x", { dtype: "float32", shape: [] });
  const moment = add(mul(m, scalar(graph, 0.5)), x);
  graph.update(m, moment);
  graph.update(w, sub(w, moment));
  graph.output("y", reduceSum(w));
  const { onnx, updates, outputs } = lower(graph, { device: "webgpu" });

  const engine = await Engine.open({ device: "webgpu", threads: 0 });
  for (const name of ["w", "m"])
    await engine.write(name, { dtype: "float32", shape: [3], data: Float32Array.of(1, 2, 3) });
  const executable = await engine.compile({
    model: encodeModel(onnx),
    states: ["w", "m"].map((name) => ({ name, dtype: "float32", shape: [3], dims: [3] })),
    updates: [...updates].map(([state, output]) => ({ state, output })),
    outputs: [...outputs].map(([name, output]) => ({ name, output, dtype: "float32" })),
    prepack: false,
    arena: false,
    narrow: false,
  });
  for (let i = 0; i < 3; i++) {
    await engine.run(executable, { x: { dtype: "float32", shape: [], data: Float32Array.of(1) } }, { y: [] });
  }
  await engine.close();
  return runs;
}

/** Megabytes that the process grows by while one state is replaced often. */
async function updateOften(device: Device): Promise<number> {
  const size = 1 << 22; // 16 MiB
  const graph = new Graph();
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([size]) });
  graph.update(w, add(w, scalar(graph, 1)));
  await device.write("w", { dtype: "float32", shape: [size], data: new Float32Array(size) });
  let executable = await device.compile(graph);
  await executable.run({});
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 60; i++) {
    await executable.run({});
    if (i % 20 !== 19) continue;
    await executable.dispose();
    executable = await device.compile(graph);
  }
  return (process.memoryUsage.rss() - before) / 2 ** 20;
}

async function compileUnsupported(device: Device): Promise<string> {
  const graph = new Graph();
  const feed = (name: string) => graph.feed(name, { dtype: "int64", shape: shapeOf(["B", 5]) });
  const [x, y] = [feed("x"), feed("y")];
  graph.output("fine", relu(graph.feed("z", { dtype: "float32", shape: shapeOf([3]) })));
  const sum = graph.scope("layers.0", () => add(x, y));
  graph.output(
    "sum",
    graph.scope("layers.1", () => add(sum, y)),
  );
  return failure(() => device.compile(graph));
}

/** A kernel of this operation wants at least one element, and says so only when it runs. */
async function failInARun(device: Device): Promise<unknown> {
  const graph = new Graph();
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([2]) });
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 2]) });
  graph.update(w, add(w, scalar(graph, 1)));
  graph.output(
    "y",
    graph.scope("head", () => logSoftmax(mul(x, w))),
  );
  await device.write("w", { dtype: "float32", shape: [2], data: Float32Array.of(1, 1) });
  const executable = await device.compile(graph);
  const run = (rows: number) =>
    executable.run({ x: { dtype: "float32", shape: [rows, 2], data: new Float32Array(2 * rows) } });
  await run(2);
  const message = await failure(() => run(0));
  await run(3);
  return { message, w: Array.from((await device.read("w")).data, Number) };
}

async function useDisposed(): Promise<unknown> {
  const device = await ortDevice({ device: "webgpu" });
  const { executable, feeds } = await busyGraph(device, 4);
  await executable.run(feeds);
  await executable.dispose();
  const messages = [await failure(() => executable.run(feeds))];
  await device.dispose();
  const one: Tensor = { dtype: "float32", shape: [1], data: Float32Array.of(1) };
  for (const use of [
    () => executable.run(feeds),
    () => device.compile(new Graph()),
    () => device.write("w", one),
    () => device.map("w", { dtype: "float32", shape: [1], path: "/nowhere", byteOffset: 0 }),
    () => device.read("w"),
    () => device.free("w"),
  ]) {
    messages.push(await failure(use));
  }
  await executable.dispose();
  await device.dispose();
  return messages;
}

/** Nothing is disposed: sessions and buffers of two devices are left to the end of the process. */
async function abandon(): Promise<string> {
  for (let i = 0; i < 2; i++) {
    const device = await ortDevice({ device: "webgpu" });
    const { executable, feeds } = await busyGraph(device, 4);
    await executable.run(feeds);
    await executable.run(feeds);
  }
  return "done";
}

async function exitInRun(): Promise<never> {
  const device = await ortDevice({ device: process.argv[3] === "cpu" ? "cpu" : "webgpu" });
  const { executable, feeds } = await busyGraph(device, 400);
  await executable.run(feeds);
  void executable.run(feeds);
  void executable.run(feeds);
  return new Promise(() => {
    setTimeout(() => process.exit(7), 2);
  });
}

/** A graph that updates a state and takes a while. */
async function busyGraph(device: Device, products: number): ReturnType<typeof compileBusy> {
  await device.write("w", randomTensor("w", [64, 64]));
  return compileBusy(device, products);
}

async function compileBusy(device: Device, products: number) {
  const graph = new Graph();
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([64, 64]) });
  let y = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(64)] });
  for (let i = 0; i < products; i++) y = mul(multiplyRows(y, w), scalar(graph, 0.1));
  graph.output("y", reduceSum(y));
  graph.update(w, mul(w, scalar(graph, 0.5)));
  return { executable: await device.compile(graph), feeds: { x: randomTensor("x", [64, 64]) } };
}

function randomTensor(name: string, shape: readonly number[], std = 1): Tensor {
  const random = new Random(5, streamOf(name));
  return {
    dtype: "float32",
    shape,
    data: Float32Array.from({ length: sizeOfShape(shape) }, () => std * random.normal()),
  };
}

/** Message of the EngineError that `use` fails with. */
async function failure(use: () => Promise<unknown>): Promise<string> {
  try {
    await use();
  } catch (error) {
    return error instanceof EngineError ? error.message : `not an EngineError: ${String(error)}`;
  }
  return "no error";
}

const [name, folder] = process.argv.slice(2) as [string, string];
console.log(JSON.stringify(await scenarios[name]!(folder)));
