/** What a chat is started with: options of the command line, or a LLaMA-Factory configuration with options on top. */
import { basename } from "node:path";
import { readRunConfig, type RunConfig } from "../../config/index.ts";
import { positionSettings } from "../../config/positions.ts";
import { storageSettings } from "../../config/storage.ts";
import { ConfigError } from "../../errors.ts";
import type { FromPretrainedOptions, HubOptions } from "../../lm/causal-lm-model.ts";
import type { GenerateOptions } from "../../lm/generate.ts";
import type { EngineDevice } from "../../runtime/runtime.ts";

/** Options as commander gives them. */
export interface ChatOptions {
  readonly model?: string;
  readonly adapter?: readonly string[];
  /** False: no template, the model goes on with the text. */
  readonly template?: string | boolean;
  readonly system?: string;
  readonly maxNewTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly greedy?: boolean;
  readonly seed?: number;
  readonly threads?: number;
  readonly device?: EngineDevice;
  readonly storage?: string;
  readonly offline?: boolean;
  readonly revision?: string;
  readonly prompt?: string;
  readonly json?: boolean;
}

export interface AdapterPath {
  readonly name: string;
  /** A folder, or a name on the hub. */
  readonly path: string;
}

type Sampling = Pick<
  GenerateOptions,
  "doSample" | "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "maxNewTokens"
>;

export interface ChatSetup {
  readonly model: string;
  readonly adapters: readonly AdapterPath[];
  /** Names of the adapters that are on at first. */
  readonly active: readonly string[];
  /** False: none, the model goes on with the text. Default: the model's own. */
  readonly template?: string | false;
  readonly system?: string;
  readonly enableThinking?: boolean;
  /** What goes before the model's own `generation_config.json`. */
  readonly sampling: Sampling;
  readonly skipSpecialTokens: boolean;
  readonly seed: number;
  readonly threads?: number;
  readonly device: EngineDevice;
  /** In which storage the weights are, and how far positions reach. */
  readonly weights: Pick<FromPretrainedOptions, "storage" | "doubleQuantization" | "ropeScaling">;
  readonly hub: HubOptions;
  /** What a person should know about the configuration. */
  readonly notes: readonly string[];
}

/**
 * @param config path of a LLaMA-Factory configuration, or its first `key=value`; undefined: only options count
 * @param overrides `key=value` each
 * @throws ConfigError with every problem of the configuration; if no model is named, or two adapters have one name
 */
export async function readSetup(
  config: string | undefined,
  overrides: readonly string[],
  options: ChatOptions,
): Promise<ChatSetup> {
  const ofOptions = setupOf(options);
  if (config === undefined) {
    if (options.model !== undefined) return { ...DEFAULTS, ...ofOptions, model: options.model };
    throw new ConfigError({
      where: "--model",
      what: "which model to chat with?",
      expected: "a folder, or a name on the hub",
      hint: "lowrank chat --model Qwen/Qwen2.5-0.5B-Instruct",
    });
  }
  const isKey = /^[a-z_]+=/.test(config);
  const keys = [...(isKey ? [config] : []), ...overrides];
  if (options.model !== undefined) keys.push(`model_name_or_path=${JSON.stringify(options.model)}`);
  const read = await readRunConfig(isKey ? undefined : config, keys, "chat");
  const ofFile = setupOfConfig(read.config, read.given, read.notes);
  return {
    ...ofFile,
    ...ofOptions,
    sampling: { ...ofFile.sampling, ...ofOptions.sampling },
    hub: { ...ofFile.hub, ...ofOptions.hub },
  };
}

const DEFAULTS = {
  adapters: [],
  active: [],
  sampling: {},
  skipSpecialTokens: true,
  seed: 0,
  device: "cpu",
  weights: {},
  hub: {},
  notes: [],
} as const satisfies Partial<ChatSetup>;

/** What the options say; what they leave open is absent. */
function setupOf(options: ChatOptions): Partial<ChatSetup> & Pick<ChatSetup, "sampling" | "hub"> {
  const { system, seed, threads, device, offline, revision, greedy = false, temperature } = options;
  const { adapter, template, maxNewTokens, topK, topP, minP, repetitionPenalty } = options;
  const isGreedy = greedy || temperature === 0;
  // Whoever says how to sample wants it sampled.
  const saysHow = [temperature, topK, topP, minP].some((value) => value !== undefined);
  return {
    ...(adapter === undefined ? {} : named(adapter.map(nameAndPath))),
    ...(template === undefined || template === true ? {} : { template }),
    ...defined({ system, seed, threads, device }),
    ...(options.storage === undefined ? {} : { weights: { storage: options.storage } }),
    sampling: {
      ...(isGreedy ? { doSample: false } : saysHow ? { doSample: true } : {}),
      ...defined({
        temperature: isGreedy ? undefined : temperature,
        maxNewTokens,
        topK,
        topP,
        minP,
        repetitionPenalty,
      }),
    },
    hub: defined({ offline, revision }),
  };
}

function setupOfConfig(config: RunConfig, given: ReadonlySet<string>, notes: readonly string[]): ChatSetup {
  const { adapterNameOrPath, template, defaultSystem, enableThinking, threads, device, seed } = config;
  const { doSample, temperature, topP, topK, repetitionPenalty, maxNewTokens, skipSpecialTokens } = config;
  const { cacheDir, modelRevision, offline, hfHubToken } = config;
  const { adapters } = named((adapterNameOrPath ?? []).map((path) => ({ name: lastName(path), path })));
  return {
    model: config.modelNameOrPath,
    adapters,
    // There they are put on one after the other.
    active: adapters.map(({ name }) => name),
    ...(template === null ? {} : { template }),
    ...(defaultSystem === null ? {} : { system: defaultSystem }),
    ...(given.has("enable_thinking") ? { enableThinking } : {}),
    sampling: { doSample, temperature, topP, topK, repetitionPenalty, maxNewTokens },
    skipSpecialTokens,
    seed: given.has("seed") ? seed : DEFAULTS.seed,
    ...(threads === null ? {} : { threads }),
    device,
    weights: { ...storageSettings(config), ...positionSettings(config) },
    hub: {
      revision: modelRevision,
      ...(offline ? { offline } : {}),
      ...(cacheDir === null ? {} : { cacheDir }),
      ...(hfHubToken === null ? {} : { token: hfHubToken }),
    },
    notes,
  };
}

/** The first one is on. @throws ConfigError if two have one name */
function named(adapters: readonly AdapterPath[]): Pick<ChatSetup, "adapters" | "active"> {
  const names = adapters.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new ConfigError({
      where: "--adapter",
      what: `two adapters are called "${twice}"`,
      hint: `give them names: --adapter first=${adapters.find(({ name }) => name === twice)!.path}`,
    });
  }
  return { adapters, active: names.slice(0, 1) };
}

/** `NAME=PATH`, or a path whose last part is the name. */
function nameAndPath(text: string): AdapterPath {
  const [, name, path] = /^([^=/\\]+)=(.+)$/s.exec(text) ?? [];
  return name === undefined || path === undefined ? { name: lastName(text), path: text } : { name, path };
}

/** Names of parameters have their parts between dots, so a name has none. */
function lastName(path: string): string {
  return basename(path.replace(/[/\\]+$/, "")).replaceAll(".", "_");
}

function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
