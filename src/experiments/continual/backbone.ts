/**
 * A pretrained model on a device, and the models of it that share its weights: classifiers of any number of classes, and the one
 * that it was pretrained as, which says what was forgotten.
 */
import { createHash } from "node:crypto";
import { targetLoss, textRows, type TextRows } from "../../analysis/measures/forgetting.ts";
import type { Row } from "../../data/row-source.ts";
import { IGNORED } from "../../data/sample.ts";
import { classTarget, classTokens } from "../../data/text/encode-class.ts";
import { loadTokenizer, type Tokenizer } from "../../data/text/index.ts";
import { ConfigError } from "../../errors.ts";
import { readModelConfig } from "../../formats/model/config.ts";
import { loadWeights } from "../../formats/model/weights.ts";
import { Graph } from "../../ir/graph.ts";
import { gather } from "../../ir/ops/gather.ts";
import { reshape } from "../../ir/ops/reshape.ts";
import { dim, shapeOf } from "../../ir/shape.ts";
import { pseudoLoss } from "../../lm/pseudo-loss.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import { readModel } from "../../lm/read-model.ts";
import { supervisedRows } from "../../lm/rows.ts";
import { sequenceFeeds, wholeSequence } from "../../lm/sequence.ts";
import { familyOf } from "../../models/index.ts";
import { CAUSAL, type TextModel } from "../../models/text-model.ts";
import type { LinearLayer, ParameterSpec } from "../../nn/module.ts";
import { ortDevice } from "../../runtime/node/device-node.ts";
import type { Device, Executable } from "../../runtime/runtime.ts";
import type { Example } from "../tasks/index.ts";
import type { Features } from "./head-fit.ts";

/** Rows that are computed at a time. */
const BATCH = 32;

/** Texts of a task as rows of tokens, and what was cut. */
export interface EncodedTask {
  readonly rows: readonly Row[];
  /** Texts that were longer. */
  readonly cut: number;
}

type PretrainingSample = TextRows | { readonly texts: readonly Int32Array[]; readonly maskTokenId: number };

export class Backbone {
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  /** As it was pretrained. */
  readonly pretrained: TextModel;
  /** Weights that are tuned: every linear layer's but the head's. */
  readonly layers: readonly LinearLayer[];
  readonly #build: (classes: number) => TextModel;
  readonly #classifiers = new Map<number, TextModel>();
  readonly #reader: LanguageModel;
  readonly #features: Executable;
  #sample: PretrainingSample | undefined;

  private constructor(
    device: Device,
    tokenizer: Tokenizer,
    pretrained: TextModel,
    build: (classes: number) => TextModel,
    features: Executable,
  ) {
    this.device = device;
    this.tokenizer = tokenizer;
    this.pretrained = pretrained;
    this.layers = pretrained.layers.filter(
      (layer): layer is LinearLayer => layer.kind === "linear" && layer.isOutput !== true,
    );
    this.#build = build;
    this.#reader = new LanguageModel(device, pretrained);
    this.#features = features;
  }

  /**
   * @param dir a folder with `config.json`, a tokenizer and safetensors
   * @throws ConfigError if the architecture cannot classify; FormatError if a file is not what it should be
   */
  static async open(dir: string, threads?: number): Promise<Backbone> {
    const tokenizer = await loadTokenizer(dir);
    const config = await readModelConfig(dir);
    const family = familyOf(config.modelType);
    if (!family.tasks.includes("classification")) {
      throw new ConfigError({ where: dir, what: "models of this type cannot classify", got: config.modelType });
    }
    const build = (classes: number) => family.build(config, { kind: "classification", classes });
    const { model: pretrained, match } = await readModel(dir, {
      taskOf: () => (family.tasks.includes("causal") ? CAUSAL : { kind: "masked" }),
    });
    const device = await ortDevice({ device: "cpu", ...(threads === undefined ? {} : { threads }) });
    try {
      await loadWeights(device, pretrained.parameters, dir, match);
      const features = await device.compile(featureGraph(build(2)));
      return new Backbone(device, tokenizer, pretrained, build, features);
    } catch (error) {
      await device.dispose();
      throw error;
    }
  }

  /** Parameters that are the same in all of its models. */
  get parameters(): readonly ParameterSpec[] {
    const own = new Set(this.classifier(2).parameters.map(({ name }) => name));
    return this.pretrained.parameters.filter(({ name }) => own.has(name));
  }

  classifier(classes: number): TextModel {
    const model = this.#classifiers.get(classes) ?? this.#build(classes);
    this.#classifiers.set(classes, model);
    return model;
  }

  /** @param maxLength tokens that a row has at most: longer texts lose their end. Default: as many as the model has positions */
  async encode(examples: readonly Example[], maxLength = Infinity): Promise<EncodedTask> {
    const limit = Math.min(maxLength, this.pretrained.maxPositions);
    const { classToken = "last" } = this.classifier(2);
    const rows: Row[] = [];
    let cut = 0;
    for (const { text, pair, label } of examples) {
      const both = pair === undefined ? { text } : { text, pair };
      const { inputIds, types, truncatedFrom } = await classTokens(both, this.tokenizer, limit);
      if (truncatedFrom !== undefined) cut++;
      const { length } = inputIds;
      const labels = new Int32Array(length).fill(IGNORED);
      rows.push({ inputIds, types, labels, targets: [classTarget(inputIds, classToken, label)] });
    }
    return { rows, cut };
  }

  /** Hidden states that tell the classes, with the weights as they are now. */
  async features(rows: readonly Row[]): Promise<Features> {
    const width = this.pretrained.hiddenSize;
    const data = new Float32Array(rows.length * width);
    // Rows of one length need no padding.
    const order = rows.map((_, i) => i).toSorted((a, b) => rows[a]!.inputIds.length - rows[b]!.inputIds.length);
    const model = this.classifier(2);
    for (let start = 0; start < order.length; start += BATCH) {
      const chosen = order.slice(start, start + BATCH);
      const batch = supervisedRows(
        chosen.map((i) => rows[i]!),
        this.tokenizer.padId,
      );
      const { features } = await this.#features.run({
        ...sequenceFeeds(model, batch),
        "features/rows": { dtype: "int32", shape: [chosen.length], data: batch.rows },
      });
      const found = features!.data as Float32Array;
      for (const [k, i] of chosen.entries()) data.set(found.subarray(k * width, (k + 1) * width), i * width);
    }
    return { count: rows.length, width, data, labels: rows.map(({ targets }) => targets![0]!.label) };
  }

  /**
   * Mean loss on texts like those of its pretraining, in nats per token, with the weights as they are now: of the next token, or of
   * an encoder the pseudo-loss, each token masked once.
   * @param texts the same ones at every call
   * @throws ConfigError if an encoder's tokenizer has no token that masks
   */
  async pretrainingLoss(texts: readonly string[], maxLength = Infinity, signal?: AbortSignal): Promise<number> {
    // What was compiled holds the weights of then.
    await this.#reader.changed();
    this.#sample ??= await this.#sampleOf(texts, Math.min(maxLength, this.pretrained.maxPositions));
    if ("rows" in this.#sample) {
      const { loss } = await targetLoss({ language: this.#reader }, this.#sample, BATCH, this.tokenizer.padId, signal);
      return loss;
    }
    const { loss } = await pseudoLoss(this.#reader, this.#sample.texts, {
      maskTokenId: this.#sample.maskTokenId,
      isSpecial: (id) => this.tokenizer.isSpecial(id),
      batchSize: BATCH,
      ...(signal === undefined ? {} : { signal }),
    });
    return loss;
  }

  async #sampleOf(texts: readonly string[], length: number): Promise<PretrainingSample> {
    const { tokenizer } = this;
    if (this.pretrained.task.kind === "causal") return textRows(texts, tokenizer, length);
    const { mask_token: mask } = tokenizer.specialTokens;
    const maskTokenId = mask === undefined ? undefined : tokenizer.idOf(mask);
    if (maskTokenId === undefined) {
      throw new ConfigError({ where: tokenizer.dir, what: "the tokenizer has no token that masks" });
    }
    const rows: Int32Array[] = [];
    for (const text of texts) rows.push((await classTokens({ text }, tokenizer, length)).inputIds);
    return { texts: rows, maskTokenId };
  }

  /** SHA-256 of all its parameters, bit for bit: 64 hexadecimal digits. */
  async hash(): Promise<string> {
    const hash = createHash("sha256");
    for (const { name } of this.parameters) {
      const { data } = await this.device.read(name);
      hash.update(`${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    return hash.digest("hex");
  }

  async dispose(): Promise<void> {
    await this.#features.dispose();
    await this.#reader.dispose();
    await this.device.dispose();
  }
}

/** Tokens [B, T] to the hidden states [N, D] of some places. Weights are read anew in every run. */
function featureGraph(model: TextModel): Graph {
  const graph = new Graph();
  const tracing = {
    graph,
    training: false,
    typicalSizes: {},
    parameter: (name: string, shape: readonly number[]) =>
      graph.state(model.tied[name] ?? name, { dtype: "float32", shape: shapeOf(shape) }),
  };
  const hidden = model.hidden(tracing, wholeSequence(graph, model));
  const rows = graph.feed("features/rows", { dtype: "int32", shape: [dim("N")] });
  graph.output("features", gather(reshape(hidden, [-1, model.hiddenSize]), rows));
  return graph;
}
