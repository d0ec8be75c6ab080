/**
 * The contract that every tuning method keeps, as tests: on linear layers and on convolutions, with every configuration
 * that is given.
 *
 * Blind spots that make a wrong program pass are kept out: parameters are perturbed where zeros would hide a mistake,
 * alpha must differ from r, and no two sizes of a model are equal.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Adapter, adapterHook, adapterStates, attach, methodStates, withCopies } from "../adapters/adapter.ts";
import { initializeAdapter } from "../adapters/initialize.ts";
import { merge, unmerge } from "../adapters/merge.ts";
import type { Method, RankConfig } from "../adapters/method.ts";
import { configOn } from "../adapters/patterns.ts";
import { configure } from "../adapters/settings.ts";
import { ConfigError } from "../errors.ts";
import { loadAdapter, saveAdapter } from "../formats/peft/index.ts";
import { peftType } from "../formats/peft/methods.ts";
import { restoreAdapter, saveStates } from "../formats/peft/restore.ts";
import { openSafetensors } from "../formats/safetensors/index.ts";
import { grad } from "../ir/grad.ts";
import { Graph, reachable, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray } from "../ir/ndarray.ts";
import { expand } from "../ir/ops/expand.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { tanh } from "../ir/ops/tanh.ts";
import { dim } from "../ir/shape.ts";
import { conv2d } from "../nn/conv2d.ts";
import { linear } from "../nn/linear.ts";
import { countElements, type Layer, type LayerHook, type ParameterSpec } from "../nn/module.ts";
import { adamw } from "../optim/adam.ts";
import { sgd } from "../optim/sgd.ts";
import { Random } from "../random.ts";
import { interpDevice, interpret } from "../runtime/interp.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import { scalarTensor, Stepper } from "../train/stepper.ts";
import {
  batchOf,
  convRig,
  feedInput,
  logitsOf,
  lossOf,
  mlpRig,
  readAll,
  type Rig,
  scatterParameters,
  tokenRig,
  tracingOf,
  trainingOf,
} from "./method-rig.ts";

const MODELS = ["mlp", "conv", "tokens"] as const;

export interface MethodCase<C extends object> {
  readonly name: string;
  readonly config: Partial<C>;
  /** What it can be put on. Default: everything, linear layers (`mlp`), convolutions (`conv`) and embeddings (`tokens`). */
  readonly models?: readonly (typeof MODELS)[number][];
  /** It starts as the base, where the method in general does not. */
  readonly startsAsBase?: true;
  /** Why it does not start as the base, where the method in general does. */
  readonly startsElsewhere?: string;
  /** Its file is that of an adapter of another shape, which computes the same but for rounding. */
  readonly converts?: true;
}

export interface MethodFacts<C extends object> {
  /**
   * Number of elements that the method adds to a layer: a formula that shares nothing with the method's code.
   * @param config that of the layer, with its own rank and alpha
   */
  readonly elements: (layer: Layer, config: C) => number;
  /** The same for what it adds to the model as a whole. Default: nothing. */
  readonly sharedElements?: (config: C) => number;
  /** What it can be put on, where a case does not say. Default: everything. */
  readonly models?: MethodCase<C>["models"];
  /** Part of the loss that twenty steps on four rows may leave. Default: 0.4. */
  readonly leaves?: number;
  /** Equal layers with equal parameters compute something else: numbers of their own are drawn for each. */
  readonly ownNumbers?: true;
  /** Why its gradients are not the derivatives of what it computes. */
  readonly notDerivatives?: string;
  /** Settings that PEFT's file cannot hold: how to start, how to compute. A file has to bring back all the others. */
  readonly notInFile: readonly (keyof C & string)[];
  /** Files are read as this method's, which computes the same: settings of how to train are gone then. Default: its own. */
  readonly readAs?: Method<object>;
  /** Adapters that PEFT has saved: folders of golden/peft by the model they are for. */
  readonly golden: readonly { readonly folder: string; readonly model: "mlp" | "conv" }[];
}

/** Rows of a batch: none of the models' sizes. */
const ROWS = 9;
/**
 * Of the largest element: float32 against float64, or the same sum in another order. Three layers of at most a hundred
 * terms, each rounded to 2⁻²⁴.
 */
const ROUNDING = 1e-5;
/** Relative error between a gradient and central differences, both in float64. */
const DIFFERENCE_TOLERANCE = 1e-7;
/** Their error is about step² from the loss and 1e-16 / step from rounding. */
const STEP = 1e-5;

/** Declares the tests of a method. */
export function describeMethod<C extends object>(
  method: Method<C>,
  cases: readonly MethodCase<C>[],
  facts: MethodFacts<C>,
): void {
  describe(method.name, () => {
    const rigs = { mlp: mlpRig(tanh), conv: convRig([1, 0, 2, 1], tanh), tokens: tokenRig(tanh) };
    for (const tried of cases) {
      const { name, models = facts.models ?? MODELS } = tried;
      for (const model of models) {
        describe(`${name}, ${model}`, () => describeCase({ method, tried, rig: rigs[model], facts }));
      }
    }
    for (const { folder, model } of facts.golden) {
      it(`names and shapes its tensors as PEFT does: ${folder}`, () =>
        checkNames(method, model === "mlp" ? mlpRig() : convRig([1, 0]), golden(folder)));
    }
    it("works on a convolution in groups, or refuses it by name", () => checkGroups(method, cases[0]!.config));
  });
}

interface Trial<C extends object> {
  readonly method: Method<C>;
  readonly tried: MethodCase<C>;
  readonly rig: Rig;
  readonly facts: MethodFacts<C>;
}

interface Bench {
  readonly device: Device;
  readonly rig: Rig;
  readonly adapter: Adapter;
  readonly x: Tensor;
  readonly feeds: { readonly x: Tensor; readonly labels: Tensor };
  readonly notInFile: readonly string[];
  readonly readAs: Method<object>;
}

function describeCase<C extends object>({ method, tried, rig, facts }: Trial<C>): void {
  const { config, startsAsBase, startsElsewhere = startsAsBase ? undefined : method.startsElsewhere } = tried;
  const complete = configure(method, config);
  const names = rig.model.layers.map((layer) => layer.name);
  const adapter = attach(rig.model, method, { ...targetsFor(method, names), config });
  const feeds = batchOf(rig, ROWS);
  const { readAs = method } = facts;
  let bench: Bench;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "lowrank-method-"));
    bench = {
      device: await ortDevice({ threads: 1 }),
      rig,
      adapter,
      x: feeds.x,
      feeds,
      notInFile: facts.notInFile,
      readAs,
    };
  });
  after(async () => {
    await bench.device.dispose();
    await rm(folder, { recursive: true });
  });

  const { r, alpha } = complete as Partial<RankConfig>;
  if (alpha !== undefined) it("is tried with a scale that is not 1", () => assert.notEqual(alpha, r));
  it("adds the parameters that its formula counts", () => {
    const expected = rig.model.layers.reduce(
      (sum, layer) => sum + facts.elements(layer, configOn(complete, layer.name)),
      facts.sharedElements?.(complete) ?? 0,
    );
    assert.equal(countElements(adapter.parameters), expected);
  });
  if (startsElsewhere === undefined) it("starts as the base, bit for bit", () => checkStart(bench));
  else it(`does not start as the base: ${startsElsewhere}`, () => assert.rejects(checkStart(bench)));
  it("trains its parameters and no others, and leaves the base as it was", () => checkTraining(bench));
  it("takes the interpreter's steps on the engine, which writes new states over the old ones", () => checkStep(bench));
  // Copies take the place of what they are copies of.
  if (method.merged === undefined && (method.forward !== undefined || method.sequence !== undefined)) {
    it(`cannot be merged, and says why`, () => checkNoMerge(bench));
  } else {
    it("computes the same when it is merged, and unmerging restores every bit", () => checkMerge(bench));
  }
  // Copies of parameters know no gates.
  if (adapter.copies.size === 0) {
    it("can be on or off for each row: a gate of 0 gives the base, bit for bit", () => checkGates(bench));
  }
  if (tried.converts === true) {
    it("computes the same after saving and loading, as another adapter", () => checkConversion(bench, folder));
  } else {
    it("computes the same after saving and loading, bit for bit", () => checkFile(bench, folder));
  }
  it("overfits one batch in 20 steps", () => checkOverfit(bench, facts.leaves ?? 0.4));
  it("goes on after a pause as if there had been none, bit for bit", () =>
    checkResume(bench, folder, tried.converts === true));
  it("is as random as it says: by seed, step and layer", () => checkRandomness(bench, facts));
  if (facts.notDerivatives === undefined) {
    it("has the gradients of central differences, and the engine's numbers are the interpreter's", () =>
      checkGradients(bench));
  } else {
    it(`has the interpreter's gradients on the engine; ${facts.notDerivatives}`, () => checkGradients(bench, false));
  }
}

/** A method on the model as a whole has no targets. */
function targetsFor({ on }: Pick<Method<object>, "on">, layers: readonly string[]) {
  return on === "model" ? {} : { targetModules: layers };
}

/** A fresh adapter on a base with known weights. */
async function start({ device, rig, adapter }: Pick<Bench, "device" | "rig" | "adapter">): Promise<void> {
  await scatterParameters(device, rig.model.parameters, { seed: 3 });
  await initializeAdapter(device, adapter, 5);
}

/** A base with known weights and an adapter whose trained parameters are noise. */
async function scatter({ device, rig, adapter }: Pick<Bench, "device" | "rig" | "adapter">): Promise<void> {
  await start({ device, rig, adapter });
  await scatterParameters(device, adapter.parameters);
}

async function checkStart(bench: Bench): Promise<void> {
  const { device, rig, adapter, x } = bench;
  await start(bench);
  const base = await logitsOf(device, rig, x, []);
  sameBits(await logitsOf(device, rig, x, [adapter]), base, "logits");
}

async function checkTraining(bench: Bench): Promise<void> {
  const { device, rig, adapter, x } = bench;
  await start(bench);
  const base = await logitsOf(device, rig, x, []);
  const frozen = await readAll(device, rig.model.parameters);
  const fresh = await readAll(device, adapter.parameters);
  await train(bench, 3);
  for (const [name, tensor] of await readAll(device, rig.model.parameters)) sameBits(tensor, frozen.get(name)!, name);
  for (const [name, tensor] of await readAll(device, adapter.parameters)) {
    assert.notDeepEqual(tensor.data, fresh.get(name)!.data, `${name} has not moved`);
  }
  sameBits(await logitsOf(device, rig, x, []), base, "logits without the adapter");
  assert.notDeepEqual((await logitsOf(device, rig, x, [adapter])).data, base.data, "the adapter has no effect");
}

async function checkStep({ device, rig, adapter, feeds }: Bench): Promise<void> {
  for (const optimizer of [sgd({ momentum: 0.9 }), adamw()]) {
    await scatter({ device, rig, adapter });
    const judge = interpDevice();
    const given = await readAll(device, [...rig.model.parameters, ...adapterStates(adapter)]);
    for (const [name, tensor] of given) await judge.write(name, tensor);
    const training = trainingOf(rig, [adapter], optimizer);
    // Adam divides by √v: where a gradient is near 0, rounding decides where its parameter goes.
    const compared = [...training.slots, ...(optimizer.name === "sgd" ? adapter.parameters : [])];
    for (const target of [device, judge]) {
      const stepper = await Stepper.create(target, training, { optimizer, seed: 2 });
      await stepper.step(feeds, 0.05);
      await stepper.dispose();
    }
    for (const { name } of compared) close(await device.read(name), await judge.read(name), name);
  }
}

async function checkMerge({ device, rig, adapter, x }: Bench): Promise<void> {
  const { parameters } = rig.model;
  await scatter({ device, rig, adapter });
  const before = await readAll(device, parameters);
  const base = await logitsOf(device, rig, x, []);
  const unmerged = await logitsOf(device, rig, x, [adapter]);
  const kept = await merge(device, adapter);
  const merged = await logitsOf(device, rig, x, []);
  close(merged, unmerged, "merged logits");
  assert.ok(difference(merged, base) > 100 * ROUNDING, "merging has no effect");
  await unmerge(device, kept);
  for (const [name, tensor] of await readAll(device, parameters)) sameBits(tensor, before.get(name)!, name);
}

async function checkNoMerge({ device, adapter }: Bench): Promise<void> {
  await assert.rejects(merge(device, adapter), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.ok((error.problem.hint ?? "").length > 0, "the method does not say why it cannot be merged");
    return true;
  });
}

async function checkGates({ device, rig, adapter, x }: Bench): Promise<void> {
  await scatter({ device, rig, adapter });
  const base = numbersOf(await logitsOf(device, rig, x, []));
  const adapted = numbersOf(await logitsOf(device, rig, x, [adapter]));
  const open = Float32Array.from({ length: ROWS }, (_, row) => row % 3);

  const graph = new Graph();
  const gate = graph.feed("gate", { dtype: "float32", shape: [dim("B")] });
  const perToken = (count: number) => {
    const tokens = expand(reshape(gate, [-1, 1]), [dim("B"), dim(count)]);
    return new Map([[adapter.name, reshape(tokens, [-1, 1])]]);
  };
  const [perRow, perInput] = [perToken(1), perToken(rig.input[0]!)];
  // Embeddings see the tokens of an input one by one, what comes after them a row for all of them.
  const hooks = {
    rows: adapterHook([adapter], { gates: perRow }),
    tokens: adapterHook([adapter], { gates: perInput }),
  };
  const adapt: LayerHook = (call) => hooks[call.layer.kind === "embedding" ? "tokens" : "rows"](call);
  graph.output("logits", rig.model.forward({ ...tracingOf(graph), adapt }, { x: feedInput(graph, rig) }));
  const executable = await device.compile(graph);
  const run = async (data: Float32Array) =>
    numbersOf((await executable.run({ x, gate: { dtype: "float32", shape: [ROWS], data } })).logits!);
  assert.deepEqual(await run(new Float32Array(ROWS)), base);
  const whole = await run(new Float32Array(ROWS).fill(1));
  const mixed = await run(open);
  await executable.dispose();
  const largest = Math.max(...adapted.map(Math.abs));
  whole.forEach((value, i) => assert.ok(Math.abs(value - adapted[i]!) <= ROUNDING * largest));
  mixed.forEach((value, i) => {
    const weight = open[Math.floor(i / rig.classes)]!;
    if (weight === 0) assert.equal(value, base[i]);
    else if (weight === 1) assert.equal(value, whole[i]);
    else if (adapter.method.gated === true) assert.notEqual(value, whole[i]);
    else assert.equal(value, whole[i]);
  });
}

async function checkConversion(bench: Bench, folder: string): Promise<void> {
  const { device, rig, adapter, x } = bench;
  const dir = join(folder, "converted");
  await scatter(bench);
  const expected = await logitsOf(device, rig, x, [adapter]);
  await saveAdapter(device, adapter, dir);
  await withDevice(async (other) => {
    await scatterParameters(other, rig.model.parameters, { seed: 3 });
    const { adapter: loaded, warnings } = await loadAdapter(other, rig.model, dir);
    assert.deepEqual(warnings, []);
    close(await logitsOf(other, rig, x, [loaded]), expected, "logits");
  });
}

async function checkFile(bench: Bench, folder: string): Promise<void> {
  const { device, rig, adapter, x } = bench;
  const dir = join(folder, "adapter");
  await scatter({ device, rig, adapter });
  const expected = await logitsOf(device, rig, x, [adapter]);
  await saveAdapter(device, adapter, dir);
  await withDevice(async (other) => {
    await scatterParameters(other, rig.model.parameters, { seed: 3 });
    const loaded = await reload(other, bench, dir);
    sameBits(await logitsOf(other, rig, x, [loaded]), expected, "logits");
  });
}

async function reload(
  device: Device,
  { adapter: saved, rig, notInFile, readAs }: Bench,
  dir: string,
): Promise<Adapter> {
  const settings = Object.entries(saved.config as Readonly<Record<string, unknown>>).filter(([key]) =>
    Object.hasOwn(readAs.settings, key),
  );
  const config = Object.fromEntries(settings.filter(([key]) => notInFile.includes(key)));
  const { adapter, warnings } = await loadAdapter(device, rig.model, dir, { config, method: readAs.name });
  assert.deepEqual(warnings, []);
  assert.equal(adapter.method.name, readAs.name);
  assert.deepEqual(adapter.config, Object.fromEntries(settings));
  assert.deepEqual(
    adapter.parameters.map(({ name, shape }) => ({ name, shape })),
    saved.parameters.map(({ name, shape }) => ({ name, shape })),
  );
  return adapter;
}

async function checkOverfit(bench: Bench, leaves: number): Promise<void> {
  // Few rows: a small rank cannot learn many random labels by heart.
  const feeds = batchOf(bench.rig, 4);
  await start(bench);
  const before = await evaluate(bench, feeds);
  await train({ ...bench, feeds }, 20);
  const now = await evaluate(bench, feeds);
  assert.ok(now < leaves * before, `the loss fell from ${before} to ${now} only`);
}

/** The loss outside training: nothing is random. */
async function evaluate({ device, rig, adapter }: Bench, feeds: Bench["feeds"]): Promise<number> {
  const graph = new Graph();
  graph.output("loss", lossOf(withCopies({ ...tracingOf(graph), adapt: adapterHook([adapter]) }, [adapter]), rig));
  const executable = await device.compile(graph);
  const { loss } = await executable.run(feeds);
  await executable.dispose();
  return numbersOf(loss!)[0]!;
}

async function checkResume(bench: Bench, folder: string, converts: boolean): Promise<void> {
  const { device, rig, adapter, feeds } = bench;
  const dir = join(folder, "paused");
  await start(bench);
  const optimizer = adamw();
  const whole = await Stepper.create(device, trainingOf(rig, [adapter], optimizer), { optimizer, seed: 11 });
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) losses.push((await whole.step(feeds, 0.01)).loss);
  await saveAdapter(device, adapter, dir);
  if (converts) await saveStates(device, adapter, dir);
  const state = await whole.state();
  for (let i = 0; i < 3; i++) losses.push((await whole.step(feeds, 0.01)).loss);
  await whole.dispose();

  await withDevice(async (other) => {
    await scatterParameters(other, rig.model.parameters, { seed: 3 });
    const loaded = converts ? await restored(other, bench, dir) : await reload(other, bench, dir);
    const training = trainingOf(rig, [loaded], optimizer);
    const resumed = await Stepper.create(other, training, { optimizer, resume: state });
    assert.equal(resumed.steps, 3);
    for (const loss of losses.slice(3)) assert.equal((await resumed.step(feeds, 0.01)).loss, loss);
    for (const { name } of [...adapter.parameters, ...training.slots]) {
      sameBits(await other.read(name), await device.read(name), name);
    }
  });
}

/** A fresh adapter with the states of a checkpoint. */
async function restored(device: Device, { rig, adapter }: Bench, dir: string): Promise<Adapter> {
  await start({ device, rig, adapter });
  await restoreAdapter(device, adapter, dir);
  return adapter;
}

async function checkRandomness(bench: Bench, { ownNumbers }: Pick<MethodFacts<object>, "ownNumbers">): Promise<void> {
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

async function checkGradients({ device, rig, adapter, feeds }: Bench, areDerivatives = true): Promise<void> {
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

async function checkNames<C extends object>(method: Method<C>, rig: Rig, dir: string): Promise<void> {
  const written = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as {
    readonly peft_type: string;
  };
  assert.equal(written.peft_type, peftType(method as Method<object>));
  const folder = await mkdtemp(join(tmpdir(), "lowrank-method-"));
  try {
    await withDevice(async (device) => {
      const { adapter } = await loadAdapter(device, rig.model, dir);
      const layers = adapter.targets.map(({ layer }) => layer.name);
      const config = adapter.config as Partial<C>;
      const ours = attach(rig.model, method, { targetModules: layers, config });
      await start({ device, rig, adapter: ours });
      await saveAdapter(device, ours, folder);
    });
    assert.deepEqual(await layout(folder), await layout(dir));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function layout(dir: string): Promise<Record<string, readonly number[]>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  await file.close();
  return Object.fromEntries([...file.tensors].map(([name, { shape }]): [string, readonly number[]] => [name, shape]));
}

async function checkGroups<C extends object>(method: Method<C>, config: Partial<C>): Promise<void> {
  const layer = conv2d("depthwise", 4, 6, [3, 2], { groups: 2 });
  let adapter: Adapter;
  try {
    adapter = attach({ ...layer, layers: [layer.layer] }, method, { ...targetsFor(method, ["depthwise"]), config });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, /depthwise/);
    assert.match(error.message, /2 groups/);
    return;
  }
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(4), dim(5), dim(6)] });
  const tracing = { ...tracingOf(graph), adapt: adapterHook([adapter]) };
  assert.equal(layer.forward(tracing, x).type.shape[1]!.size, 6);
}

/** Losses of AdamW steps on the batch. */
async function train({ device, rig, adapter, feeds }: Bench, steps: number): Promise<number[]> {
  const optimizer = adamw();
  const stepper = await Stepper.create(device, trainingOf(rig, [adapter], optimizer), { optimizer });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push((await stepper.step(feeds, 0.05)).loss);
  await stepper.dispose();
  return losses;
}

async function withDevice(use: (device: Device) => Promise<void>): Promise<void> {
  const device = await ortDevice({ threads: 1 });
  try {
    await use(device);
  } finally {
    await device.dispose();
  }
}

function golden(folder: string): string {
  return fileURLToPath(new URL(`../../../golden/peft/${folder}`, import.meta.url));
}

/** Equal as numbers; 0 and -0 are. */
function sameBits(got: Tensor, want: Tensor, what: string): void {
  assert.deepEqual(got.shape, want.shape, what);
  const [numbers, wanted] = [numbersOf(got), numbersOf(want)];
  const at = numbers.findIndex((value, i) => value !== wanted[i]);
  assert.equal(at, -1, `${what}: element ${at} is ${numbers[at]} and not ${wanted[at]}`);
}

function differs(a: Tensor, b: Tensor): boolean {
  const other = numbersOf(b);
  return numbersOf(a).some((value, i) => value !== other[i]);
}

function close(got: Tensor, want: Tensor, what: string): void {
  assert.deepEqual(got.shape, want.shape, what);
  const error = difference(got, want);
  assert.ok(error <= ROUNDING, `${what} differ by ${error} of the largest`);
}

/** Largest difference, as a part of the largest element of `want`. */
function difference(got: Tensor, want: Tensor): number {
  const wanted = numbersOf(want);
  const largest = Math.max(...wanted.map(Math.abs));
  return Math.max(...numbersOf(got).map((value, i) => Math.abs(value - wanted[i]!))) / largest;
}

function numbersOf({ data }: Tensor): number[] {
  return Array.from<number | bigint, number>(data, Number);
}
