/** The weights of a language model for tuning methods that start from them, in whatever storage they lie. */
import type { BaseWeights } from "../adapters/initialize.ts";
import { readParameter } from "../formats/model/read-parameter.ts";
import { familyOf } from "../models/index.ts";
import type { PretrainedModel } from "./pretrained-model.ts";
import { matchOf } from "./read-model.ts";

export function baseWeights({ language, dir, config }: PretrainedModel): BaseWeights {
  const { device, storages, model } = language;
  return {
    read: async (parameter) =>
      Float32Array.from((await device.read(language.tied[parameter] ?? parameter)).data as Float32Array),
    roundTrip(parameter) {
      const stored = storages.get(parameter);
      if (stored === undefined) return undefined;
      const { storage, shape, options } = stored;
      return (values) => storage.decode(storage.encode(values, shape, options), shape, options);
    },
    original: (parameter) =>
      readParameter(dir, model.parameters, parameter, matchOf(model, familyOf(config.modelType))),
  };
}
