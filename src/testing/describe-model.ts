/**
 * What every model of text keeps, as tests, against golden files of transformers (golden/make/causal_lm.py, text_heads.py):
 * the output of every block, logits, loss, the gradient of every parameter, and ten steps of AdamW on all of them; on the
 * reference interpreter and on ONNX Runtime.
 *
 * Padded positions are not compared: nothing that counts may depend on them, and what they hold is nobody's business.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readModelConfig } from "../formats/model/config.ts";
import { openCheckpoint } from "../formats/safetensors/index.ts";
import { grad } from "../ir/grad.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { scalar } from "../ir/ops/constant.ts";
import { gather } from "../ir/ops/gather.ts";
import { mul } from "../ir/ops/mul.ts";
import { reduceSum } from "../ir/ops/reduce-sum.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { softmaxCrossEntropy } from "../ir/ops/softmax-cross-entropy.ts";
import { dim } from "../ir/shape.ts";
import { NO_VIRTUAL } from "../lm/adapted-sequence.ts";
import { forwardInputs } from "../lm/forward.ts";
import { classTokenAt } from "../lm/forward-classes.ts";
import { storedTask } from "../lm/read-model.ts";
import { type Rows, sequenceFeeds, wholeSequence } from "../lm/sequence.ts";
import type { TextModel, ModelFamily } from "../models/text-model.ts";
import type { Tracing } from "../nn/module.ts";
import { adamw } from "../optim/adam.ts";
import { interpDevice } from "../runtime/interp.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, Feeds, Results, Tensor } from "../runtime/runtime.ts";
import { Stepper } from "../train/stepper.ts";
import { trainingGraph } from "../train/training-graph.ts";
import { tracingOf } from "./method-rig.ts";

/** Of the largest element: how far a number may be from that of transformers. */
interface Tolerances {
  readonly forward: number;
  readonly gradient: number;
  /** Relative error of the loss after up to ten steps. */
  readonly curve: number;
}

/** The interpreter is exact; a float64 transformers still rounds norms and cosines to float32, 2⁻²⁴ each. */
const INTERPRETER: Tolerances = { forward: 1e-6, gradient: 5e-6, curve: 5e-6 };
/**
 * float32 rounds each of at most a hundred terms to 2⁻²⁴, in three blocks. AdamW divides by √v, which magnifies the
 * rounding of small gradients.
 */
const ENGINE: Tolerances = { forward: 1e-5, gradient: 2e-5, curve: 1e-4 };

/** A label that no loss is computed for. */
const IGNORED = -100;

/** A folder of golden files: a model of transformers and what it computes. */
interface GoldenLm {
  readonly model: TextModel;
  readonly batch: GoldenBatch;
  readonly rows: Rows;
  /** Parameters, by name. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Rows of [B · T] that the head reads, and what it is to say of each: all of them, or those that tell the class. */
  readonly targets: { readonly at: readonly number[]; readonly labels: readonly number[] };
  /** Outputs and gradients, by name. */
  readonly expected: ReadonlyMap<string, Tensor>;
}

/** What batch.json holds. */
interface GoldenBatch {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  /** Absent: those that the model counts itself. */
  readonly position_ids?: readonly (readonly number[])[];
  readonly token_type_ids?: readonly (readonly number[])[];
  /** Of the tokens, or of the rows. */
  readonly labels: readonly (readonly number[])[] | readonly number[];
  readonly loss: number;
  readonly learning_rate: number;
  readonly weight_decay: number;
  readonly losses: readonly number[];
}

/** Declares the tests of a model family. @param folders of golden files */
export function describeModel(family: ModelFamily, folders: readonly string[]): void {
  describe(family.modelType, () => {
    for (const folder of folders) {
      describe(basename(folder), () => {
        let golden: GoldenLm;
        before(async () => {
          golden = await readGolden(family, folder);
        });
        it("has the parameters that transformers saves, and ties the others", () => checkParameters(golden));
        it("names the parameters of its layers", () => checkLayers(golden));
        describe("on the interpreter", () =>
          describeNumbers(
            () => golden,
            async () => interpDevice(),
            INTERPRETER,
          ));
        describe("on ONNX Runtime", () =>
          describeNumbers(
            () => golden,
            () => ortDevice({ threads: 1 }),
            ENGINE,
          ));
      });
    }
  });
}

/** @param open makes the device */
function describeNumbers(golden: () => GoldenLm, open: () => Promise<Device>, tolerances: Tolerances): void {
  let device: Device;
  before(async () => {
    device = await open();
  });
  after(() => device.dispose());
  it("has the output of every block, the logits and the loss", () => checkForward(device, golden(), tolerances));
  it("has the gradient of every parameter", () => checkGradients(device, golden(), tolerances));
  it("trains as transformers does", () => checkTraining(device, golden(), tolerances));
}

async function readGolden(family: ModelFamily, folder: string): Promise<GoldenLm> {
  const config = await readModelConfig(folder);
  assert.equal(config.modelType, family.modelType);
  const model = family.build(config, storedTask(config));
  config.check();
  const batch = JSON.parse(await readFile(join(folder, "batch.json"), "utf8")) as GoldenBatch;
  const weights = await readTensors(join(folder, "model.safetensors"));
  return {
    model,
    batch,
    rows: rowsOf(model, batch),
    targets: targetsOf(model, batch, config.has("pad_token_id") ? config.number("pad_token_id") : undefined),
    weights,
    expected: await readTensors(join(folder, "expected.safetensors")),
  };
}

async function readTensors(path: string): Promise<Map<string, Tensor>> {
  const file = await openCheckpoint(path);
  try {
    const tensors = new Map<string, Tensor>();
    for (const [name, { shape }] of file.tensors) {
      tensors.set(name, { dtype: "float32", shape, data: await file.readFloat32(name) });
    }
    return tensors;
  } finally {
    await file.close();
  }
}

function rowsOf(model: TextModel, { input_ids, attention_mask, position_ids, token_type_ids }: GoldenBatch): Rows {
  const input = {
    inputIds: input_ids,
    attentionMask: attention_mask,
    ...(position_ids === undefined ? {} : { positionIds: position_ids }),
    ...(token_type_ids === undefined ? {} : { tokenTypeIds: token_type_ids }),
  };
  return forwardInputs(input, NO_VIRTUAL, model);
}

function targetsOf(
  model: TextModel,
  { input_ids: ids, labels }: GoldenBatch,
  padTokenId: number | undefined,
): GoldenLm["targets"] {
  const length = ids[0]!.length;
  if (model.task.kind === "classification") {
    return {
      at: ids.map((row, b) => b * length + classTokenAt(model, row, { padTokenId })),
      labels: labels.map(Number),
    };
  }
  const ofTokens = labels as readonly (readonly number[])[];
  // The next token is what is to be predicted, or the one at the place itself.
  const wanted = model.task.kind === "causal" ? ofTokens.map((row) => [...row.slice(1), IGNORED]) : ofTokens;
  return { at: Array.from({ length: ids.length * length }, (_, i) => i), labels: wanted.flat() };
}

function checkParameters({ model, weights }: GoldenLm): void {
  const ours = model.parameters.map(({ name, shape }) => `${name} [${shape.join(", ")}]`);
  const theirs = [...weights].flatMap(([name, { shape }]) =>
    model.otherHeads?.test(name) === true && ours.every((own) => !own.startsWith(`${name} `))
      ? []
      : [`${name} [${shape.join(", ")}]`],
  );
  assert.deepEqual(ours.toSorted(), theirs.toSorted());
  for (const [name, source] of Object.entries(model.tied)) {
    assert.ok(!weights.has(name), `${name} is stored`);
    assert.ok(weights.has(source), `${source} is not stored`);
  }
}

function checkLayers({ model }: GoldenLm): void {
  const shapes = new Map(model.parameters.map(({ name, shape }) => [name, shape]));
  const named = model.layers.flatMap((layer) => {
    const shape = shapes.get(model.tied[layer.weight] ?? layer.weight);
    const { inFeatures, outFeatures } = layer;
    const stored = layer.kind === "embedding" || (layer.kind === "linear" && layer.fanInFanOut === true);
    assert.deepEqual(shape, stored ? [inFeatures, outFeatures] : [outFeatures, inFeatures], layer.name);
    const bias = layer.kind === "linear" ? layer.bias : undefined;
    if (bias !== undefined) assert.deepEqual(shapes.get(model.tied[bias] ?? bias), [outFeatures], bias);
    return [layer.weight, ...(bias === undefined ? [] : [bias, model.tied[bias] ?? bias])];
  });
  const missing = model.parameters.flatMap(({ name }) => (named.includes(name) ? [] : [name]));
  assert.deepEqual(
    missing.filter((name) => !/norm|ln_/i.test(name)),
    [],
    "parameters that no layer has, besides those of norms",
  );
}

async function checkForward(device: Device, golden: GoldenLm, { forward }: Tolerances): Promise<void> {
  const { expected, batch } = golden;
  const graph = new Graph();
  const { loss, logits, blocks } = trace(tracingOf(graph), golden);
  blocks.forEach((x, i) => graph.output(`block.${i}`, x));
  graph.output("logits", logits);
  graph.output("loss", loss);
  const results = await runGolden(device, golden, graph);
  assert.equal(blocks.length, golden.model.blocks);
  for (const name of [...blocks.map((_, i) => `block.${i}`), "logits"]) {
    const { shape, data } = expected.get(name)!;
    const counted = (values: Tensor["data"]) =>
      shape.length === 3 ? unpadded({ dtype: "float32", shape, data: values }, batch) : Array.from(values, Number);
    near(counted(results[name]!.data), counted(data), forward, name);
  }
  near([Number(results.loss!.data[0])], [batch.loss], forward, "loss");
}

async function checkGradients(device: Device, golden: GoldenLm, { gradient }: Tolerances): Promise<void> {
  const { parameters } = golden.model;
  const graph = new Graph();
  const tracing = tracingOf(graph);
  const { loss } = trace(tracing, golden);
  const values = parameters.map(({ name, shape }) => tracing.parameter(name, shape));
  grad(loss, values).forEach((value, i) => graph.output(`gradient.${parameters[i]!.name}`, value));
  const results = await runGolden(device, golden, graph);
  const largest = Math.max(...parameters.map(({ name }) => size(golden.expected.get(`gradient.${name}`)!.data)));
  for (const { name } of parameters) {
    const key = `gradient.${name}`;
    // The same for all keys, it moves every score of a query alike: without rotations it has no effect.
    if (name.endsWith(".self.key.bias")) {
      assert.ok(size(results[key]!.data) <= gradient * largest, `${key} is not zero`);
      continue;
    }
    near(results[key]!.data, golden.expected.get(key)!.data, gradient, key);
  }
}

async function checkTraining(device: Device, golden: GoldenLm, { curve }: Tolerances): Promise<void> {
  const { model, batch } = golden;
  await writeWeights(device, golden);
  const optimizer = adamw({ weightDecay: batch.weight_decay });
  const training = trainingGraph({
    parameters: model.parameters,
    trainable: new Set(model.parameters.map(({ name }) => name)),
    optimizer,
    loss: (tracing) => trace(tracing, golden).loss,
  });
  const stepper = await Stepper.create(device, training, { optimizer });
  for (const [i, expected] of batch.losses.entries()) {
    const { loss } = await stepper.step(feedsOf(golden), batch.learning_rate);
    near([loss], [expected], curve, `loss of step ${i + 1}`);
  }
  await stepper.dispose();
}

/** The mean loss over the labels, in the plainest way; logits [R, outputs]; the output of every block, [B, T, D]. */
function trace(tracing: Tracing, { model, targets }: GoldenLm): { loss: Value; logits: Value; blocks: Value[] } {
  const { graph } = tracing;
  const blocks: Value[] = [];
  const tied: Tracing = {
    ...tracing,
    parameter: (name, shape) => tracing.parameter(model.tied[name] ?? name, shape),
  };
  const hidden = model.hidden(tied, wholeSequence(graph, model), (_, x) => blocks.push(x)); // [B, T, D]
  const R = dim("R");
  const at = graph.feed("at", { dtype: "int32", shape: [R] });
  const labels = graph.feed("labels", { dtype: "int32", shape: [R] });
  const rows = model.head(tied, gather(reshape(hidden, [-1, model.hiddenSize]), at)); // [R, outputs]
  const sum = reduceSum(softmaxCrossEntropy(rows, labels));
  const count = targets.labels.filter((label) => label !== IGNORED).length;
  return { loss: mul(sum, scalar(graph, 1 / count)), logits: rows, blocks };
}

function feedsOf({ model, rows, targets }: GoldenLm): Feeds {
  const integers = (values: readonly number[]): Tensor => ({
    dtype: "int32",
    shape: [values.length],
    data: Int32Array.from(values),
  });
  return { ...sequenceFeeds(model, rows), at: integers(targets.at), labels: integers(targets.labels) };
}

async function writeWeights(device: Device, { weights }: GoldenLm): Promise<void> {
  for (const [name, tensor] of weights) await device.write(name, tensor);
}

async function runGolden(device: Device, golden: GoldenLm, graph: Graph): Promise<Results> {
  await writeWeights(device, golden);
  const executable = await device.compile(graph);
  try {
    return await executable.run(feedsOf(golden));
  } finally {
    await executable.dispose();
  }
}

/** Elements [B, T, ...] at positions that are not padding. */
function unpadded({ shape, data }: Tensor, { attention_mask }: GoldenBatch): number[] {
  const width = shape.slice(2).reduce((a, b) => a * b, 1);
  return attention_mask
    .flat()
    .flatMap((real, row) => (real === 0 ? [] : Array.from(data.subarray(row * width, (row + 1) * width), Number)));
}

/** The largest element, without its sign. */
function size(values: ArrayLike<number | bigint>): number {
  return Math.max(...Array.from(values, (value) => Math.abs(Number(value))));
}

/** Asserts that no element is off by more than `tolerance` times the largest one. */
function near(got: ArrayLike<number | bigint>, expected: ArrayLike<number | bigint>, tolerance: number, what: string) {
  assert.equal(got.length, expected.length, `${what}: number of elements`);
  const largest = size(expected);
  assert.ok(largest > 0, `${what}: zeros show nothing`);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(Number(got[i]) - Number(expected[i])) / largest;
    if (!(error <= tolerance)) {
      assert.fail(`${what}[${i}]: ${got[i]} instead of ${expected[i]}, off by ${error} of the largest element`);
    }
  }
}
