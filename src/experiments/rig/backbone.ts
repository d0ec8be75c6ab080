/**
 * A pretrained model on a device of its own, and the models that share its weights: the one that it was pretrained as, which says
 * what was forgotten, and classifiers of any number of classes.
 */
import { createHash } from "node:crypto";
import type { Row } from "../../data/row-source.ts";
import { IGNORED } from "../../data/sample.ts";
import { classTarget, classTokens } from "../../data/text/encode-class.ts";
import { loadTokenizer, type Tokenizer } from "../../data/text/index.ts";
import { ConfigError } from "../../errors.ts";
import { readModelConfig } from "../../formats/model/config.ts";
import { loadWeights } from "../../formats/model/weights.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import { readModel } from "../../lm/read-model.ts";
import { familyOf } from "../../models/index.ts";
import { CAUSAL, type TextModel } from "../../models/text-model.ts";
import type { LinearLayer, ParameterSpec } from "../../nn/module.ts";
import { ortDevice } from "../../runtime/node/device-node.ts";
import type { Device } from "../../runtime/runtime.ts";
import type { Example } from "../tasks/index.ts";

/** Texts of a task as rows of tokens, and what was cut. */
export interface EncodedTask {
  readonly rows: readonly Row[];
  /** Texts that were longer. */
  readonly cut: number;
}

export class Backbone {
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  /** As it was pretrained. */
  readonly pretrained: LanguageModel;
  /** Linear layers of the body, which are tuned: all but the head. */
  readonly layers: readonly LinearLayer[];
  readonly #build: (classes: number) => TextModel;
  readonly #classifiers = new Map<number, TextModel>();

  private constructor(
    device: Device,
    tokenizer: Tokenizer,
    pretrained: TextModel,
    build: (classes: number) => TextModel,
  ) {
    this.device = device;
    this.tokenizer = tokenizer;
    this.pretrained = new LanguageModel(device, pretrained);
    this.layers = bodyLayers(pretrained);
    this.#build = build;
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
      return new Backbone(device, tokenizer, pretrained, build);
    } catch (error) {
      await device.dispose();
      throw error;
    }
  }

  /** Parameters that are the same in all of its models. */
  get parameters(): readonly ParameterSpec[] {
    const own = new Set(this.classifier(2).parameters.map(({ name }) => name));
    return this.pretrained.model.parameters.filter(({ name }) => own.has(name));
  }

  /** The model with a head of classes, whose weights are on the device once they were drawn. */
  classifier(classes: number): TextModel {
    const model = this.#classifiers.get(classes) ?? this.#build(classes);
    this.#classifiers.set(classes, model);
    return model;
  }

  /** @param maxLength tokens that a row has at most: longer texts lose their end. Default: as many as the model has positions */
  async encode(examples: readonly Example[], maxLength = Infinity): Promise<EncodedTask> {
    const limit = Math.min(maxLength, this.pretrained.model.maxPositions);
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
    await this.pretrained.dispose();
    await this.device.dispose();
  }
}

/** Linear layers between embeddings and head. */
export function bodyLayers({ layers }: TextModel): readonly LinearLayer[] {
  return layers.filter((layer): layer is LinearLayer => layer.kind === "linear" && layer.isOutput !== true);
}

/** Parameters of a head of classes that no checkpoint brings. */
export function headParameters({ parameters, newModules = [] }: TextModel): readonly ParameterSpec[] {
  return parameters.filter(({ name }) => newModules.some((module) => name.startsWith(`${module}.`)));
}
