/** A language model as transformers' users know it: `AutoModelForCausalLM.fromPretrained`, `forward`, `generate`. */
import { loadTokenizer, type Tokenizer } from "../data/text/index.ts";
import { resolveFolder } from "../hub/resolve.ts";
import { CAUSAL } from "../models/text-model.ts";
import { type ChooseAdapters, type ForwardInput, type ForwardOutput, forwardRows } from "./forward.ts";
import { type GenerateInput, generateFrom, type GenerateResult } from "./generate-input.ts";
import { generationDefaults, type GenerationDefaults } from "./generation-defaults.ts";
import {
  FROM_PRETRAINED,
  type FromPretrainedOptions,
  type HubOptions,
  hubOptions,
  loadPretrained,
  PretrainedModel,
  type PretrainedParts,
} from "./pretrained-model.ts";
import { checkOptions } from "./token-rows.ts";

export type { FromPretrainedOptions, HubOptions } from "./pretrained-model.ts";

export const AutoModelForCausalLM = {
  /**
   * Loads a model.
   * @param nameOrPath a folder with `config.json` and safetensors, or a name on the Hugging Face hub
   * @throws as {@link loadPretrained}
   */
  async fromPretrained(nameOrPath: string, options: FromPretrainedOptions = {}): Promise<CausalLMModel> {
    checkOptions("fromPretrained", options, FROM_PRETRAINED);
    return CausalLMModel.load(nameOrPath, options);
  },
};

export const AutoTokenizer = {
  /** Loads the tokenizer of a model: a folder, or a name on the hub. @throws as {@link loadTokenizer} */
  async fromPretrained(nameOrPath: string, options: HubOptions = {}): Promise<Tokenizer> {
    const { dir } = await resolveFolder(nameOrPath, { kind: "model", ...hubOptions(options) });
    return loadTokenizer(dir);
  },
};

/** Predicts the next token. `forward` gives the logits of every token, and the loss if labels are given. */
export class CausalLMModel extends PretrainedModel<ForwardInput, ForwardOutput> {
  readonly generation: GenerationDefaults;

  private constructor(parts: PretrainedParts, generation: GenerationDefaults) {
    super(parts);
    this.generation = generation;
  }

  static async load(nameOrPath: string, options: FromPretrainedOptions): Promise<CausalLMModel> {
    const parts = await loadPretrained(nameOrPath, { ...options, taskOf: () => CAUSAL });
    try {
      return new CausalLMModel(parts, await generationDefaults(parts.dir));
    } catch (error) {
      if (parts.ownsDevice) await parts.language.device.dispose();
      throw error;
    }
  }

  get adapterTask(): { taskType: string } {
    return { taskType: "CAUSAL_LM" };
  }

  async forwardWith(input: ForwardInput, choose: ChooseAdapters): Promise<ForwardOutput> {
    return forwardRows(this.language, input, choose);
  }

  /** Goes on from token ids. Settings that are not given are those of `generation_config.json`. */
  async generate(input: GenerateInput): Promise<GenerateResult> {
    return generateFrom(this.language, this.generation, input, () => []);
  }
}
