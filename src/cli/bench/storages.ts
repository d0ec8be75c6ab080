/** Which weights of a model are stored how while it is measured. */
import type { TextModel } from "../../models/text-model.ts";
import { bfloat16 } from "../../quant/bfloat16.ts";
import { float32 } from "../../quant/float32.ts";
import { STORAGES, storageOf } from "../../quant/index.ts";
import { int8 } from "../../quant/int8.ts";
import type { StoredParameters, WeightStorage } from "../../quant/stored-model.ts";

export const BENCH_STORAGES: readonly string[] = STORAGES.map(({ name }) => name);

/** Name of the file of a model's random weights, without its ending. */
export function weightsName(shape: string, { blocks }: TextModel, storage: string): string {
  return `${shape.toLowerCase()}-${blocks}${storage === float32.name ? "" : `-${storage}`}`;
}

/**
 * The matrices of the model. The table of the vocabulary is half of a small model: it is stored as the others are, where
 * its rows are as good on their own, and in 16 bits with the storages that are narrower than 8.
 */
export function storedAs(model: TextModel, name: string): StoredParameters {
  const storage = storageOf(name);
  if (storage === float32) return new Map();
  const tables = new Set(
    model.layers.flatMap((layer) =>
      layer.kind === "embedding" || ("isOutput" in layer && layer.isOutput) ? [layer.weight] : [],
    ),
  );
  const wide = storage === int8 || storage.name.includes("float") ? storage : bfloat16;
  const options = { doubleQuantization: true };
  return new Map(
    model.layers.flatMap((layer): [string, WeightStorage][] => {
      const spec = model.parameters.find((parameter) => parameter.name === layer.weight);
      if (spec === undefined || spec.shape.length !== 2) return [];
      return [[spec.name, { storage: tables.has(spec.name) ? wide : storage, options, shape: spec.shape }]];
    }),
  );
}
