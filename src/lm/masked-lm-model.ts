/** A masked language model as transformers' users know it: `AutoModelForMaskedLM.fromPretrained`, `forward`. */
import type { JsonValue } from "../formats/peft/json-object.ts";
import { type ChooseAdapters, type ForwardInput, type ForwardOutput, forwardRows } from "./forward.ts";
import {
  architecture,
  FROM_PRETRAINED,
  type FromPretrainedOptions,
  loadPretrained,
  PretrainedModel,
  type PretrainedParts,
} from "./pretrained-model.ts";
import { checkOptions } from "./token-rows.ts";

export const AutoModelForMaskedLM = {
  /**
   * Loads an encoder with its head of tokens.
   * @param nameOrPath a folder with `config.json` and safetensors, or a name on the Hugging Face hub
   * @throws as {@link loadPretrained}
   */
  async fromPretrained(nameOrPath: string, options: FromPretrainedOptions = {}): Promise<MaskedLMModel> {
    checkOptions("fromPretrained", options, FROM_PRETRAINED);
    return MaskedLMModel.load(nameOrPath, options);
  },
};

/**
 * Predicts masked tokens. `forward` gives the logits of every token, and the loss if labels are given: a label is what stands
 * at its own place.
 */
export class MaskedLMModel extends PretrainedModel<ForwardInput, ForwardOutput> {
  private constructor(parts: PretrainedParts) {
    super(parts);
  }

  static async load(nameOrPath: string, options: FromPretrainedOptions): Promise<MaskedLMModel> {
    return new MaskedLMModel(await loadPretrained(nameOrPath, { ...options, taskOf: () => ({ kind: "masked" }) }));
  }

  /** PEFT has no name for this task, and goes by the class. */
  get adapterTask(): { autoMapping: { baseModelClass: string; parentLibrary: string } } {
    const module = this.config.modelType.replaceAll("-", "_");
    return {
      autoMapping: {
        baseModelClass: architecture(this.config, "ForMaskedLM"),
        parentLibrary: `transformers.models.${module}.modeling_${module}`,
      },
    };
  }

  async forwardWith(input: ForwardInput, choose: ChooseAdapters): Promise<ForwardOutput> {
    return forwardRows(this.language, input, choose);
  }

  protected override configFields(): Readonly<Record<string, JsonValue>> {
    return { ...super.configFields(), architectures: [architecture(this.config, "ForMaskedLM")] };
  }
}
