/** The model of a configuration, with its weights on the device, and what of it is trained. */
import type { RunConfig } from "../../config/read.ts";
import { positionSettings } from "../../config/positions.ts";
import { storageSettings } from "../../config/storage.ts";
import { METHODS } from "../../adapters/index.ts";
import { ConfigError } from "../../errors.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../lm/causal-lm-model.ts";
import { AutoModelForSequenceClassification, type SequenceClassificationModel } from "../../lm/classification-model.ts";
import { getPeftModel, PeftModel } from "../../lm/peft-model.ts";
import type { FromPretrainedOptions, PretrainedModel } from "../../lm/pretrained-model.ts";
import type { Trainable } from "../../lm/trainable.ts";
import { unfrozen } from "../../train/freeze.ts";
import { peftConfigOf } from "../../train/peft-config.ts";

/** Those of `FromPretrainedOptions` that a configuration does not say. */
export type LoadHooks = Pick<FromPretrainedOptions, "onDownload" | "onConvert" | "signal">;

/** @throws what `AutoModelForCausalLM.fromPretrained` does */
export async function loadConfiguredModel(config: RunConfig, hooks: LoadHooks = {}): Promise<CausalLMModel> {
  return AutoModelForCausalLM.fromPretrained(config.modelNameOrPath, {
    ...loadOptions(config, hooks),
    ...(config.trainFromScratch ? { randomSeed: config.seed } : {}),
  });
}

/**
 * The model of stage cls. A head that it does not have yet is drawn from the run's seed.
 * @param labels names of the classes
 * @param padTokenId where `config.json` has none: other programs find the end of a text by it
 * @throws what `AutoModelForSequenceClassification.fromPretrained` does
 */
export async function loadConfiguredClassifier(
  config: RunConfig,
  { labels, padTokenId }: { readonly labels: readonly string[]; readonly padTokenId?: number },
  hooks: LoadHooks = {},
): Promise<SequenceClassificationModel> {
  return AutoModelForSequenceClassification.fromPretrained(config.modelNameOrPath, {
    ...loadOptions(config, hooks),
    labels,
    randomSeed: config.seed,
    ...(padTokenId === undefined ? {} : { padTokenId }),
  });
}

function loadOptions(config: RunConfig, hooks: LoadHooks): Omit<FromPretrainedOptions, "randomSeed"> {
  return {
    revision: config.modelRevision,
    device: config.device,
    ...hooks,
    ...(config.offline ? { offline: true } : {}),
    ...(config.cacheDir === null ? {} : { cacheDir: config.cacheDir }),
    ...(config.hfHubToken === null ? {} : { token: config.hfHubToken }),
    ...(config.threads === null ? {} : { threads: config.threads }),
    ...storageSettings(config),
    ...positionSettings(config),
  };
}

/** What the configuration trains. */
export async function trainableOf(
  model: PretrainedModel,
  config: RunConfig,
  say: (line: string) => void,
): Promise<Trainable> {
  if (config.finetuningType === "full") return model.trainable();
  if (config.finetuningType === "freeze") return model.trainable(unfrozen(model.language.model, config));
  const [adapter, ...others] = config.adapterNameOrPath ?? [];
  if (adapter !== undefined) {
    if (others.length > 0) {
      const got = config.adapterNameOrPath?.join(", ");
      throw new ConfigError({ where: "adapter_name_or_path", what: "one adapter is trained at a time", got });
    }
    const method = METHODS.find(({ name }) => name === config.finetuningType);
    const options = { revision: config.modelRevision, onWarning: say };
    if (method?.follow !== undefined) return nextTask(model, config, adapter, options);
    const loaded = await PeftModel.fromPretrained(model, adapter, {
      isTrainable: true,
      ...options,
      ...(method?.file?.as === undefined ? {} : { method: method.name }),
    });
    return loaded.trainable();
  }
  const peft = getPeftModel(model, peftConfigOf(config), { seed: config.seed });
  return peft.trainable();
}

/** A new adapter that goes on from one of an earlier task, which is a part of it from then on. */
async function nextTask(
  model: PretrainedModel,
  config: RunConfig,
  previous: string,
  options: { readonly revision: string; readonly onWarning: (line: string) => void },
): Promise<Trainable> {
  const peft = await PeftModel.fromPretrained(model, previous, { adapterName: "previous", ...options });
  peft.addAdapter("default", peftConfigOf(config), { previous: "previous", seed: config.seed });
  peft.setAdapter("default");
  await peft.deleteAdapter("previous");
  return peft.trainable();
}
