/** What a run trains: an adapter on a frozen model, or weights of the model itself. */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Adapter } from "../adapters/adapter.ts";
import { ConfigError } from "../errors.ts";
import { openCheckpoint } from "../formats/safetensors/index.ts";
import type { PretrainedModel } from "./pretrained-model.ts";
import type { LanguageModel } from "./language-model.ts";
import { countElements, type ParameterSpec } from "../nn/module.ts";

export interface Trainable {
  readonly language: LanguageModel;
  /** In a few words, for messages: `adapter "default"`. */
  readonly what: string;
  /** The parameters, by the names of their states. */
  readonly trained: readonly ParameterSpec[];
  /** Adapters that are on while training. */
  readonly adapters: readonly Adapter[];
  /** Waits until all of it is on the device. */
  ready(): Promise<void>;
  /** Writes what was trained, as a user would load it: an adapter, or a model. */
  save(dir: string): Promise<void>;
  /** Writes what `save` leaves out and {@link restore} needs. Absent: nothing. */
  saveStates?(dir: string): Promise<void>;
  /** Puts what `save` and `saveStates` wrote back on the device, bit for bit. */
  restore(dir: string): Promise<void>;
}

/**
 * The weights of a model: all of them, or those that are named. Saved as a whole model, in float32.
 * @throws ConfigError if one of them is stored in another type
 */
export function weightsTrainable(model: PretrainedModel, names?: ReadonlySet<string>): Trainable {
  const { language } = model;
  const { parameters } = language.model;
  const trained = names === undefined ? parameters : parameters.filter(({ name }) => names.has(name));
  checkTrainable(language, trained);
  return {
    language,
    what:
      trained.length === parameters.length
        ? "the model"
        : `the whole model, ${trained.length} of whose ${parameters.length} weights were trained,`,
    trained,
    adapters: [],
    ready: async () => {},
    save: (dir) => saveInto(dir, (draft) => model.savePretrained(draft, { dtype: "float32" })),
    async restore(dir) {
      const checkpoint = await openCheckpoint(dir);
      try {
        for (const { name, shape } of trained) {
          const data = await checkpoint.readFloat32(name);
          await language.device.write(name, { dtype: "float32", shape, data });
        }
      } finally {
        await checkpoint.close();
      }
    },
  };
}

/** @throws ConfigError if a weight is stored in a type that steps cannot be added to */
function checkTrainable({ storages }: LanguageModel, trained: readonly ParameterSpec[]): void {
  const stored = trained.find(({ name }) => storages.has(name));
  if (stored === undefined) return;
  throw new ConfigError({
    where: stored.name,
    what: `is stored as ${storages.get(stored.name)!.storage.name}, and only float32 weights can be trained themselves`,
    hint: "train an adapter (finetuning_type: lora), or load the model in float32",
  });
}

/** Writes a model into a folder that has other files, too: whole, and then file by file; `config.json` comes last. */
async function saveInto(dir: string, write: (draft: string) => Promise<void>): Promise<void> {
  const draft = join(dir, `.model-${process.pid}`);
  await rm(draft, { recursive: true, force: true });
  await write(draft);
  const names = await readdir(draft);
  for (const name of names.toSorted((a, b) => Number(a === "config.json") - Number(b === "config.json"))) {
    await rename(join(draft, name), join(dir, name));
  }
  await rm(draft, { recursive: true });
}

/** An adapter that is on a model. */
export function adapterTrainable(
  language: LanguageModel,
  adapter: Adapter,
  files: Pick<Trainable, "ready" | "save" | "saveStates" | "restore">,
): Trainable {
  return {
    language,
    what: `adapter "${adapter.name}"`,
    trained: adapter.parameters,
    adapters: [adapter],
    ...files,
  };
}

/**
 * Number of trained elements, and of all that the model has, adapters included. As PEFT counts: a bias that is trained
 * counts once, and a module to save with the one that it stands in for.
 */
export function countTrainable({ language, trained, adapters }: Pick<Trainable, "language" | "trained" | "adapters">): {
  trainable: number;
  all: number;
} {
  const added = adapters.flatMap(({ parameters, copies }) => {
    const biases = new Set(
      [...copies.values()].map(({ name }) => name).filter((name) => !name.includes(".modules_to_save.")),
    );
    return parameters.filter(({ name }) => !biases.has(name));
  });
  return {
    trainable: countElements(trained),
    all: countElements(language.model.parameters) + countElements(added),
  };
}

/** `1,234,567` */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

/** In PEFT's words. */
export function trainableText({ trainable, all }: { trainable: number; all: number }): string {
  const percent = ((100 * trainable) / all).toFixed(4);
  return `trainable params: ${grouped(trainable)} || all params: ${grouped(all)} || trainable%: ${percent}`;
}
