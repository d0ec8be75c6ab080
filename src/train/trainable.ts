/** What a run trains: an adapter on a frozen model, or weights of the model itself. */
import type { Adapter } from "../adapters/adapter.ts";
import type { LanguageModel } from "../lm/language-model.ts";
import { countElements, type ParameterSpec } from "../nn/module.ts";

export interface Trainable {
  readonly language: LanguageModel;
  /** In a few words, for messages: `adapter "default"`. */
  readonly what: string;
  /** The parameters, by the names of their states. */
  readonly trained: readonly ParameterSpec[];
  /** Adapters that are on while training. */
  readonly adapters: readonly Adapter[];
  /** Writes what was trained, as a user would load it: an adapter, or a model. */
  save(dir: string): Promise<void>;
  /** Puts what `save` wrote back on the device, bit for bit. */
  restore(dir: string): Promise<void>;
}

/** Number of trained elements, and of all that the model has, adapters included. */
export function countTrainable({ language, trained, adapters }: Pick<Trainable, "language" | "trained" | "adapters">): {
  trainable: number;
  all: number;
} {
  const added = adapters.flatMap(({ parameters }) => parameters);
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
