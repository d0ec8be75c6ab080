/**
 * The classes of texts, from texts: a classifier with its tokenizer. Texts are read as in training (`stage: cls`), and as
 * transformers' `pipeline("text-classification")` reads them.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { LABELS_FILE, readLabels } from "../data/datasets/classes.ts";
import { classTokens } from "../data/text/encode-class.ts";
import { loadTokenizer, type Tokenizer } from "../data/text/index.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { readModelConfig } from "../formats/model/config.ts";
import { CONFIG_FILE } from "../formats/peft/config.ts";
import { readJsonObject } from "../formats/peft/json-object.ts";
import { resolveFolder } from "../hub/resolve.ts";
import {
  AutoModelForSequenceClassification,
  type ClassificationOptions,
  type SequenceClassificationModel,
} from "./classification-model.ts";
import type { ClassifyInput, ClassifyOutput } from "./forward-classes.ts";
import { headClasses } from "./head-classes.ts";
import { PeftModel } from "./peft-model.ts";
import { hubOptions } from "./pretrained-model.ts";
import { storedTask } from "./read-model.ts";

/** A text, or two that are read together. */
export type ClassifierInput = string | { readonly text: string; readonly pair?: string };

export interface Classified {
  /** Name of the likeliest class. */
  readonly label: string;
  /** Its probability. */
  readonly score: number;
  /** Probabilities of all classes, in the order of the labels. */
  readonly scores: readonly number[];
  /** Tokens of the text before it was cut; absent: it was not. */
  readonly truncatedFrom?: number;
}

export interface TextClassifierOptions extends Omit<ClassificationOptions, "numLabels" | "randomSeed" | "padTokenId"> {
  /** The model that an adapter is for. Default: the one that it names. */
  readonly base?: string;
  /** Most tokens of a text; longer ones lose their ends. Default: the positions of the model. */
  readonly cutoffLen?: number;
  /** Texts that are read at a time. Default: 16. */
  readonly batchSize?: number;
  /** Told what was strange about the files, in sentences. Default: `console.warn`. */
  readonly onWarning?: (warning: string) => void;
}

const DEFAULT_BATCH = 16;

export class TextClassifier {
  /** Names of the classes, in their order. */
  readonly labels: readonly string[];
  /** The model without an adapter. */
  readonly model: SequenceClassificationModel;
  readonly tokenizer: Tokenizer;
  readonly #forward: (input: ClassifyInput) => Promise<ClassifyOutput>;
  readonly #cutoffLen: number;
  readonly #batchSize: number;

  private constructor(
    model: SequenceClassificationModel,
    tokenizer: Tokenizer,
    forward: (input: ClassifyInput) => Promise<ClassifyOutput>,
    { cutoffLen, batchSize = DEFAULT_BATCH }: TextClassifierOptions,
  ) {
    this.model = model;
    this.labels = model.labels;
    this.tokenizer = tokenizer;
    this.#forward = forward;
    this.#cutoffLen = cutoffLen ?? model.language.model.maxPositions;
    this.#batchSize = batchSize;
  }

  /**
   * @param nameOrPath a classifier or an adapter of one: a folder, or a name on the hub
   * @throws ConfigError if it tells no classes; and what loading throws
   */
  static async load(nameOrPath: string, options: TextClassifierOptions = {}): Promise<TextClassifier> {
    const { base, cutoffLen: _, batchSize: __, onWarning = console.warn, ...loading } = options;
    const { dir, isAdapter } = await folderOf(nameOrPath, options);
    if (!isAdapter) {
      const config = await readModelConfig(dir);
      if (storedTask(config).kind !== "classification") throw noClassifier(nameOrPath, config.architectures);
      const model = await AutoModelForSequenceClassification.fromPretrained(dir, loading);
      return opened(model, (input) => model.forward(input), options);
    }
    const named = await adapterFile(dir);
    const labels = options.labels ?? (await readLabels(join(dir, LABELS_FILE)));
    const numLabels = await headClasses(dir);
    // A revision is that of the adapter: its base has branches of its own.
    const { revision: __revision, ...ofBase } = loading;
    const model = await AutoModelForSequenceClassification.fromPretrained(base ?? named, {
      ...ofBase,
      ...(labels === undefined ? { numLabels } : { labels }),
    });
    try {
      const peft = await PeftModel.fromPretrained(model, dir, { onWarning });
      return await opened(model, (input) => peft.forward(input), options);
    } catch (error) {
      await model.dispose();
      throw error;
    }

    async function opened(
      own: SequenceClassificationModel,
      forward: (input: ClassifyInput) => Promise<ClassifyOutput>,
      settings: TextClassifierOptions,
    ): Promise<TextClassifier> {
      return new TextClassifier(own, await loadTokenizer(own.dir), forward, settings);
    }
  }

  /** The class of each text. @throws ConfigError for a text without tokens */
  async classify(inputs: readonly ClassifierInput[]): Promise<Classified[]> {
    const found: Classified[] = [];
    for (let from = 0; from < inputs.length; from += this.#batchSize) {
      found.push(...(await this.#batch(inputs.slice(from, from + this.#batchSize))));
    }
    return found;
  }

  async #batch(inputs: readonly ClassifierInput[]): Promise<Classified[]> {
    const encoded = await Promise.all(
      inputs.map((input) =>
        classTokens(typeof input === "string" ? { text: input } : input, this.tokenizer, this.#cutoffLen),
      ),
    );
    const empty = encoded.findIndex(({ inputIds }) => inputIds.length === 0);
    if (empty >= 0) throw new ConfigError({ where: "text", what: "has no tokens", got: JSON.stringify(inputs[empty]) });
    const length = Math.max(...encoded.map(({ inputIds }) => inputIds.length));
    const pad = this.model.padTokenId ?? this.tokenizer.padId;
    const padded = (values: Int32Array, filler: number) =>
      Array.from({ length }, (_, i) => (i < values.length ? values[i]! : filler));
    const { logits } = await this.#forward({
      inputIds: encoded.map(({ inputIds }) => padded(inputIds, pad)),
      attentionMask: encoded.map(({ inputIds }) => padded(new Int32Array(inputIds.length).fill(1), 0)),
      ...(this.model.language.model.tokenTypes === undefined
        ? {}
        : { tokenTypeIds: encoded.map(({ types }) => padded(types, 0)) }),
    });
    const classes = this.labels.length;
    return encoded.map(({ truncatedFrom }, b) => {
      const scores = softmax(logits.subarray(b * classes, (b + 1) * classes));
      const best = scores.indexOf(Math.max(...scores));
      const cut = truncatedFrom === undefined ? {} : { truncatedFrom };
      return { label: this.labels[best]!, score: scores[best]!, scores, ...cut };
    });
  }

  /** Frees the model. */
  async dispose(): Promise<void> {
    await this.model.dispose();
  }
}

async function folderOf(
  nameOrPath: string,
  options: TextClassifierOptions,
): Promise<{ dir: string; isAdapter: boolean }> {
  const found = await stat(nameOrPath).catch(() => undefined);
  const dir =
    found?.isDirectory() === true
      ? nameOrPath
      : // Repositories of adapters are of the hub's kind of models too.
        (await resolveFolder(nameOrPath, { kind: "model", ...hubOptions(options) })).dir;
  const isAdapter = await stat(join(dir, CONFIG_FILE)).then(
    () => true,
    () => false,
  );
  return { dir, isAdapter };
}

/** The base that an adapter names. @throws ConfigError if it is not one of a classifier */
async function adapterFile(dir: string): Promise<string> {
  const file = await readJsonObject(join(dir, CONFIG_FILE));
  const task = file.string("task_type");
  if (task !== undefined && task !== "SEQ_CLS") {
    throw new ConfigError({
      where: file.path,
      what: "the adapter tells no classes",
      got: `task_type ${task}`,
      expected: "task_type SEQ_CLS",
      hint: "`lowrank chat --adapter` goes on with texts",
    });
  }
  const base = file.string("base_model_name_or_path");
  if (base !== undefined) return base;
  throw new FormatError({
    where: file.path,
    what: "names no base",
    hint: "say which model it is for: --model",
  });
}

function noClassifier(where: string, architectures: readonly string[]): ConfigError {
  return new ConfigError({
    where,
    what: "the model tells no classes yet",
    got: architectures.join(", "),
    expected: "a model …ForSequenceClassification, or an adapter with task_type SEQ_CLS",
    hint: "`lowrank train` with stage: cls trains one",
  });
}

function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
