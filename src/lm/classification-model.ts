/** A classifier of texts as transformers' users know it: `AutoModelForSequenceClassification.fromPretrained`, `forward`. */
import { ConfigError } from "../errors.ts";
import type { ModelConfigFile } from "../formats/model/config.ts";
import type { JsonValue } from "../formats/peft/json-object.ts";
import { classFields, classNames, type ClassSettings } from "./class-names.ts";
import type { ChooseAdapters } from "./forward.ts";
import { type ClassifyInput, type ClassifyOutput, forwardClasses } from "./forward-classes.ts";
import {
  architecture,
  FROM_PRETRAINED,
  type FromPretrainedOptions,
  loadPretrained,
  PretrainedModel,
  type PretrainedParts,
} from "./pretrained-model.ts";
import { checkOptions } from "./token-rows.ts";

export interface ClassificationOptions extends Omit<FromPretrainedOptions, "randomSeed">, ClassSettings {
  /** Seed of a head that the files do not have. Default: 0. */
  readonly randomSeed?: number;
  /** Token that rows are filled with. Default: `pad_token_id` of `config.json`. */
  readonly padTokenId?: number;
}

const OPTIONS = {
  ...FROM_PRETRAINED,
  numLabels: true,
  labels: true,
  padTokenId: true,
} as const satisfies Record<keyof ClassificationOptions, true>;

export const AutoModelForSequenceClassification = {
  /**
   * Loads a classifier, or a model for another task, whose head is left aside; a head that the files do not have is drawn, and
   * told in `newlyInitialized`.
   * @param nameOrPath a folder with `config.json` and safetensors, or a name on the Hugging Face hub
   * @throws as {@link loadPretrained}; ConfigError if the model is for something else than one class for each text
   */
  async fromPretrained(nameOrPath: string, options: ClassificationOptions = {}): Promise<SequenceClassificationModel> {
    checkOptions("fromPretrained", options, OPTIONS);
    return SequenceClassificationModel.load(nameOrPath, options);
  },
};

/** Tells the class of each text. `forward` gives the logits of the classes, and the loss if labels are given. */
export class SequenceClassificationModel extends PretrainedModel<ClassifyInput, ClassifyOutput> {
  /** Names of the classes, in their order. */
  readonly labels: readonly string[];
  /** Token that rows are filled with: the class of a text may be told by the last other one. */
  readonly padTokenId: number | undefined;

  private constructor(parts: PretrainedParts, labels: readonly string[], padTokenId: number | undefined) {
    super(parts);
    this.labels = labels;
    this.padTokenId = padTokenId;
  }

  static async load(nameOrPath: string, options: ClassificationOptions): Promise<SequenceClassificationModel> {
    const { numLabels, labels, randomSeed, padTokenId, ...others } = options;
    const settings = { ...(numLabels === undefined ? {} : { numLabels }), ...(labels === undefined ? {} : { labels }) };
    const parts = await loadPretrained(nameOrPath, {
      ...others,
      ...(randomSeed === undefined ? {} : { headSeed: randomSeed }),
      taskOf: (config) => ({ kind: "classification", classes: classNames(config, settings).length }),
    });
    return new SequenceClassificationModel(
      parts,
      classNames(parts.config, settings),
      padTokenId ?? padOf(parts.config),
    );
  }

  get adapterTask(): { taskType: string } {
    return { taskType: "SEQ_CLS" };
  }

  async forwardWith(input: ClassifyInput, choose: ChooseAdapters): Promise<ClassifyOutput> {
    return forwardClasses(this.language, input, choose, this.padTokenId);
  }

  protected override configFields(): Readonly<Record<string, JsonValue>> {
    const { num_labels: _, ...fields } = super.configFields();
    return {
      ...fields,
      architectures: [architecture(this.config, "ForSequenceClassification")],
      ...classFields(this.labels),
      ...(this.padTokenId === undefined ? {} : { pad_token_id: this.padTokenId }),
    };
  }
}

/** @returns undefined where there is none; a negative one is none, as in old configurations of Llama */
function padOf({ fields, path }: ModelConfigFile): number | undefined {
  const id = fields["pad_token_id"] ?? undefined;
  if (id === undefined || (typeof id === "number" && Number.isInteger(id))) {
    return id === undefined || id < 0 ? undefined : id;
  }
  throw new ConfigError({ where: path, what: "pad_token_id is not a token", got: JSON.stringify(id) });
}
