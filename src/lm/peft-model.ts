/**
 * A model with adapters, as PEFT's users know it: `PeftModel.fromPretrained`, `setAdapter`, `mergeAndUnload`, …
 *
 * Unlike in PEFT, the base stays usable: its own `forward` is without adapters, whatever is on here.
 */
import { join } from "node:path";
import { type Adapter, adapterStates } from "../adapters/adapter.ts";
import { startFollowing } from "../adapters/follow.ts";
import { initializeAdapter } from "../adapters/initialize.ts";
import { addWeightedAdapter, type WeightedAdapterOptions } from "../adapters/weighted.ts";
import type { AdaptableModel } from "../adapters/copies.ts";
import { ConfigError } from "../errors.ts";
import { hotswap } from "../formats/peft/hotswap.ts";
import { loadAdapter } from "../formats/peft/load.ts";
import { restoreAdapter, saveStates } from "../formats/peft/restore.ts";
import { saveAdapter } from "../formats/peft/save.ts";
import { resolveFolder } from "../hub/resolve.ts";
import { checkAdapterTask } from "./adapter-task.ts";
import { baseWeights } from "./base-weights.ts";
import { CausalLMModel } from "./causal-lm-model.ts";
import { type GenerateInput, generateFrom, type GenerateResult } from "./generate-input.ts";
import { BASE, type RowAdapters } from "./language-model.ts";
import { adaptable, attachPeft } from "./peft-config.ts";
import { type HubOptions, hubOptions, type PretrainedModel } from "./pretrained-model.ts";
import { startTokenizer } from "./start-text.ts";
import { adapterTrainable, countTrainable, type Trainable, trainableText } from "./trainable.ts";

/** LoRA's settings by PEFT's names in camelCase, with its meanings and defaults. Those not listed here go in too. */
export interface LoraConfig {
  readonly peftType: "LORA";
  /** Default: 8. */
  readonly r?: number;
  /** Default: 8. The update is scaled by loraAlpha / r. */
  readonly loraAlpha?: number;
  /** Probability, in [0, 1). Default: 0. */
  readonly loraDropout?: number;
  /** Names, a pattern for whole names, or "all-linear". Default: the model's own, such as q_proj and v_proj. */
  readonly targetModules?: string | readonly string[];
  readonly excludeModules?: string | readonly string[];
  readonly layersToTransform?: number | readonly number[];
  readonly layersPattern?: string | readonly string[];
  readonly rankPattern?: Readonly<Record<string, number>>;
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Scale by loraAlpha / √r. Default: false. */
  readonly useRslora?: boolean;
  readonly modulesToSave?: readonly string[];
  /** Default: "none". */
  readonly bias?: "none" | "all" | "lora_only";
  readonly loraBias?: boolean;
  /** How A and B start, by PEFT's names: `"pissa"`, `"pissa_niter_16"`, `"olora"`, `"loftq"`, `"orthogonal"`, … Default: true. */
  readonly initLoraWeights?: boolean | string;
  /** DoRA: the size and the direction of each row apart. Default: false. */
  readonly useDora?: boolean;
  /** LoRA+: the learning rate of B over that of A. Default: the same. */
  readonly loraplusLrRatio?: number | null;
  readonly fanInFanOut?: boolean;
  /** Default: that of the model, such as "CAUSAL_LM" or "SEQ_CLS". With the latter the adapter trains a copy of the head. */
  readonly taskType?: string;
  readonly [further: string]: unknown;
}

/**
 * Settings of an adapter of any method, by PEFT's names in camelCase: `{ peftType: "VERA", r: 256 }`. What each method has is
 * in `adapter_config.json`, and in docs/methods.
 */
export type PeftConfig = LoraConfig | { readonly peftType: string; readonly [setting: string]: unknown };

export interface LoadOptions extends HubOptions {
  /** Default: "default". */
  readonly adapterName?: string;
  /** Whether a trainer may train it. Default: false, as in PEFT. */
  readonly isTrainable?: boolean;
  /** Name of the tuning method, where several have the same file, such as `longlora`. Default: what the file says by itself. */
  readonly method?: string;
  /** Told what was strange about the files, in sentences. Default: `console.warn`. */
  readonly onWarning?: (warning: string) => void;
}

export interface NewAdapterOptions {
  /** Default: "default". */
  readonly adapterName?: string;
  /** Seed of the random start. Default: 0. */
  readonly seed?: number;
  /**
   * Name of an adapter of the model that the new one goes on from, where the method (O-LoRA) puts a new one beside that of an
   * earlier task: it becomes a part of the new one, and may be deleted afterwards.
   */
  readonly previous?: string;
}

/**
 * Puts a fresh adapter on a model, for training.
 * @param config `{ peftType: "LORA", r: 8, loraAlpha: 16, targetModules: "all-linear" }`
 * @throws FormatError or ConfigError naming every setting that is wrong or cannot be honoured, and every target that
 *   matches no layer
 */
export function getPeftModel<M extends PretrainedModel>(
  model: M,
  config: PeftConfig,
  options: NewAdapterOptions = {},
): PeftModel<M> {
  const peft = new PeftModel(model);
  peft.addAdapter(options.adapterName ?? "default", config, options);
  return peft;
}

/** What `forward` of a model takes and gives. */
type InputOf<M> = M extends { forward(input: infer Input): unknown } ? Input : never;
type OutputOf<M> = M extends { forward(input: never): Promise<infer Output> } ? Output : never;

export class PeftModel<M extends PretrainedModel = CausalLMModel> {
  /** The model without adapters. */
  readonly base: M;
  readonly #trainable = new Set<string>();
  #active: readonly string[] = [];
  #isDisabled = false;
  /** What was begun by methods that do not wait. */
  #pending: Promise<unknown> = Promise.resolve();

  constructor(base: M) {
    this.base = base;
  }

  /**
   * Loads an adapter that PEFT wrote, and turns it on.
   * @param nameOrPath a folder with `adapter_config.json`, or a name on the hub
   * @throws FormatError listing everything about the files that does not fit the model
   */
  static async fromPretrained<M extends PretrainedModel>(
    model: M,
    nameOrPath: string,
    options: LoadOptions = {},
  ): Promise<PeftModel<M>> {
    const peft = new PeftModel(model);
    const name = options.adapterName ?? "default";
    await peft.loadAdapter(nameOrPath, name, options);
    peft.setAdapter(name);
    return peft;
  }

  /** Names of the adapters, in the order in which they came. */
  get adapterNames(): string[] {
    return [...this.base.language.adapters.keys()];
  }

  /** Names of those that are on. */
  get activeAdapters(): readonly string[] {
    return this.#isDisabled ? [] : this.#active;
  }

  /** Loads one more adapter, which stays off. @throws as {@link fromPretrained}; ConfigError if the name is taken */
  async loadAdapter(
    nameOrPath: string,
    adapterName: string,
    options: Omit<LoadOptions, "adapterName"> = {},
  ): Promise<void> {
    await this.#pending;
    const { isTrainable = false, onWarning = console.warn, method } = options;
    this.#expectFree(adapterName);
    const { dir } = await resolveFolder(nameOrPath, { kind: "adapter", ...hubOptions(options) });
    await checkAdapterTask(dir, this.base.language.model);
    const { adapter, warnings } = await loadAdapter(this.base.language.device, this.#adaptable(), dir, {
      name: adapterName,
      ...(method === undefined ? {} : { method }),
      base: baseWeights(this.base),
    });
    for (const warning of warnings) onWarning(warning);
    await this.base.language.add(adapter);
    if (isTrainable) this.#trainable.add(adapterName);
  }

  /** Puts a fresh adapter on the model, and turns it on if it is the first. It can be trained. @throws as {@link getPeftModel} */
  addAdapter(
    adapterName: string,
    config: PeftConfig,
    { seed = 0, previous: from }: Pick<NewAdapterOptions, "seed" | "previous"> = {},
  ): void {
    this.#expectFree(adapterName);
    const { language } = this.base;
    const previous = from === undefined ? undefined : language.adapter(from);
    const adapter = attachPeft(this.#adaptable(), adapterName, config, {
      ...this.base.adapterTask,
      ...(previous === undefined ? {} : { previous }),
    });
    const added = language.add(adapter);
    this.#begin(async () => {
      await added;
      await initializeAdapter(language.device, adapter, seed, baseWeights(this.base), startTokenizer(this.base));
      if (previous !== undefined) await startFollowing(language.device, adapter, previous);
    });
    this.#trainable.add(adapterName);
    if (this.#active.length === 0) this.#active = [adapterName];
  }

  /** Turns on this adapter, or these one after the other, and all others off. Nothing is compiled again. */
  setAdapter(adapterNames: string | readonly string[]): void {
    const names = [adapterNames].flat();
    for (const name of names) this.base.language.adapter(name);
    this.#active = names;
    this.#isDisabled = false;
  }

  /** Turns all adapters off, until {@link enableAdapter} or {@link setAdapter}, or while `work` runs. */
  disableAdapter(): void;
  disableAdapter<T>(work: () => Promise<T>): Promise<T>;
  disableAdapter<T>(work?: () => Promise<T>): Promise<T> | void {
    const before = this.#isDisabled;
    this.#isDisabled = true;
    if (work === undefined) return;
    return (async () => {
      try {
        return await work();
      } finally {
        this.#isDisabled = before;
      }
    })();
  }

  /** Turns on again what {@link disableAdapter} turned off. */
  enableAdapter(): void {
    this.#isDisabled = false;
  }

  /** Takes an adapter away and frees it. */
  async deleteAdapter(adapterName: string): Promise<void> {
    await this.#pending;
    await this.base.language.remove(adapterName);
    this.#active = this.#active.filter((name) => name !== adapterName);
    this.#trainable.delete(adapterName);
  }

  /** `forward` of the base with the active adapters, or those that `adapterNames` gives to each row. */
  async forward(input: InputOf<M>): Promise<OutputOf<M>> {
    await this.#pending;
    return (await this.base.forwardWith(input as never, this.#choose)) as OutputOf<M>;
  }

  /** `generate` of the base, with adapters as in {@link forward}. @throws ConfigError if the base predicts no next tokens */
  async generate(input: M extends CausalLMModel ? GenerateInput : never): Promise<GenerateResult> {
    await this.#pending;
    const base: PretrainedModel = this.base;
    if (!(base instanceof CausalLMModel)) {
      throw new ConfigError({
        where: "generate",
        what: "only models that predict the next token go on with texts",
        got: `a model for ${base.language.model.task.kind}`,
        hint: "load the model with AutoModelForCausalLM",
      });
    }
    return generateFrom(base.language, base.generation, input, this.#choose);
  }

  /**
   * Adds the updates of adapters (default: the active ones) to the weights, in float32. Until {@link unmergeAdapter} the
   * model computes exactly what the base would, with no adapter left in its graphs.
   * @throws ConfigError if adapters are merged already, or a method cannot be merged
   */
  async mergeAdapter({ adapterNames = this.activeAdapters }: { adapterNames?: readonly string[] } = {}): Promise<void> {
    await this.#pending;
    await this.base.language.merge(adapterNames);
  }

  /** Restores the weights that {@link mergeAdapter} changed, bit for bit. */
  async unmergeAdapter(): Promise<void> {
    await this.#pending;
    await this.base.language.unmerge();
  }

  /** The base with the active adapters merged into its weights, and no adapters. This object is of no more use. */
  async mergeAndUnload(): Promise<M> {
    const { language } = this.base;
    if (!language.isMerged) await this.mergeAdapter();
    for (const name of this.adapterNames) await this.deleteAdapter(name);
    return this.base;
  }

  /** The base without any adapters. This object is of no more use. */
  async unload(): Promise<M> {
    await this.unmergeAdapter();
    for (const name of this.adapterNames) await this.deleteAdapter(name);
    return this.base;
  }

  /**
   * A new adapter whose update is the weighted sum of others' updates, exactly.
   * @param options `combinationType`: `svd` (default, as in PEFT; with `svdRank`), `cat` or `linear`, which are exact
   */
  async addWeightedAdapter(
    adapters: readonly string[],
    weights: readonly number[],
    adapterName: string,
    options: WeightedAdapterOptions = {},
  ): Promise<void> {
    await this.#pending;
    this.#expectFree(adapterName);
    const { language } = this.base;
    const sources = adapters.map((name) => language.adapter(name));
    await language.add(await addWeightedAdapter(language.device, sources, weights, { ...options, name: adapterName }));
  }

  /**
   * Puts the weights of another adapter in the place of a loaded one's; nothing is compiled again.
   * @throws ConfigError or FormatError if it has targets or ranks that the loaded one has no room for
   */
  async hotswapAdapter(nameOrPath: string, adapterName: string, options: HubOptions = {}): Promise<void> {
    await this.#pending;
    const { language } = this.base;
    const adapter = language.adapter(adapterName);
    const { dir } = await resolveFolder(nameOrPath, { kind: "adapter", ...hubOptions(options) });
    await hotswap(language.device, this.#adaptable(), adapter, dir);
  }

  /**
   * Writes the adapters as PEFT does: `default` into the folder itself, others into folders of their names.
   * @param selected Default: all
   */
  async savePretrained(
    dir: string,
    { selected = this.adapterNames }: { selected?: readonly string[] } = {},
  ): Promise<void> {
    await this.#pending;
    for (const name of selected) {
      await this.#save(this.base.language.adapter(name), name === "default" ? dir : join(dir, name));
    }
  }

  async #save(adapter: Adapter, dir: string): Promise<void> {
    await saveAdapter(this.base.language.device, adapter, dir, {
      baseModelNameOrPath: this.base.nameOrPath,
      ...this.base.adapterTask,
    });
  }

  /** The active adapter, for a trainer. @throws ConfigError unless exactly one is on, and may be trained */
  trainable(): Trainable {
    const [name, ...others] = this.activeAdapters;
    if (name === undefined || others.length > 0) {
      throw new ConfigError({
        where: "trainer",
        what: "one adapter is trained at a time",
        got: name === undefined ? "none is on" : this.activeAdapters.join(", "),
        hint: "choose it with setAdapter",
      });
    }
    if (!this.#trainable.has(name)) {
      throw new ConfigError({
        where: "trainer",
        what: `the adapter "${name}" was loaded to be used, not to be trained`,
        hint: "load it with isTrainable: true",
      });
    }
    const { language } = this.base;
    const adapter = language.adapter(name);
    return adapterTrainable(language, adapter, {
      ready: async () => void (await this.#pending),
      save: (dir) => this.#save(adapter, dir),
      saveStates: (dir) => saveStates(language.device, adapter, dir),
      restore: (dir) => restoreAdapter(language.device, adapter, dir),
    });
  }

  /** Elements that training would change, and all that the model has with its active adapters. */
  getNbTrainableParameters(): { trainable: number; all: number } {
    const { language } = this.base;
    const adapters = this.#active.map((name) => language.adapter(name));
    const trained = adapters.filter(({ name }) => this.#trainable.has(name)).flatMap(({ parameters }) => parameters);
    return countTrainable({ language, trained, adapters });
  }

  /** Prints `trainable params: … || all params: … || trainable%: …`, and returns it. */
  printTrainableParameters(): string {
    const text = trainableText(this.getNbTrainableParameters());
    console.log(text);
    return text;
  }

  /** Frees the model and its adapters. */
  async dispose(): Promise<void> {
    await this.#pending;
    const { language } = this.base;
    for (const adapter of language.adapters.values()) {
      for (const { name } of adapterStates(adapter)) await language.device.free(name);
    }
    await this.base.dispose();
  }

  readonly #choose = (names: readonly string[] | undefined, rows: number): RowAdapters => {
    const { language } = this.base;
    if (names === undefined) return [language.isMerged ? [] : this.activeAdapters];
    if (names.length !== rows) {
      throw new ConfigError({
        where: "adapterNames",
        what: "one name is needed for each row",
        got: names.length,
        expected: rows,
      });
    }
    if (language.isMerged) {
      throw new ConfigError({ where: "adapterNames", what: "adapters are merged", hint: "call unmergeAdapter first" });
    }
    return names.map((name) => (name === BASE ? [] : [language.adapter(name).name]));
  };

  #adaptable(): AdaptableModel {
    const { language, defaultTargets, nameOrPath } = this.base;
    const isStored = (parameter: string) => language.storages.has(parameter);
    return { ...adaptable(language.model, defaultTargets, nameOrPath), isStored };
  }

  #expectFree(name: string): void {
    if (!this.base.language.adapters.has(name)) return;
    throw new ConfigError({ where: "adapterName", what: "the name is taken", got: name });
  }

  /** Runs `work` before anything that waits; its error comes out there. */
  #begin(work: () => Promise<void>): void {
    this.#pending = this.#pending.then(work);
    // Whoever waits next is told; until then nobody listens.
    this.#pending.catch(() => {});
    this.base.language.waitFor(this.#pending);
  }
}
