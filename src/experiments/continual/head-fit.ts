/**
 * The head of a classifier, trained alone on a backbone that stays as it is. The backbone's hidden states are the same in every
 * pass, so that they are computed once; the head is fitted on them to the minimum of
 *
 *     mean cross-entropy + λ/2 ‖θ‖²     θ: the head's weights, starting at 0
 *
 * which for a linear head is the one that training it with the backbone frozen, and weight decay λ, tends to. Hidden states are
 * first divided by their mean size, so that λ means the same on every backbone; that is only another scale of the weights.
 */
import { grad } from "../../ir/grad.ts";
import { Graph, type Value } from "../../ir/graph.ts";
import { mul } from "../../ir/ops/mul.ts";
import { reduceSum } from "../../ir/ops/reduce-sum.ts";
import { softmaxCrossEntropy } from "../../ir/ops/softmax-cross-entropy.ts";
import { dim, shapeOf } from "../../ir/shape.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { ParameterSpec, Tracing } from "../../nn/module.ts";
import { Random, streamOf } from "../../random.ts";
import type { Device, Executable, Feeds, Tensor } from "../../runtime/runtime.ts";
import { minimize } from "./lbfgs.ts";

/** Hidden states that tell the classes of texts: [count, width], row-major. */
export interface Features {
  readonly count: number;
  readonly width: number;
  readonly data: Float32Array;
  readonly labels: readonly number[];
}

/** A head that has been fitted. */
export interface FittedHead {
  /** Mean cross-entropy on what it was fitted on, in nats. */
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  readonly iterations: number;
  readonly converged: boolean;
  /** Share of the texts whose class is the most probable one. */
  accuracy(features: Features): Promise<number>;
}

const ROWS = "head/rows";
const LABELS = "head/labels";
/** Of a head with hidden layers, which would not move from 0. */
const START_SEED = 0;

/** Heads of one model on one device. */
export class HeadFitter {
  readonly #model: TextModel;
  /** Of the head. */
  readonly #parameters: readonly ParameterSpec[];
  readonly #loss: Executable;
  readonly #logits: Executable;

  private constructor(
    model: TextModel,
    parameters: readonly ParameterSpec[],
    { loss, logits }: { readonly loss: Executable; readonly logits: Executable },
  ) {
    this.#model = model;
    this.#parameters = parameters;
    this.#loss = loss;
    this.#logits = logits;
  }

  /** @param model with a head of classes; nothing of it need be on the device */
  static async create(device: Device, model: TextModel): Promise<HeadFitter> {
    const logits = new Graph();
    const { parameters, output } = trace(logits, model);
    logits.output("logits", output);
    const loss = new Graph();
    const { parameters: trained, values, output: predicted } = trace(loss, model);
    const labels = loss.feed(LABELS, { dtype: "int32", shape: [dim("N")] });
    const sum = reduceSum(softmaxCrossEntropy(predicted, labels));
    const weight = loss.feed("head/weight", { dtype: "float32", shape: [] });
    const mean = mul(sum, weight);
    loss.output("loss", mean);
    grad(mean, values).forEach((gradient, i) => loss.output(`gradient/${trained[i]!.name}`, gradient));
    return new HeadFitter(model, parameters, {
      loss: await device.compile(loss),
      logits: await device.compile(logits),
    });
  }

  /** @param l2 λ. Default: 1e-3 */
  async fit(given: Features, l2 = 1e-3): Promise<FittedHead> {
    const scale = 1 / meanSize(given);
    const { count, width, labels } = given;
    const rows: Tensor = { dtype: "float32", shape: [count, width], data: scaled(given, scale) };
    const fixed: Feeds = {
      [ROWS]: rows,
      [LABELS]: { dtype: "int32", shape: [count], data: Int32Array.from(labels) },
      "head/weight": { dtype: "float32", shape: [], data: Float32Array.of(1 / count) },
    };
    let crossEntropy = NaN;
    const { x, iterations, converged } = await minimize(async (point) => {
      const results = await this.#loss.run({ ...fixed, ...this.#feeds(point) });
      crossEntropy = Number(results["loss"]!.data[0]);
      const gradient = point.map((part) => l2 * part);
      let at = 0;
      for (const { name } of this.#parameters) {
        for (const part of results[`gradient/${name}`]!.data as Float32Array) gradient[at++]! += part;
      }
      const decay = point.reduce((sum, part) => sum + part * part, 0);
      return { value: crossEntropy + (l2 / 2) * decay, gradient };
    }, this.#start());
    const head = this.#feeds(x);
    const accuracy = async (features: Features) => {
      const data = scaled(features, scale);
      const { logits } = await this.#logits.run({
        ...head,
        [ROWS]: { dtype: "float32", shape: [features.count, features.width], data },
      });
      const { outputs } = this.#model;
      const right = features.labels.filter((label, i) => {
        const row = (logits!.data as Float32Array).subarray(i * outputs, (i + 1) * outputs);
        return row.indexOf(Math.max(...row)) === label;
      });
      return right.length / features.count;
    };
    return { trainLoss: crossEntropy, trainAccuracy: await accuracy(given), iterations, converged, accuracy };
  }

  async dispose(): Promise<void> {
    await this.#loss.dispose();
    await this.#logits.dispose();
  }

  /** A single matrix starts at 0: its loss has one minimum. Several are drawn, and keep their own start. */
  #start(): Float64Array {
    const isLinear = this.#parameters.filter(({ shape }) => shape.length > 1).length === 1;
    const values = this.#parameters.flatMap(({ name, shape, init }) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return isLinear
        ? Array.from({ length }, () => 0)
        : Array.from(init(new Random(START_SEED, streamOf(name)), length));
    });
    return Float64Array.from(values);
  }

  #feeds(point: Float64Array): Feeds {
    let at = 0;
    return Object.fromEntries(
      this.#parameters.map(({ name, shape }): [string, Tensor] => {
        const length = shape.reduce((a, b) => a * b, 1);
        const data = Float32Array.from(point.subarray(at, at + length));
        at += length;
        return [name, { dtype: "float32", shape, data }];
      }),
    );
  }
}

/** The head on rows of features, its parameters as feeds. */
function trace(
  graph: Graph,
  model: TextModel,
): { parameters: readonly ParameterSpec[]; values: readonly Value[]; output: Value } {
  const rows = graph.feed(ROWS, { dtype: "float32", shape: [dim("N"), dim(model.hiddenSize)] });
  const read = new Map<string, Value>();
  const isNew = (name: string) => model.newModules?.some((module) => name.startsWith(`${module}.`)) === true;
  const tracing: Tracing = {
    graph,
    training: false,
    typicalSizes: {},
    parameter(name, shape) {
      const type = { dtype: "float32", shape: shapeOf(shape) } as const;
      // What a checkpoint brings is of the backbone, such as the pooler of BERT.
      if (!isNew(name)) return graph.state(name, type);
      const value = read.get(name) ?? graph.feed(name, type);
      read.set(name, value);
      return value;
    },
  };
  const output = model.head(tracing, rows);
  const parameters = model.parameters.filter(({ name }) => read.has(name));
  return { parameters, values: parameters.map(({ name }) => read.get(name)!), output };
}

/** Root mean square of the elements. */
function meanSize({ data }: Features): number {
  let sum = 0;
  for (const value of data) sum += value * value;
  return Math.sqrt(sum / data.length) || 1;
}

function scaled({ data }: Features, scale: number): Float32Array {
  return data.map((value) => value * scale);
}
