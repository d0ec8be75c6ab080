/**
 * `config.json` of a model, as the model families read it (models/config-source.ts), whatever version of transformers
 * wrote it: 5 has `dtype` and `rope_parameters` where 4 had `torch_dtype`, `rope_theta` and `rope_scaling`.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, listed } from "../../errors.ts";
import type { ConfigSource } from "../../models/config-source.ts";
import { readRope } from "../../models/rope-settings.ts";
import type { RopeScaling } from "../../nn/rope.ts";
import { JsonObject, type JsonValue, readJsonObject, shown } from "../peft/json-object.ts";

export const MODEL_CONFIG_FILE = "config.json";

/** Settings that count something. */
const COUNT = /^(n_\w+|num_\w+|\w+_size|head_dim|max_position_embeddings|sliding_window)$/;
/** More layers than any model has; each one that a hostile file asks for would take memory before a weight is read. */
const MAX_LAYERS = 10_000;

type Fields = Readonly<Record<string, JsonValue>>;

/** Precisions of `dtype`. */
export type WeightDtype = "float32" | "float16" | "bfloat16";

export class ModelConfigFile implements ConfigSource {
  /** Where the settings are from, for messages. */
  readonly path: string;
  /** All settings, as they were written. */
  readonly fields: Fields;
  readonly #object: JsonObject;

  constructor(fields: Fields, path: string) {
    this.path = path;
    this.fields = fields;
    this.#object = new JsonObject(path, new Map(Object.entries(fields)));
    const quantization = this.#object.get("quantization_config") ?? undefined;
    if (quantization !== undefined && !isBitsandbytes(quantization)) {
      const method = (quantization as Record<string, unknown>)["quant_method"];
      this.problem(
        `quantization_config: the weights are quantised by ${shown((method ?? quantization) as JsonValue)}, which is not ` +
          "read here, only bitsandbytes is; give the model that they were made from",
      );
    }
  }

  /** The settings of a model whose weights are floating-point numbers: what `quantization_config` says is left out. */
  get floatFields(): Fields {
    const { quantization_config: _, ...rest } = this.fields;
    return rest;
  }

  /** `model_type`; empty where there is none. */
  get modelType(): string {
    return this.#object.string("model_type") ?? "";
  }

  /** Classes of transformers, such as `Qwen2ForCausalLM`. */
  get architectures(): readonly string[] {
    return this.strings("architectures") ?? [];
  }

  /** The precision that the weights were saved in; undefined where it is not said or another one. */
  get dtype(): WeightDtype | undefined {
    const name = this.#object.get("dtype") ?? this.#object.get("torch_dtype");
    return name === "float32" || name === "float16" || name === "bfloat16" ? name : undefined;
  }

  number(key: string, fallback?: number): number {
    const value = this.#object.number(key);
    if (value === undefined) return fallback ?? this.#required(key, 1);
    const isCount = COUNT.test(key);
    if (!Number.isFinite(value) || (isCount && !(Number.isSafeInteger(value) && value > 0))) {
      this.problem(`${key} is ${value}, not a ${isCount ? "whole number from 1 on" : "number"}`);
      return 1;
    }
    if (/layers?$/.test(key) && value > MAX_LAYERS) {
      this.problem(`${key} is ${value}: at most ${MAX_LAYERS} are possible`);
      return 1;
    }
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    return this.#object.boolean(key) ?? fallback;
  }

  string(key: string, fallback?: string): string {
    return this.#object.string(key) ?? fallback ?? this.#required(key, "");
  }

  strings(key: string): readonly string[] | undefined {
    const value = this.#object.get(key) ?? undefined;
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    this.problem(`${key} is ${shown(value)}, not a list of strings`);
    return undefined;
  }

  has(key: string): boolean {
    return (this.#object.get(key) ?? null) !== null;
  }

  isNull(key: string): boolean {
    return this.#object.get(key) === null;
  }

  rope(defaultTheta: number): { readonly theta: number; readonly scaling?: RopeScaling } {
    return readRope(this.fields, defaultTheta, (what) => this.problem(what));
  }

  problem(what: string): void {
    this.#object.problems.push(what);
  }

  /** @throws FormatError with everything that has been found wrong so far */
  check(): void {
    const problems = [...new Set(this.#object.problems)];
    if (problems.length > 0) throw new FormatError({ where: this.path, what: listed(problems) });
  }

  #required<T>(key: string, standIn: T): T {
    this.problem(`${key} is missing`);
    return standIn;
  }
}

/** Old versions of transformers did not write `quant_method`. */
function isBitsandbytes(quantization: JsonValue): boolean {
  if (typeof quantization !== "object" || quantization === null || Array.isArray(quantization)) return false;
  const { quant_method: method, load_in_4bit: four, load_in_8bit: eight } = quantization as Record<string, unknown>;
  return method === "bitsandbytes" || (method === undefined && (four === true || eight === true));
}

/**
 * Reads `config.json`.
 * @param path of the file, or of the folder that holds it
 * @param overrides settings that take the place of the file's
 * @throws FormatError if the file cannot be read or is not one JSON object
 */
export async function readModelConfig(path: string, overrides: Fields = {}): Promise<ModelConfigFile> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const file = isFolder ? join(path, MODEL_CONFIG_FILE) : path;
  const object = await readJsonObject(file);
  // Nothing has been asked for yet: these are all.
  const fields = object.unknown().map((key): [string, JsonValue] => [key, object.get(key) ?? null]);
  return new ModelConfigFile({ ...Object.fromEntries(fields), ...overrides }, file);
}
