/**
 * The bundled model as two models that share their weights: one that says the class of a text, and one that goes on with it. The
 * first is tuned and tested; the second says what was forgotten of pretraining.
 */
import { memoryRows, type Row, type RowSource } from "../../data/row-source.ts";
import type { Tokenizer } from "../../data/text/index.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import type { LinearLayer, ParameterSpec } from "../../nn/module.ts";
import { initializeParameters } from "../../parameters.ts";
import type { Device } from "../../runtime/runtime.ts";
import { evaluateRows, type RowsEvaluation } from "../../train/evaluate-rows.ts";
import type { Example } from "../tasks/index.ts";
import { Backbone, headParameters } from "./backbone.ts";
import { heldOutTexts, MODEL } from "./bundled.ts";

/** Rows of an evaluation that are computed at a time. */
const BATCH = 32;

export interface Workbench {
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  /** Weights of the body, and a head of classes. */
  readonly classifier: LanguageModel;
  /** The same body, and the head of tokens that it was pretrained with. */
  readonly causal: LanguageModel;
  /** All linear layers of the body: what is tuned. Their weights alone: no biases, no norms, no embeddings. */
  readonly layers: readonly LinearLayer[];
  /** The head of classes. */
  readonly head: ParameterSpec;
  /** The rows of a task: the hidden state of the last token tells the class. @param seed of their order, another one in each pass */
  rowsOf(examples: readonly Example[], seed?: number): Promise<RowSource>;
  /**
   * Mean loss on text like that of pretraining, in nats per token, with the weights as they are on the device.
   * @param count documents, the shortest. Default: all 124
   */
  pretrainingLoss(count?: number): Promise<number>;
  /** Share of the examples whose class is the most probable one, and the mean loss. */
  test(examples: readonly Example[]): Promise<TestResult>;
  /** Draws the head of classes anew. */
  freshHead(seed: number): Promise<void>;
  /** To be called when weights were written: what was compiled may hold the old ones. */
  changed(): Promise<void>;
  dispose(): Promise<void>;
}

export interface TestResult {
  /** 0 to 1. */
  readonly accuracy: number;
  /** In nats. */
  readonly loss: number;
}

/** @param classes of the task; @param headSeed of the random head */
export async function openWorkbench({
  classes,
  headSeed,
  threads,
}: {
  readonly classes: number;
  readonly headSeed: number;
  readonly threads?: number | undefined;
}): Promise<Workbench> {
  const backbone = await Backbone.open(MODEL, threads);
  try {
    const bench = new Bench(backbone, classes);
    await bench.freshHead(headSeed);
    return bench;
  } catch (error) {
    await backbone.dispose();
    throw error;
  }
}

class Bench implements Workbench {
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  readonly classifier: LanguageModel;
  readonly causal: LanguageModel;
  readonly layers: readonly LinearLayer[];
  readonly head: ParameterSpec;
  readonly #backbone: Backbone;
  #heldOut: Promise<readonly Row[]> | undefined;

  constructor(backbone: Backbone, classes: number) {
    const { device, tokenizer, pretrained, layers } = backbone;
    const model = backbone.classifier(classes);
    const [head, ...others] = headParameters(model);
    if (head === undefined || others.length > 0) throw new Error("the head of classes has one matrix");
    this.device = device;
    this.tokenizer = tokenizer;
    this.classifier = new LanguageModel(device, model);
    this.causal = pretrained;
    this.layers = layers;
    this.head = head;
    this.#backbone = backbone;
  }

  async rowsOf(examples: readonly Example[], seed?: number): Promise<RowSource> {
    return memoryRows((await this.#backbone.encode(examples)).rows, { seed });
  }

  async pretrainingLoss(count = Infinity): Promise<number> {
    this.#heldOut ??= heldOut(this.tokenizer, this.causal.model.maxPositions);
    return (await this.#evaluate(this.causal, (await this.#heldOut).slice(0, count))).loss;
  }

  async test(examples: readonly Example[]): Promise<TestResult> {
    const { rows } = await this.#backbone.encode(examples);
    const { loss, metrics } = await this.#evaluate(this.classifier, rows);
    return { accuracy: metrics!.accuracy, loss };
  }

  async #evaluate(language: LanguageModel, rows: readonly Row[]): Promise<RowsEvaluation> {
    return (await evaluateRows({ language, adapters: [] }, memoryRows(rows), BATCH, this.tokenizer.padId))!;
  }

  async freshHead(seed: number): Promise<void> {
    await initializeParameters(this.device, [this.head], seed);
    await this.classifier.changed();
  }

  async changed(): Promise<void> {
    await this.classifier.changed();
    await this.causal.changed();
  }

  async dispose(): Promise<void> {
    await this.classifier.dispose();
    await this.#backbone.dispose();
  }
}

async function heldOut(tokenizer: Tokenizer, length: number): Promise<readonly Row[]> {
  const ids = await tokenizer.encodeBatch(await heldOutTexts());
  // Rows of one length need no padding.
  ids.sort((a, b) => a.length - b.length);
  return ids.map((all) => all.subarray(0, length)).map((inputIds) => ({ inputIds, labels: inputIds }));
}
