/** Facts about everything that `finetuning_type` can be, from the registry of tuning methods. */
import { attach } from "../../adapters/adapter.ts";
import { METHODS } from "../../adapters/index.ts";
import type { Method } from "../../adapters/method.ts";
import { LowrankError } from "../../errors.ts";
import { peftType } from "../../formats/peft/methods.ts";
import { adaptable } from "../../lm/peft-config.ts";
import type { TextModel } from "../../models/text-model.ts";
import { familyOf } from "../../models/index.ts";
import { countElements, type ParameterSpec } from "../../nn/module.ts";
import { unfrozen } from "../../train/freeze.ts";

export interface MethodFacts {
  /** What `finetuning_type` calls it. */
  readonly name: string;
  readonly summary: string;
  /** Trained elements on the model, with the method's own targets and settings; null where it cannot be put on it so. */
  readonly trainable: number | null;
  /** Of the model's parameters, in percent. */
  readonly trainable_percent: number | null;
  /** Why it cannot be put on the model. */
  readonly not_on_model?: string;
  readonly mergeable: boolean;
  /** Why it is not. */
  readonly unmergeable?: string;
  /** Of its files; null: a whole model is written. */
  readonly peft_type: string | null;
  /** Whether PEFT loads them. */
  readonly in_peft: boolean;
  readonly source: string;
}

/** Blocks that `freeze` trains where nothing is said, as in LLaMA-Factory. */
const FREEZE = { freezeTrainableLayers: 2, freezeTrainableModules: "all", freezeExtraModules: null } as const;

/** @param model that the trained elements are counted on */
export function allMethodFacts(model: TextModel): MethodFacts[] {
  const unfrozenNames = unfrozen(model, FREEZE);
  return [
    ...METHODS.map((method) => methodFacts(method, model)),
    wholeFacts(model, "full", "trains every weight of the model", model.parameters),
    wholeFacts(
      model,
      "freeze",
      "trains the weights of the last two blocks (`freeze_trainable_layers`)",
      model.parameters.filter(({ name }) => unfrozenNames.has(name)),
    ),
  ];
}

function methodFacts(method: Method<object>, model: TextModel): MethodFacts {
  const { name, about, source, file, unmergeable } = method;
  // What neither computes in layers nor changes the sequence is copies, which take the place of the base's parameters.
  const isCopies = method.forward === undefined && method.sequence === undefined;
  const mergeable = method.merged !== undefined || isCopies;
  return {
    name,
    summary: about,
    ...counted(method, model),
    mergeable,
    ...(mergeable || unmergeable === undefined ? {} : { unmergeable }),
    peft_type: peftType(method),
    in_peft: file !== undefined,
    source,
  };
}

function counted(
  method: Method<object>,
  model: TextModel,
): Pick<MethodFacts, "trainable" | "trainable_percent" | "not_on_model"> {
  try {
    const { defaultTargets } = familyOf(model.modelType);
    const { parameters } = attach(adaptable(model, defaultTargets), method);
    return { trainable: countElements(parameters), trainable_percent: percent(parameters, model) };
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    return { trainable: null, trainable_percent: null, not_on_model: error.problem.what };
  }
}

function wholeFacts(model: TextModel, name: string, summary: string, trained: readonly ParameterSpec[]): MethodFacts {
  return {
    name,
    summary,
    trainable: countElements(trained),
    trainable_percent: percent(trained, model),
    mergeable: true,
    peft_type: null,
    in_peft: false,
    source: name === "full" ? "" : "LLaMA-Factory",
  };
}

function percent(trained: readonly ParameterSpec[], { parameters }: TextModel): number {
  return (100 * countElements(trained)) / countElements(parameters);
}
