/**
 * A model as a folder that Hugging Face libraries load: sharded safetensors, `config.json`, and what belongs to the model
 * beside its weights, copied from the folder that it was made from.
 */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { TEMPLATE_FOLDER, TEXT_FILES } from "../../data/text-files.ts";
import { ConfigError, listed } from "../../errors.ts";
import { encodeFloat32, openCheckpoint, type TensorToWrite, writeSharded } from "../safetensors/index.ts";
import { asFormatError } from "../safetensors/source.ts";
import type { JsonValue } from "../peft/json-object.ts";
import { MODEL_CONFIG_FILE, type WeightDtype } from "./config.ts";

/** Files that belong to a model beside its weights and configuration. */
export const COMPANIONS: readonly string[] = ["generation_config.json", ...TEXT_FILES];

/** What an export consists of, and what is usually put beside it: a folder with more in it is not replaced. */
const REPLACEABLE = new Set([MODEL_CONFIG_FILE, ...COMPANIONS, TEMPLATE_FOLDER, "README.md", "merge_report.json"]);
const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/;

/** In the metadata of the weights: a folder that has it was made here, and may be replaced. */
const PRODUCER = { key: "producer", value: "lowrank" };

const DTYPES = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

/** A tensor of the model, asked for when its turn comes. */
export interface TensorSource {
  /** As in the checkpoint. */
  readonly name: string;
  readonly shape: readonly number[];
  /** All elements, row-major. */
  readonly read: () => Promise<Float32Array>;
}

export interface WriteModelOptions {
  readonly tensors: readonly TensorSource[];
  /** Precision of the stored weights; rounded once, to nearest, ties to even. Default: float32. */
  readonly dtype?: WeightDtype;
  /** Most bytes of weights in one file. Default: 5e9. */
  readonly shardBytes?: number;
  /** What `config.json` says; its precision is set to `dtype`. */
  readonly config: Readonly<Record<string, JsonValue>>;
  /** Folders with tokenizer, chat template and generation settings; a later one has precedence. */
  readonly copyFrom?: readonly string[];
  /** Further files, by name, in place of copied ones. */
  readonly files?: Readonly<Record<string, string>>;
  /** Called after each tensor with the elements written so far. */
  readonly onProgress?: (elements: number, totalElements: number) => void;
  /** Stops the writing; nothing is left. */
  readonly signal?: AbortSignal;
}

/**
 * Writes a model into a folder, which appears whole or not at all. An earlier export of the same name is replaced; any
 * other folder with files in it is not.
 *
 * @throws ConfigError if `dir` is not free; FormatError if writing fails; what `read` throws; the reason of `signal`
 */
export async function writeModel(dir: string, options: WriteModelOptions): Promise<void> {
  const target = resolve(dir);
  await checkFree(target, options);
  const scratch = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await mkdir(scratch, { recursive: true });
    await copyCompanions(scratch, options.copyFrom ?? []);
    for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(scratch, name), text);
    await writeWeights(scratch, options);
    const config = withDtype(options.config, options.dtype ?? "float32");
    await writeFile(join(scratch, MODEL_CONFIG_FILE), `${JSON.stringify(config, null, 2)}\n`);
    await replaceFolder(scratch, target);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw asFormatError(error, dir, "the model cannot be written");
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function writeWeights(
  dir: string,
  { tensors, dtype = "float32", shardBytes, onProgress, signal }: WriteModelOptions,
): Promise<void> {
  const stored = DTYPES[dtype];
  const sizes = tensors.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const totalElements = sizes.reduce((a, b) => a + b, 0);
  let elements = 0;
  const written = tensors.map(({ name, shape, read }, i): TensorToWrite => {
    const data = async () => {
      signal?.throwIfAborted();
      const bytes = encodeFloat32(stored, await read());
      onProgress?.((elements += sizes[i]!), totalElements);
      return bytes;
    };
    return { name, dtype: stored, shape, data };
  });
  // Transformers refuses files without this format.
  const metadata = { format: "pt", [PRODUCER.key]: PRODUCER.value };
  await writeSharded(dir, written, { metadata, ...(shardBytes !== undefined && { maxShardBytes: shardBytes }) });
}

/** The configuration with its precision set, under the name that it has there; transformers 4 knows the older one only. */
function withDtype(config: WriteModelOptions["config"], dtype: WeightDtype): WriteModelOptions["config"] {
  const keys = ["dtype", "torch_dtype"].filter((key) => key in config);
  const names = keys.length > 0 ? keys : ["torch_dtype"];
  return { ...config, ...Object.fromEntries(names.map((key) => [key, dtype])) };
}

/**
 * Copies what belongs to a model or an adapter beside its weights and configuration: tokenizer, chat templates, generation
 * settings. What is not there is left out.
 * @param from folders; a later one has precedence
 * @param also names of further files
 */
export async function copyCompanions(to: string, from: readonly string[], also: readonly string[] = []): Promise<void> {
  for (const folder of from) {
    const present = new Set(await readdir(folder));
    for (const name of [...COMPANIONS, ...also])
      if (present.has(name)) await copyFile(join(folder, name), join(to, name));
    if (!present.has(TEMPLATE_FOLDER)) continue;
    await mkdir(join(to, TEMPLATE_FOLDER), { recursive: true });
    for (const name of await readdir(join(folder, TEMPLATE_FOLDER))) {
      const path = join(folder, TEMPLATE_FOLDER, name);
      if ((await stat(path)).isFile()) await copyFile(path, join(to, TEMPLATE_FOLDER, name));
    }
  }
}

/** @throws ConfigError if something else than an earlier export would be lost */
export async function checkFree(dir: string, { copyFrom = [], files = {} }: WriteModelOptions): Promise<void> {
  const refuse = (what: string): ConfigError =>
    new ConfigError({ where: dir, what, hint: "give another folder, or remove this one" });
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code === "ENOTDIR") throw refuse("is a file");
    throw asFormatError(error, dir, "cannot be read");
  }
  if (names.length === 0) return;
  const real = await realpath(dir);
  for (const folder of copyFrom) {
    if ((await realpath(folder)) === real) throw refuse("is the folder that the model comes from");
  }
  if (!(await isExport(dir))) throw refuse("has files in it and is not an earlier export");
  const others = names.filter((name) => !REPLACEABLE.has(name) && !WEIGHTS.test(name) && !Object.hasOwn(files, name));
  if (others.length > 0) throw refuse(`is an earlier export with other files in it: ${listed(others)}`);
}

async function isExport(dir: string): Promise<boolean> {
  try {
    const checkpoint = await openCheckpoint(dir);
    await checkpoint.close();
    return checkpoint.metadata[PRODUCER.key] === PRODUCER.value;
  } catch {
    return false; // no checkpoint, or a broken one: not ours to judge
  }
}

/** Gives a folder its name. What had the name is moved aside until then, and comes back if that fails. */
export async function replaceFolder(scratch: string, target: string): Promise<void> {
  const old = `${scratch}.old`;
  const wasThere = await rename(target, old).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
  try {
    await rename(scratch, target);
  } catch (error) {
    if (wasThere) await rename(old, target);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}
