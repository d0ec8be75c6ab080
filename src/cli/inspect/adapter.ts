/** Facts about an adapter: what it is on, how large its update is in each module, and whether it does anything. */
import { configOn } from "../../adapters/patterns.ts";
import { scaling } from "../../adapters/lora.ts";
import { ConfigError, FormatError } from "../../errors.ts";
import { openCheckpoint } from "../../formats/safetensors/index.ts";
import { type JsonValue, readJsonObject } from "../../formats/peft/json-object.ts";
import { canonicalKeys, openWeights } from "../../formats/peft/weights.ts";
import type { SafetensorsFile } from "../../formats/safetensors/index.ts";
import { join } from "node:path";
import { readModel, storedTask } from "../../lm/read-model.ts";
import { matchTensors } from "../../formats/model/match.ts";

export interface AdapterModule {
  readonly module: string;
  readonly r: number;
  readonly alpha: number;
  readonly scaling: number;
  readonly parameters: number;
  /** ‖s B A‖_F, the size of the update of the weight. */
  readonly update_norm: number;
  /** ‖s B A‖_F / ‖W‖_F; null where the base was not given. */
  readonly relative_norm: number | null;
}

export interface AdapterPart {
  /** Such as `lora_A`, `lora_B`, `modules_to_save`. */
  readonly part: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

export interface AdapterFacts {
  readonly kind: "adapter";
  readonly path: string;
  readonly peft_type: string;
  readonly base_model_name_or_path: string | null;
  readonly revision: string | null;
  readonly task_type: string | null;
  readonly peft_version: string | null;
  readonly r: number | null;
  readonly lora_alpha: number | null;
  readonly use_rslora: boolean;
  /** Places of each example that prompts and prefixes take. */
  readonly num_virtual_tokens: number | null;
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
  readonly target_modules: JsonValue;
  readonly exclude_modules: JsonValue;
  readonly modules_to_save: JsonValue;
  readonly bias: string;
  readonly parameters: number;
  readonly bytes: number;
  /** Types of the stored tensors. */
  readonly dtypes: readonly string[];
  readonly parts: readonly AdapterPart[];
  /** LoRA's modules; of other methods none. */
  readonly modules: readonly AdapterModule[];
  readonly warnings: readonly string[];
}

type Pattern = Readonly<Record<string, number>>;

const PREFIX = "base_model.model.";
/** LoRA's tensors: the module, and which of the two. Embeddings have other names and no `.weight`. */
const LORA_KEY = /^(.*)\.lora_(?:embedding_)?([AB])(?:\.weight)?$/;

/** @param base folder of the model that it is for, if it is here: for the sizes relative to its weights */
export async function adapterFacts(path: string, dir: string, base?: string): Promise<AdapterFacts> {
  const file = await readJsonObject(join(dir, "adapter_config.json"));
  const type = file.string("peft_type");
  if (type === undefined) {
    const hint = "PEFT writes it into every adapter_config.json";
    throw new FormatError({ where: file.path, what: "peft_type is missing", hint });
  }
  const settings = {
    r: file.number("r"),
    alpha: file.number("lora_alpha"),
    useRslora: file.boolean("use_rslora") ?? false,
    rankPattern: file.numbers("rank_pattern") ?? {},
    alphaPattern: file.numbers("alpha_pattern") ?? {},
  };
  const weights = await openWeights(dir);
  try {
    const keys = canonicalKeys(weights.tensors.keys());
    const tensors = [...weights.tensors.values()];
    const modules = await loraModules(weights, keys, settings, base);
    const targets = file.get("target_modules") ?? null;
    return {
      kind: "adapter",
      path,
      peft_type: type,
      base_model_name_or_path: file.string("base_model_name_or_path") ?? null,
      revision: file.string("revision") ?? null,
      task_type: file.string("task_type") ?? null,
      peft_version: file.string("peft_version") ?? null,
      r: settings.r ?? null,
      lora_alpha: settings.alpha ?? null,
      use_rslora: settings.useRslora,
      num_virtual_tokens: file.number("num_virtual_tokens") ?? null,
      rank_pattern: settings.rankPattern,
      alpha_pattern: settings.alphaPattern,
      target_modules: targets,
      exclude_modules: file.get("exclude_modules") ?? null,
      modules_to_save: file.get("modules_to_save") ?? null,
      bias: file.string("bias") ?? "none",
      parameters: tensors.reduce((sum, { shape }) => sum + elements(shape), 0),
      bytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
      dtypes: [...new Set(tensors.map(({ dtype }) => dtype))],
      parts: partsOf(weights, keys),
      modules,
      warnings: warningsOf(modules, file.get("init_lora_weights"), keys),
    };
  } finally {
    await weights.close();
  }
}

interface LoraSettings {
  readonly r: number | undefined;
  readonly alpha: number | undefined;
  readonly useRslora: boolean;
  readonly rankPattern: Pattern;
  readonly alphaPattern: Pattern;
}

interface Base {
  /** ‖W‖_F of a module; undefined where the base has no such one. */
  norm(module: string): Promise<number | undefined>;
  close(): Promise<void>;
}

async function loraModules(
  weights: SafetensorsFile,
  keys: ReadonlyMap<string, string>,
  settings: LoraSettings,
  baseDir: string | undefined,
): Promise<AdapterModule[]> {
  const base = baseDir === undefined ? undefined : await openBase(baseDir);
  try {
    const modules: AdapterModule[] = [];
    for (const [module, pair] of pairsOf(weights, keys)) {
      modules.push(await measured(weights, module, pair, settings, await base?.norm(module)));
    }
    return modules;
  } finally {
    await base?.close();
  }
}

interface Pair {
  readonly A: string;
  readonly B: string;
}

/** Names of A and B in the file, by modules. @throws FormatError if one is missing, or they do not fit each other */
function pairsOf(weights: SafetensorsFile, keys: ReadonlyMap<string, string>): Map<string, Pair> {
  const found = new Map<string, Partial<Pair>>();
  for (const [name, key] of keys) {
    const [, path, which] = LORA_KEY.exec(name) ?? [];
    if (path === undefined) continue;
    const module = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : path;
    found.set(module, { ...found.get(module), [which!]: key });
  }
  const pairs = new Map<string, Pair>();
  const shapeOf = (key: string) => weights.tensors.get(key)!.shape;
  for (const [module, { A, B }] of found) {
    if (A === undefined || B === undefined) {
      throw new FormatError({ where: weights.path, what: `${module} has only one of lora_A and lora_B` });
    }
    const [r = 0] = shapeOf(A);
    if (r < 1 || shapeOf(B)[1] !== r) {
      const got = `A [${shapeOf(A).join(", ")}] and B [${shapeOf(B).join(", ")}]`;
      throw new FormatError({ where: weights.path, what: `${module}: A and B do not fit each other`, got });
    }
    pairs.set(module, { A, B });
  }
  return pairs;
}

/** @param whole ‖W‖_F */
async function measured(
  weights: SafetensorsFile,
  module: string,
  { A, B }: Pair,
  { r: configured = 8, alpha = 8, useRslora, rankPattern, alphaPattern }: LoraSettings,
  whole: number | undefined,
): Promise<AdapterModule> {
  const [a, b] = [weights.tensors.get(A)!, weights.tensors.get(B)!];
  // The tensors say the rank; the configuration has only the rest.
  const r = a.shape[0]!;
  const own = configOn({ r: configured, alpha, rankPattern, alphaPattern }, module);
  const s = scaling({ r, alpha: own.alpha, useRslora });
  const norm = Math.abs(s) * (await productNorm(weights, A, B, r));
  return {
    module,
    r,
    alpha: own.alpha,
    scaling: s,
    parameters: elements(a.shape) + elements(b.shape),
    update_norm: norm,
    relative_norm: whole === undefined ? null : norm / whole,
  };
}

/** ‖B A‖_F = √ Σ (Bᵀ B) ∘ (A Aᵀ), without making B A. A [r, …], B [out, r, …]. */
async function productNorm(weights: SafetensorsFile, A: string, B: string, r: number): Promise<number> {
  const [a, b] = [await weights.readFloat32(A), await weights.readFloat32(B)];
  const width = a.length / r;
  const height = b.length / r;
  let sum = 0;
  for (let i = 0; i < r; i++) {
    for (let j = i; j < r; j++) {
      let [rows, columns] = [0, 0];
      for (let k = 0; k < width; k++) rows += a[i * width + k]! * a[j * width + k]!;
      for (let k = 0; k < height; k++) columns += b[k * r + i]! * b[k * r + j]!;
      sum += (i === j ? 1 : 2) * rows * columns;
    }
  }
  return Math.sqrt(Math.max(0, sum));
}

async function openBase(dir: string): Promise<Base> {
  const { model, match } = await readModel(dir, { taskOf: storedTask });
  const checkpoint = await openCheckpoint(dir);
  const { parameters } = matchTensors(checkpoint, model.parameters, match);
  const stored = new Map(parameters.map((parameter) => [parameter.name, parameter.stored]));
  const weightOf = new Map(model.layers.map((layer) => [layer.name, model.tied[layer.weight] ?? layer.weight]));
  return {
    async norm(module) {
      const name = stored.get(weightOf.get(module) ?? "");
      if (name === undefined) {
        throw new ConfigError({
          where: "--model",
          what: `has no layer ${module}, which the adapter is on`,
          hint: "is this the model that the adapter was made for?",
        });
      }
      let sum = 0;
      for (const value of await checkpoint.readFloat32(name)) sum += value * value;
      return Math.sqrt(sum);
    },
    close: () => checkpoint.close(),
  };
}

function partsOf(weights: SafetensorsFile, keys: ReadonlyMap<string, string>): AdapterPart[] {
  const parts = new Map<string, AdapterPart>();
  for (const [name, key] of keys) {
    const { shape, byteLength } = weights.tensors.get(key)!;
    const part = partOf(name);
    const { tensors = 0, parameters = 0, bytes = 0 } = parts.get(part) ?? {};
    parts.set(part, {
      part,
      tensors: tensors + 1,
      parameters: parameters + elements(shape),
      bytes: bytes + byteLength,
    });
  }
  return [...parts.values()];
}

/** `lora_A` of `….q_proj.lora_A.weight`; what has no part of its own is a whole parameter of the base. */
function partOf(name: string): string {
  const own = /\.((?:lora|ia3|vera|hada|lokr|oft|boft|hra)_[A-Za-z0-9_]+?)(?:\.weight|\.bias)?$/.exec(name)?.[1];
  if (own !== undefined) return name.endsWith(".bias") ? `${own} bias` : own;
  if (name.includes(".base_layer.")) return name.endsWith(".bias") ? "biases of the base" : "tables of the base";
  if (name.endsWith("prompt_embeddings")) return "prompt_embeddings";
  return name.endsWith(".bias") ? "biases of the base" : `modules_to_save (${name.split(".").slice(0, -1).at(-1)})`;
}

function warningsOf(
  modules: readonly AdapterModule[],
  init: JsonValue | undefined,
  keys: ReadonlyMap<string, string>,
): string[] {
  const warnings: string[] = [];
  const idle = modules.filter(({ update_norm: norm }) => norm === 0);
  const broken = modules.filter(({ update_norm: norm }) => !Number.isFinite(norm));
  const isOnlyLora = [...keys.keys()].every((name) => LORA_KEY.test(name));
  if (idle.length === modules.length && modules.length > 0) {
    warnings.push(
      isOnlyLora
        ? "every update is zero (B = 0): this adapter changes nothing"
        : "every update is zero (B = 0): only what it brings besides changes anything",
    );
  } else if (idle.length > 0) {
    warnings.push(`${idle.length} of ${modules.length} updates are zero, that of ${idle[0]!.module} first`);
  }
  if (broken.length > 0) warnings.push(`${broken.length} updates are not finite, that of ${broken[0]!.module} first`);
  if ([...keys.keys()].some((name) => name.endsWith(".lora_magnitude_vector"))) {
    warnings.push("DoRA: sizes are those of s·B A alone; the magnitudes give each row of the weight a length besides");
  }
  if (typeof init !== "string") return warnings;
  if (/^(pissa|olora)/i.test(init)) {
    warnings.push(
      `init_lora_weights is ${init}: sizes are those of B A with what the start took from the base, which loading finds again`,
    );
  } else if (/^loftq/i.test(init)) {
    warnings.push(
      "init_lora_weights is loftq: it is for the base's weights after quantisation, which loading makes again",
    );
  } else if (/^(corda|lora_ga)/i.test(init)) {
    warnings.push(`init_lora_weights is ${init}: it is for a base whose weights that start has changed`);
  }
  return warnings;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
