/**
 * Continual learning (Shuttleworth et al. 2024, arXiv 2410.21228, §5 and appendix B): a model is tuned on one task after the
 * other. After each, what LoRA has learnt is merged into the weights and its factors start anew. For a test every task's head, and
 * nothing else, is trained again on the backbone as it is then, and evaluated; a hash over the backbone's parameters shows that tests
 * change none of them.
 *
 * What a task has given, and all that the next one needs, is on disk before the next one starts: a sequence that was stopped goes
 * on with the task it was in, and gives the same bits as one that was not.
 */
import { createHash } from "node:crypto";
import { ConfigError } from "../../errors.ts";
import { intrudersAmong } from "../../analysis/measures/intruders.ts";
import { corner, cosines, maxCosines } from "../../analysis/measures/similarity.ts";
import { type Svd, svd } from "../../linear-algebra/svd.ts";
import type { LinearLayer } from "../../nn/module.ts";
import { Backbone, type EncodedTask } from "../rig/backbone.ts";
import type { Example, Task } from "../tasks/index.ts";
import { FeatureReader } from "./features.ts";
import { HeadFitter } from "./head-fit.ts";
import { begin, type ContinualMethod, EMPTY, end, type Memory, methodLabel, show } from "./method.ts";
import { PretrainingLoss } from "./pretraining-loss.ts";
import { readStage, writeStage } from "./stage-files.ts";
import { type TrainedTask, trainTask } from "./train-task.ts";

export interface SequenceTask extends Task {
  readonly train: readonly Example[];
  readonly test: readonly Example[];
}

export interface SequenceOptions {
  /** Folder of the model. */
  readonly model: string;
  /** In their order. */
  readonly tasks: readonly SequenceTask[];
  readonly method: ContinualMethod;
  readonly seed: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** Default: 0.06. */
  readonly warmupRatio?: number;
  /** Training texts that heads are fitted on for tests, at most. Default: all. */
  readonly headTexts?: number;
  /** λ of a head's fit. Default: 0.01. */
  readonly headDecay?: number;
  /** Tokens of a text at most. Default: the model's positions. */
  readonly maxLength?: number;
  /** Texts like those of the pretraining, whose loss says what is forgotten of it. Default: it is not measured. */
  readonly pretrainingTexts?: readonly string[];
  /** Endings of the names of layers whose similarity with the base's is kept for pictures. Default: none. */
  readonly pictured?: readonly string[];
}

export interface SequenceContext {
  /** Folder for what is needed to go on. */
  readonly folder: string;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What part of it is done, 0 to 1. */
  progress?(fraction: number): void;
}

export interface SequenceResult {
  readonly tasks: readonly {
    readonly name: string;
    readonly labels: readonly string[];
    readonly train: number;
    readonly test: number;
    /** Texts that were longer than a row, of both. */
    readonly cut: number;
    /** Share of the largest class among the test texts: what knowing nothing gives. */
    readonly majority: number;
  }[];
  /** Of the base as it was. */
  readonly baseline: TestedStage;
  /** After each task. */
  readonly stages: readonly TrainedStage[];
}

export interface TestedStage {
  /** On each task, with a head of its own that was trained on this backbone; 0 to 1. */
  readonly accuracies: readonly number[];
  /** In nats per token; null if it was not measured. */
  readonly pretrainingLoss: number | null;
  /** SHA-256 of the backbone, the same before and after the tests. */
  readonly backboneHash: string;
}

export interface TrainedStage extends TestedStage {
  readonly task: string;
  readonly training: TrainedTask;
  /** Against the base as it was, ε = 0.5 among the first 10: sums over the matrices, by side. */
  readonly intruders: { readonly left: number; readonly right: number };
  /** The same for each matrix: left and right. */
  readonly intrudersByMatrix: Readonly<Record<string, readonly [left: number, right: number]>>;
  /** ‖ΔW‖_F / ‖W₀‖_F, mean over the matrices. */
  readonly change: number;
  /**
   * Of methods that keep the factors of all tasks: overlap of this task's A with those before, ‖A_i A_tᵀ‖_F / (‖A_i‖_F ‖A_t‖_F),
   * mean over matrices and tasks before; null for the first task, and for other methods.
   */
  readonly overlap: number | null;
  /** |U₀ᵀ U| of left vectors, the first ten of each, three decimals, of the matrices that were asked for. */
  readonly pictures: readonly SimilarityPicture[];
}

export interface SimilarityPicture {
  /** Of the layer. */
  readonly name: string;
  readonly similarity: readonly (readonly number[])[];
  /** Ranks of the intruders among the tuned vectors, from 1: decided with all base vectors. */
  readonly intruders: readonly number[];
}

const HEAD_DECAY = 0.01;
const WARM_UP = 0.06;
const TOP = 10;
const EPSILON = 0.5;
/** Share of a task's time that its training takes. */
const TRAINING_SHARE = 0.75;

/**
 * @throws the signal's reason when it is stopped; ConfigError if the folder holds the stages of another sequence; NumericError if
 *   a loss is not finite
 */
export async function runSequence(options: SequenceOptions, context: SequenceContext): Promise<SequenceResult> {
  const { tasks, model } = options;
  if (tasks.length === 0) throw new ConfigError({ where: "tasks", what: "there are none" });
  const identity = identityOf(options);
  const backbone = await Backbone.open(model, context.threads);
  try {
    const run = new Sequence(backbone, await FeatureReader.create(backbone), options, context, identity);
    try {
      return await run.run();
    } finally {
      await run.dispose();
    }
  } finally {
    await backbone.dispose();
  }
}

interface PreparedTask {
  readonly task: SequenceTask;
  readonly train: EncodedTask;
  readonly test: EncodedTask;
}

class Sequence {
  readonly #backbone: Backbone;
  readonly #features: FeatureReader;
  /** By the number of classes. */
  readonly #fitters = new Map<number, HeadFitter>();
  readonly #options: SequenceOptions;
  readonly #context: SequenceContext;
  readonly #identity: string;
  /** Of the base's matrices, by their names. */
  readonly #base = new Map<string, { readonly svd: Svd; readonly data: Float32Array }>();
  #prepared: readonly PreparedTask[] = [];
  #pretrainingLoss: PretrainingLoss | undefined;

  constructor(
    backbone: Backbone,
    features: FeatureReader,
    options: SequenceOptions,
    context: SequenceContext,
    identity: string,
  ) {
    this.#backbone = backbone;
    this.#features = features;
    this.#options = options;
    this.#context = context;
    this.#identity = identity;
  }

  async run(): Promise<SequenceResult> {
    const { tasks, maxLength } = this.#options;
    const prepared: PreparedTask[] = [];
    for (const task of tasks) {
      const train = await this.#backbone.encode(task.train, maxLength);
      prepared.push({ task, train, test: await this.#backbone.encode(task.test, maxLength) });
    }
    this.#prepared = prepared;
    for (const layer of this.#backbone.layers) {
      const data = await this.#weight(layer);
      this.#base.set(layer.weight, { data, svd: svd(matrixOf(layer, data)) });
    }
    const saved = await readStage(this.#context.folder, this.#identity);
    let memory: Memory = EMPTY;
    let baseline: TestedStage;
    const stages: TrainedStage[] = [];
    if (saved === undefined) {
      baseline = await this.#test();
      await this.#save({ baseline, stages: [] }, memory);
    } else {
      ({ baseline } = saved.results);
      stages.push(...saved.results.stages);
      for (const [name, tensor] of saved.weights) await this.#backbone.device.write(name, tensor);
      memory = saved.memory;
    }
    for (let at = stages.length; at < tasks.length; at++) {
      const done = await this.#task(at, memory);
      memory = done.memory;
      stages.push(done.stage);
      await this.#save({ baseline, stages }, memory);
    }
    return {
      tasks: this.#prepared.map(({ task, train, test }) => ({
        name: task.name,
        labels: task.labels,
        train: train.rows.length,
        test: test.rows.length,
        cut: train.cut + test.cut,
        majority: majorityOf(task),
      })),
      baseline,
      stages,
    };
  }

  async #task(at: number, memory: Memory): Promise<{ stage: TrainedStage; memory: Memory }> {
    const { method, seed, epochs, batchSize, warmupRatio = WARM_UP, tasks } = this.#options;
    const { device, tokenizer, layers, parameters } = this.#backbone;
    const { task, train } = this.#prepared[at]!;
    const model = this.#backbone.classifier(task.labels.length);
    const own = new Set(layers.map(({ weight }) => weight));
    const weights = parameters.filter(({ name }) => own.has(name));
    const seedOfTask = seedOf(seed, at);
    const share = (part: number) => this.#context.progress?.((at + part * TRAINING_SHARE) / tasks.length);
    const attached = await begin(device, model, method, weights, memory, seedOfTask);
    const training = await trainTask(
      device,
      model,
      attached,
      train.rows,
      { epochs, batchSize, learningRate: method.learningRate, warmupRatio, seed: seedOfTask },
      { signal: this.#context.signal, padId: tokenizer.padId, onStep: share },
    );
    const merged = await show(device, attached);
    const tested = await this.#test();
    const measured = await this.#measure();
    const next = await end(device, method, attached, merged, memory);
    const overlap = method.kind === "o-lora" ? overlapOf(next, layers) : null;
    return { stage: { task: task.name, training, overlap, ...measured, ...tested }, memory: next };
  }

  /** Every task's head anew, on the backbone as it is. */
  async #test(): Promise<TestedStage> {
    const { headTexts = Infinity, headDecay = HEAD_DECAY, pretrainingTexts } = this.#options;
    const backboneHash = await this.#backbone.hash();
    const accuracies: number[] = [];
    for (const { task, train, test } of this.#prepared) {
      this.#context.signal?.throwIfAborted();
      const fitter = await this.#fitter(task.labels.length);
      const head = await fitter.fit(await this.#features.read(train.rows.slice(0, headTexts)), headDecay);
      accuracies.push(await head.accuracy(await this.#features.read(test.rows)));
    }
    const pretrainingLoss = pretrainingTexts === undefined ? null : await this.#lossOn(pretrainingTexts);
    const after = await this.#backbone.hash();
    if (after !== backboneHash) throw new Error(`tests have changed the backbone: ${backboneHash} became ${after}`);
    return { accuracies, pretrainingLoss, backboneHash };
  }

  async #lossOn(texts: readonly string[]): Promise<number> {
    this.#pretrainingLoss ??= await PretrainingLoss.create(this.#backbone, texts, this.#options.maxLength);
    return this.#pretrainingLoss.measure(this.#context.signal);
  }

  /** The weights as they are against the base's. */
  async #measure(): Promise<Pick<TrainedStage, "intruders" | "intrudersByMatrix" | "change" | "pictures">> {
    const { layers } = this.#backbone;
    const { pictured = [] } = this.#options;
    const intruders = { left: 0, right: 0 };
    const intrudersByMatrix: Record<string, readonly [number, number]> = {};
    const pictures: SimilarityPicture[] = [];
    let change = 0;
    for (const layer of layers) {
      const { svd: base, data: before } = this.#base.get(layer.weight)!;
      const data = await this.#weight(layer);
      change += normOf(data.map((value, i) => value - before[i]!)) / normOf(before) / layers.length;
      const tuned = svd(matrixOf(layer, data), TOP + 1);
      const found = (["left", "right"] as const).map((side) => {
        const compared = cosines(base[side], tuned[side].slice(0, TOP));
        const { count, found: ofSide } = intrudersAmong(maxCosines(compared), {
          values: tuned.values,
          baseVectors: base[side].length,
          width: tuned[side][0]?.length ?? 0,
          k: TOP,
          epsilon: EPSILON,
          side,
        });
        intruders[side] += count;
        if (side === "left" && pictured.some((ending) => layer.name.endsWith(ending))) {
          const similarity = corner(compared, TOP).map((row) => row.map(rounded));
          pictures.push({ name: layer.name, similarity, intruders: ofSide.map(({ rank }) => rank) });
        }
        return count;
      });
      intrudersByMatrix[layer.name] = [found[0]!, found[1]!];
    }
    return { intruders, intrudersByMatrix, change, pictures };
  }

  async #weight({ weight }: LinearLayer): Promise<Float32Array> {
    return Float32Array.from((await this.#backbone.device.read(weight)).data as Float32Array);
  }

  async #fitter(classes: number): Promise<HeadFitter> {
    const known = this.#fitters.get(classes);
    if (known !== undefined) return known;
    const fitter = await HeadFitter.create(this.#backbone.device, this.#backbone.classifier(classes));
    this.#fitters.set(classes, fitter);
    return fitter;
  }

  async #save(
    results: { readonly baseline: TestedStage; readonly stages: readonly TrainedStage[] },
    memory: Memory,
  ): Promise<void> {
    const { device, layers } = this.#backbone;
    const isChanged = ["full", "lora"].includes(this.#options.method.kind) && results.stages.length > 0;
    await writeStage(this.#context.folder, this.#identity, {
      results,
      memory,
      weights: isChanged ? layers.map(({ weight }) => ({ name: weight, read: () => device.read(weight) })) : [],
    });
    this.#context.progress?.(results.stages.length / this.#options.tasks.length);
  }

  async dispose(): Promise<void> {
    for (const fitter of this.#fitters.values()) await fitter.dispose();
    await this.#features.dispose();
  }
}

/** Task t's own seed: the same for every method. */
function seedOf(seed: number, task: number): number {
  return seed * 1009 + task;
}

/** What decides a sequence's results, so that a folder is not gone on with by another one. */
function identityOf({ tasks, ...options }: SequenceOptions): string {
  const texts = createHash("sha256").update(JSON.stringify(tasks)).digest("hex");
  return createHash("sha256")
    .update(JSON.stringify([options, methodLabel(options.method), texts]))
    .digest("hex")
    .slice(0, 32);
}

function majorityOf({ test, labels }: SequenceTask): number {
  const counts = labels.map((_, label) => test.filter((example) => example.label === label).length);
  return Math.max(...counts) / test.length;
}

/** W [out, in] */
function matrixOf({ outFeatures, inFeatures, fanInFanOut = false }: LinearLayer, data: Float32Array) {
  const [rows, columns] = fanInFanOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
  return { rows, columns, data };
}

/** Of the last task's A with those of the tasks before. */
function overlapOf({ ranks, factors }: Memory, layers: readonly LinearLayer[]): number | null {
  if (ranks.length < 2) return null;
  const widths = new Map(layers.map(({ name, inFeatures }) => [name, inFeatures]));
  let [sum, count] = [0, 0];
  for (const [layer, { A }] of factors) {
    const width = widths.get(layer)!;
    const blocks: Float32Array[] = [];
    let at = 0;
    for (const r of ranks) blocks.push(A.subarray(at, (at += r * width)));
    const last = blocks.at(-1)!;
    for (const before of blocks.slice(0, -1)) {
      sum += productNorm(before, last, width) / (normOf(before) * normOf(last));
      count++;
    }
  }
  return sum / count;
}

/** ‖X Yᵀ‖_F, rows of `width` each. */
function productNorm(x: Float32Array, y: Float32Array, width: number): number {
  let squares = 0;
  for (let i = 0; i < x.length; i += width) {
    for (let j = 0; j < y.length; j += width) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += x[i + k]! * y[j + k]!;
      squares += sum * sum;
    }
  }
  return Math.sqrt(squares);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function normOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}
