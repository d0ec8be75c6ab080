/**
 * Looks at the weights while a trainer trains them, every so many steps, and logs what it finds beside the loss: intruder
 * dimensions, effective rank of ΔW, overlap with the base's first directions, and what is forgotten.
 *
 *     new Trainer({ model, args: { analysisSteps: 50 }, callbacks: [analysisCallback(model, { tokenizer, texts })] })
 *
 * It reads the device and changes nothing: a run takes the same steps with it as without. An adapter of thin factors costs
 * little at any width, since the base is decomposed once (updated-svd.ts); other methods, and full fine-tuning, cost a
 * decomposition of every matrix at every look.
 *
 * Forgetting threatens where there are intruders *and* the loss of texts like those of pretraining has grown by more than a
 * share of the base's. Intruders alone can be harmless, and a loss that grows without them is not helped by what helps
 * against them: a lower learning rate or alpha, or `lowrank repair`.
 */
import type { Tokenizer } from "../data/text/tokenizer.ts";
import { ConfigError } from "../errors.ts";
import type { Svd } from "../linear-algebra/svd.ts";
import type { Trainable } from "../lm/trainable.ts";
import { analysisMetrics, forgettingText } from "../train/run/analysis-row.ts";
import type { MeasureEvent, StartEvent, TrainerCallback } from "../train/run/events.ts";
import type { LogRow } from "../train/run/log-rows.ts";
import { stepsOf } from "../config/schedule.ts";
import type { Decomposer } from "./decomposer.ts";
import { factoredSvd } from "./factored-svd.ts";
import { targetLoss, type TextRows, textRows } from "./measures/forgetting.ts";
import { DEFAULT_EPSILON, DEFAULT_K, type Intruders, intrudersAmong } from "./measures/intruders.ts";
import { effectiveRank } from "./measures/ranks.ts";
import { cosines, type MaxCosines, maxCosines } from "./measures/similarity.ts";
import { randomSimilarity, subspaceSimilarity } from "./measures/subspace-similarity.ts";
import { openDecomposer } from "./open-decomposer.ts";
import type { Side } from "./report.ts";
import { updatedSvd } from "./updated-svd.ts";
import { type ReadBase, type WatchedWeight, watchedWeights } from "./watched-weights.ts";

export interface AnalysisCallbackOptions {
  /** Steps between looks, from 1, or below 1 a share of the run's. Default: `analysisSteps` of the run. The last step is one. */
  readonly steps?: number;
  /** Vectors of each matrix that are looked at. Default: `analysisK` of the run, 10. */
  readonly k?: number;
  /** Default: `analysisEpsilon` of the run, 0.5. */
  readonly epsilon?: number;
  /** Default: "left". */
  readonly side?: Side;
  /** Texts like those of pretraining, or rows made of them. Default: none, forgetting is not measured. */
  readonly texts?: readonly string[] | TextRows;
  /** Needed for texts. */
  readonly tokenizer?: Tokenizer;
  /** Share by which their loss may grow. Default: `analysisForgetting` of the run, 0.05. */
  readonly forgettingAbove?: number;
  /** Texts that are computed together. Default: 8. */
  readonly batchSize?: number;
  /**
   * A weight of the base, as it is stored. Needed where a run that trains weights themselves is resumed; a new one keeps a
   * copy of what it starts from.
   */
  readonly original?: ReadBase;
  /** Default: one of its own, with the base's decompositions in the cache. */
  readonly decomposer?: Decomposer;
  /** Told in sentences, when forgetting first threatens. Default: `console.warn`. */
  readonly onWarning?: (warning: string) => void;
}

/** Bytes of the base's singular vectors that stay in memory; of the others the cache is asked again. */
const KEPT_BYTES = 2 ** 30;

/** @param model what the trainer is given: a model, or one with an adapter */
export function analysisCallback(
  model: { trainable(): Trainable },
  options: AnalysisCallbackOptions = {},
): TrainerCallback {
  let watch: Watch | undefined;
  return {
    async onStart(event) {
      watch = await Watch.start(model.trainable(), options, event);
    },
    measure: async (event) => watch?.measure(event),
    async onEnd() {
      await watch?.dispose();
      watch = undefined;
    },
  };
}

interface Settings {
  readonly steps: number;
  readonly k: number;
  readonly epsilon: number;
  readonly side: Side;
  readonly forgettingAbove: number;
}

interface MatrixFindings {
  readonly intruders: number;
  readonly effectiveRank: number;
  readonly overlap: number;
  readonly overlapRandom: number;
}

class Watch {
  readonly #trainable: Trainable;
  readonly #settings: Settings;
  readonly #options: AnalysisCallbackOptions;
  readonly #weights: readonly WatchedWeight[];
  readonly #rows: TextRows | undefined;
  readonly #decomposer: Decomposer;
  readonly #bases = new Map<string, Svd>();
  #keptBytes = 0;
  #baseLoss: number | undefined;
  #warned = false;

  private constructor(
    trainable: Trainable,
    options: AnalysisCallbackOptions,
    settings: Settings,
    weights: readonly WatchedWeight[],
    rows: TextRows | undefined,
    decomposer: Decomposer,
    history: readonly LogRow[],
  ) {
    this.#trainable = trainable;
    this.#options = options;
    this.#settings = settings;
    this.#weights = weights;
    this.#rows = rows;
    this.#decomposer = decomposer;
    const threats = history.filter((row) => row["analysis_threat"] === 1);
    this.#warned = threats.length > 0;
  }

  static async start(trainable: Trainable, options: AnalysisCallbackOptions, event: StartEvent): Promise<Watch> {
    const settings = settingsOf(options, event);
    const { startStep, history = [] } = event;
    const { language, adapters } = trainable;
    const isNew = startStep === 0;
    if (adapters.length === 0 && !isNew && options.original === undefined) {
      throw new ConfigError({
        where: "analysisCallback",
        what: "the run goes on, and its weights are no longer those of the base",
        expected: "`original`, which reads the base's",
      });
    }
    const copies = new Map<string, Float32Array>();
    const weights = watchedWeights(
      trainable,
      async (name) => copies.get(name) ?? Float32Array.from(await options.original!(name)),
    );
    if (weights.length === 0) {
      throw new ConfigError({
        where: "analysis_steps",
        what: "the run trains no matrix of a linear layer that could be looked at",
        hint: "methods that cannot be merged (prompts, prefixes) change no weights: remove analysis_steps",
      });
    }
    if (adapters.length === 0 && isNew) {
      for (const { name } of weights) {
        copies.set(name, Float32Array.from((await language.device.read(name)).data as Float32Array));
      }
    }
    const rows = await rowsOf(options, event, language.model.maxPositions);
    const watch = new Watch(
      trainable,
      options,
      settings,
      weights,
      rows,
      options.decomposer ?? (await openDecomposer()),
      history,
    );
    try {
      if (rows !== undefined) watch.#baseLoss = await watch.#lossOfBase(isNew, history);
    } catch (error) {
      await watch.dispose();
      throw error;
    }
    return watch;
  }

  async measure({ step, totalSteps }: MeasureEvent): Promise<Record<string, number> | undefined> {
    const { steps, forgettingAbove } = this.#settings;
    if (step % stepsOf(steps, totalSteps) !== 0 && step !== totalSteps) return undefined;
    const found: MatrixFindings[] = [];
    const together = this.#decomposer.ahead ?? 1;
    for (let at = 0; at < this.#weights.length; at += together) {
      found.push(...(await Promise.all(this.#weights.slice(at, at + together).map((weight) => this.#look(weight)))));
    }
    const mean = (of: (one: MatrixFindings) => number) => found.reduce((sum, one) => sum + of(one), 0) / found.length;
    const loss = this.#rows === undefined ? undefined : await this.#loss(true);
    const baseLoss = this.#baseLoss;
    const intruders = found.reduce((sum, one) => sum + one.intruders, 0);
    const metrics = analysisMetrics({
      matrices: found.length,
      intruders,
      effectiveRank: mean((one) => one.effectiveRank),
      overlap: mean((one) => one.overlap),
      overlapRandom: mean((one) => one.overlapRandom),
      ...(loss === undefined ? {} : { loss }),
      ...(baseLoss === undefined ? {} : { baseLoss }),
      threatens: intruders > 0 && loss !== undefined && baseLoss !== undefined && loss / baseLoss - 1 > forgettingAbove,
    });
    if (metrics["analysis_threat"] === 1) this.#warn(step, metrics);
    return metrics;
  }

  async dispose(): Promise<void> {
    this.#bases.clear();
    if (this.#options.decomposer === undefined) await this.#decomposer.dispose();
  }

  async #look(weight: WatchedWeight): Promise<MatrixFindings> {
    const { k, epsilon, side } = this.#settings;
    const base = await this.#base(weight);
    const update = await weight.update();
    const baseVectors = base.values.filter((value) => value > 0).length;
    const width = weight.shape[side === "left" ? 0 : 1];
    let delta: Svd;
    let similar: MaxCosines;
    let values: Float64Array;
    if (update.kind === "factors") {
      delta = factoredSvd(update);
      const tuned = updatedSvd(base, update, k + 1);
      similar = maxima(tuned[side], baseVectors);
      ({ values } = tuned);
    } else {
      const W = await weight.base();
      const tuned = { ...W, data: Float64Array.from(W.data, (value, i) => value + update.delta.data[i]!) };
      const [after, sigmas, first] = await Promise.all([
        this.#decomposer.svd(tuned, k + 1, { keep: false }),
        this.#decomposer.singularValues(update.delta, { keep: false }),
        this.#decomposer.svd(update.delta, k, { keep: false }),
      ]);
      delta = { ...first, values: sigmas };
      similar = maxCosines(cosines(base[side].slice(0, baseVectors), after[side]));
      ({ values } = after);
    }
    const { count }: Intruders = intrudersAmong(similar, { values, baseVectors, width, k, epsilon, side });
    return { intruders: count, effectiveRank: effectiveRank(delta.values), ...this.#overlap(base, delta, width) };
  }

  /** Of the first k directions of ΔW, or as many as it has, with the base's first k. */
  #overlap(base: Svd, delta: Svd, width: number): Pick<MatrixFindings, "overlap" | "overlapRandom"> {
    const { k, side } = this.#settings;
    const known = base[side].slice(0, k).filter((_, i) => base.values[i]! > 0);
    const found = delta[side].slice(0, k).filter((_, i) => delta.values[i]! > 0);
    if (known.length === 0 || found.length === 0) return { overlap: 0, overlapRandom: 0 };
    return {
      overlap: subspaceSimilarity(found, known).at(-1)!.at(-1)!,
      overlapRandom: randomSimilarity(found.length, known.length, width),
    };
  }

  async #base(weight: WatchedWeight): Promise<Svd> {
    const known = this.#bases.get(weight.name);
    if (known !== undefined) return known;
    const found = await this.#decomposer.svd(await weight.base());
    const [outputs, inputs] = weight.shape;
    const bytes = 8 * found.values.length * (outputs + inputs + 1);
    if (this.#keptBytes + bytes <= KEPT_BYTES) {
      this.#keptBytes += bytes;
      this.#bases.set(weight.name, found);
    }
    return found;
  }

  async #lossOfBase(isNew: boolean, history: readonly LogRow[]): Promise<number | undefined> {
    // Adapters can be left out at any time; weights that were trained are no longer the base's.
    if (this.#trainable.adapters.length > 0 || isNew) return this.#loss(false);
    return history.find((row) => row["analysis_base_loss"] !== undefined)?.["analysis_base_loss"];
  }

  async #loss(withAdapters: boolean): Promise<number> {
    const { language, adapters } = this.#trainable;
    const target = { language, adapters: withAdapters ? adapters : [] };
    const { loss } = await targetLoss(target, this.#rows!, this.#options.batchSize, this.#options.tokenizer?.padId);
    return loss;
  }

  #warn(step: number, metrics: Record<string, number>): void {
    if (this.#warned) return;
    this.#warned = true;
    const { onWarning = console.warn } = this.#options;
    onWarning(
      `step ${step}: forgetting threatens: ${forgettingText(metrics)}. A lower learning rate or lora_alpha makes fewer ` +
        "intruders; `lowrank repair` scales those of a finished adapter down",
    );
  }
}

function settingsOf(options: AnalysisCallbackOptions, { settings }: StartEvent): Settings {
  const given = (name: string) => (typeof settings[name] === "number" ? settings[name] : undefined);
  const steps = options.steps ?? given("analysisSteps");
  if (steps === undefined || !(steps > 0)) {
    throw new ConfigError({
      where: "analysisCallback",
      what: "how often it looks is not said",
      ...(steps === undefined ? {} : { got: steps }),
      expected: "`steps`, or `analysisSteps` in the trainer's args: a number of steps, or below 1 a share of the run's",
    });
  }
  return {
    steps,
    k: options.k ?? given("analysisK") ?? DEFAULT_K,
    epsilon: options.epsilon ?? given("analysisEpsilon") ?? DEFAULT_EPSILON,
    side: options.side ?? "left",
    forgettingAbove: options.forgettingAbove ?? given("analysisForgetting") ?? 0.05,
  };
}

async function rowsOf(
  { texts, tokenizer }: AnalysisCallbackOptions,
  { settings }: StartEvent,
  maxPositions: number,
): Promise<TextRows | undefined> {
  if (texts === undefined) {
    const wanted = settings["analysisTexts"] ?? null;
    if (wanted === null) return undefined;
    throw new ConfigError({
      where: "analysisTexts",
      what: "is read by `lowrank train`; give the callback its `texts`",
    });
  }
  if ("rows" in texts) return texts;
  if (tokenizer === undefined) throw new ConfigError({ where: "tokenizer", what: "texts need the model's tokenizer" });
  return textRows(texts, tokenizer, Math.min(512, maxPositions));
}

/** Of vectors in the base's coordinates, the first of which are cosines. */
function maxima(vectors: readonly Float64Array[], baseVectors: number): MaxCosines {
  const max: number[] = [];
  const nearest: number[] = [];
  for (const vector of vectors) {
    let [most, at] = [0, 0];
    for (let i = 0; i < baseVectors; i++) {
      const value = Math.abs(vector[i]!);
      if (value > most) [most, at] = [value, i + 1];
    }
    max.push(most);
    nearest.push(at);
  }
  return { max, nearest };
}
