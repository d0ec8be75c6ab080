/**
 * Every key that a configuration may have: the argument names of LLaMA-Factory and of transformers' `TrainingArguments`,
 * and a few of our own (device, threads, offline, over_length, shuffle, optimizer_memory_budget, export_dtype; stage: cls with labels, num_labels,
 * text_column_names, label_column_name). Types, messages, `training_args.yaml`
 * and docs/configuration.md come from here.
 */
import type { Key, Status } from "./key.ts";
import { ANALYSIS } from "./keys/analysis.ts";
import { DATA } from "./keys/data.ts";
import { ELSEWHERE } from "./keys/elsewhere.ts";
import { EXPORT } from "./keys/export.ts";
import { FINETUNING } from "./keys/finetuning.ts";
import { GENERATION } from "./keys/generation.ts";
import { MODEL } from "./keys/model.ts";
import { OPTIMIZERS } from "./keys/optimizers.ts";
import { RUN } from "./keys/run.ts";
import { TRAINING_OTHER } from "./keys/training-other.ts";
import { TRAINING } from "./keys/training.ts";

/** In the order in which they are written. */
export const SECTIONS = {
  model: MODEL,
  method: { ...FINETUNING, ...OPTIMIZERS },
  dataset: DATA,
  train: { ...TRAINING, ...TRAINING_OTHER, ...RUN, ...ANALYSIS },
  generation: GENERATION,
  export: EXPORT,
  elsewhere: ELSEWHERE,
};

export type SectionName = keyof typeof SECTIONS;

type Sections = typeof SECTIONS;
type Keys = Sections["model"] &
  Sections["method"] &
  Sections["dataset"] &
  Sections["train"] &
  Sections["generation"] &
  Sections["export"] &
  Sections["elsewhere"];

export type KeyName = keyof Keys;

/** `per_device_train_batch_size` -> `perDeviceTrainBatchSize` */
export type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;

type ValueOf<K> = K extends Key<infer T> ? T : never;
type Named<S extends Status, From> = {
  [N in keyof From & string as From[N] extends Key<unknown, S> ? Camel<N> : never]: ValueOf<From[N]>;
};

/** Values of the honoured keys as they were given, or by default, before anything is derived from them. */
export type Values = Named<"honoured", Keys>;
/** Those that also exist under another key. */
export type FoldedValues = Named<"folded", Keys>;

/**
 * The settings that `new Trainer({ args })` takes: transformers' `TrainingArguments`, and control of the run. Others of
 * transformers are accepted or refused as docs/configuration.md says.
 */
export type TrainingArguments = Partial<Omit<Named<Status, Sections["train"]>, "reportTo">> & {
  readonly reportTo?: "none" | "tensorboard" | readonly "tensorboard"[];
};

interface Entry {
  readonly name: KeyName;
  readonly camel: string;
  readonly section: SectionName;
  readonly key: Key;
}

export const ENTRIES: readonly Entry[] = Object.entries(SECTIONS).flatMap(([section, keys]) =>
  Object.entries<Key>(keys).map(([name, key]) => ({
    name: name as KeyName,
    camel: camelCase(name),
    section: section as SectionName,
    key,
  })),
);

export function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
