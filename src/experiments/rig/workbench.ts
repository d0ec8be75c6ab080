/**
 * The bundled model on a device of its own, as two models that share their weights: one that says the class of a text, and one
 * that goes on with it. The first is tuned and tested; the second says what was forgotten of pretraining.
 */
import { memoryRows, type Row, type RowSource } from "../../data/row-source.ts";
import { IGNORED } from "../../data/sample.ts";
import { loadTokenizer, type Tokenizer } from "../../data/text/index.ts";
import { readModelConfig } from "../../formats/model/config.ts";
import { loadWeights } from "../../formats/model/weights.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import { supervisedRows } from "../../lm/rows.ts";
import { sequenceFeeds } from "../../lm/sequence.ts";
import { familyOf } from "../../models/index.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { LinearLayer, ParameterSpec } from "../../nn/module.ts";
import { Random, streamOf } from "../../random.ts";
import { ortDevice } from "../../runtime/node/device-node.ts";
import type { Device } from "../../runtime/runtime.ts";
import { evaluateRows } from "../../train/evaluate-rows.ts";
import type { Example } from "../tasks/index.ts";
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
  /** Share of the examples whose class is the most probable one, and the mean loss. @param adapters that are on */
  test(examples: readonly Example[], adapters?: readonly string[]): Promise<TestResult>;
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
  const tokenizer = await loadTokenizer(MODEL);
  const device = await ortDevice({ device: "cpu", ...(threads === undefined ? {} : { threads }) });
  try {
    const [causalModel, model] = [await bundledModel(), await bundledModel(classes)];
    await loadWeights(device, causalModel.parameters, MODEL, { tied: causalModel.tied });
    const known = new Set(causalModel.parameters.map(({ name }) => name));
    const [head, ...others] = model.parameters.filter(({ name }) => !known.has(name));
    if (head === undefined || others.length > 0) throw new Error("the head of classes has one matrix");
    const bench = new Bench(device, tokenizer, model, causalModel, head);
    await bench.freshHead(headSeed);
    return bench;
  } catch (error) {
    await device.dispose();
    throw error;
  }
}

/** The bundled model without its weights. @param classes default: the model of tokens */
export async function bundledModel(classes?: number): Promise<TextModel> {
  const config = await readModelConfig(MODEL);
  const task = classes === undefined ? undefined : ({ kind: "classification", classes } as const);
  return familyOf(config.modelType).build(config, task);
}

/** Linear layers between embeddings and head. */
export function bodyLayers({ layers }: TextModel): readonly LinearLayer[] {
  return layers.filter((layer): layer is LinearLayer => layer.kind === "linear" && layer.isOutput !== true);
}

class Bench implements Workbench {
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  readonly classifier: LanguageModel;
  readonly causal: LanguageModel;
  readonly layers: readonly LinearLayer[];
  readonly head: ParameterSpec;
  #heldOut: Promise<readonly Row[]> | undefined;

  constructor(device: Device, tokenizer: Tokenizer, model: TextModel, causal: TextModel, head: ParameterSpec) {
    this.device = device;
    this.tokenizer = tokenizer;
    this.classifier = new LanguageModel(device, model);
    this.causal = new LanguageModel(device, causal);
    this.layers = bodyLayers(model);
    this.head = head;
  }

  async rowsOf(examples: readonly Example[], seed?: number): Promise<RowSource> {
    return memoryRows(await encoded(this.tokenizer, examples), { seed });
  }

  async pretrainingLoss(count = Infinity): Promise<number> {
    this.#heldOut ??= heldOut(this.tokenizer, this.causal.model.maxPositions);
    const source = memoryRows((await this.#heldOut).slice(0, count));
    const result = await evaluateRows({ language: this.causal, adapters: [] }, source, BATCH, this.tokenizer.padId);
    return result!.loss;
  }

  async test(examples: readonly Example[], adapters: readonly string[] = []): Promise<TestResult> {
    const { model } = this.classifier;
    const rows = await encoded(this.tokenizer, examples);
    let [right, loss] = [0, 0];
    for (let start = 0; start < rows.length; start += BATCH) {
      const batch = supervisedRows(rows.slice(start, start + BATCH), this.tokenizer.padId);
      const names = Array.from({ length: batch.batch }, () => adapters);
      const { data } = await this.classifier.logits(sequenceFeeds(model, batch), names);
      for (const [i, at] of batch.rows.entries()) {
        const logits = Array.from(data.subarray(at * model.outputs, (at + 1) * model.outputs), Number);
        const most = Math.max(...logits);
        const label = batch.labels[i]!;
        if (logits.indexOf(most) === label) right++;
        loss += most - logits[label]! + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
      }
    }
    return { accuracy: right / rows.length, loss: loss / rows.length };
  }

  async freshHead(seed: number): Promise<void> {
    const { name, shape, init } = this.head;
    const data = init(
      new Random(seed, streamOf(name)),
      shape.reduce((a, b) => a * b, 1),
    );
    await this.device.write(name, { dtype: "float32", shape, data });
    await this.classifier.changed();
  }

  async changed(): Promise<void> {
    await this.classifier.changed();
    await this.causal.changed();
  }

  async dispose(): Promise<void> {
    await this.classifier.dispose();
    await this.causal.dispose();
    await this.device.dispose();
  }
}

async function encoded(tokenizer: Tokenizer, examples: readonly Example[]): Promise<Row[]> {
  const ids = await tokenizer.encodeBatch(examples.map(({ text }) => text));
  return ids.map((inputIds, i) => ({
    inputIds,
    labels: new Int32Array(inputIds.length).fill(IGNORED),
    targets: [{ at: inputIds.length - 1, label: examples[i]!.label }],
  }));
}

async function heldOut(tokenizer: Tokenizer, length: number): Promise<readonly Row[]> {
  const ids = await tokenizer.encodeBatch(await heldOutTexts());
  // Rows of one length need no padding.
  ids.sort((a, b) => a.length - b.length);
  return ids.map((all) => all.subarray(0, length)).map((inputIds) => ({ inputIds, labels: inputIds }));
}
