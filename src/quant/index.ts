/** Table of contents: one line per storage of frozen weights, and the registry of them. */
import { ConfigError, listed } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { bfloat16 } from "./bfloat16.ts";
import { float16 } from "./float16.ts";
import { float32 } from "./float32.ts";
import { fp4 } from "./fp4.ts";
import { int4 } from "./int4.ts";
import { int8 } from "./int8.ts";
import { nf4 } from "./nf4.ts";
import type { Storage } from "./storage.ts";

export { storedModel, type StoredParameters, type WeightStorage } from "./stored-model.ts";
export type { Storage, StorageOptions, StoredTensor } from "./storage.ts";

/** Every storage, widest first. */
export const STORAGES: readonly Storage[] = [float32, bfloat16, float16, int8, int4, fp4, nf4];

/** @throws ConfigError naming the nearest one */
export function storageOf(name: string): Storage {
  const storage = STORAGES.find((candidate) => candidate.name === name);
  if (storage !== undefined) return storage;
  const names = STORAGES.map((candidate) => candidate.name);
  const closest = nearest(name, names);
  throw new ConfigError({
    where: "storage",
    what: "there is no such storage of weights",
    got: name,
    expected: listed(names),
    ...(closest === undefined ? {} : { hint: `the nearest name is "${closest}"` }),
  });
}
