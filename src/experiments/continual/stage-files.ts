/**
 * A sequence of tasks on disk, as it is between two tasks: `stage.json` with the results so far, and a safetensors file with the
 * weights and factors that the next task begins with. The JSON file comes last and says which one that is.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, FormatError } from "../../errors.ts";
import { openSafetensors, writeSafetensors, type TensorToWrite } from "../../formats/safetensors/index.ts";
import type { Tensor } from "../../runtime/runtime.ts";
import { errorCode, readJson, replaceFile } from "../../train/run/durable-file.ts";
import { EMPTY, type Memory } from "./method.ts";
import type { TestedStage, TrainedStage } from "./sequence.ts";

const FILE = "stage.json";
const FORMAT = 1;

interface Results {
  readonly baseline: TestedStage;
  readonly stages: readonly TrainedStage[];
}

interface StageFile {
  readonly format: typeof FORMAT;
  readonly identity: string;
  /** Of the tensors; null if there are none. */
  readonly tensors: string | null;
  readonly ranks: readonly number[];
  readonly results: Results;
}

export interface SavedStage {
  readonly results: Results;
  readonly memory: Memory;
  readonly weights: ReadonlyMap<string, Tensor>;
}

/** Names of factors in the file: `A/LAYER`, `B0/LAYER`, `B1/LAYER`, … */
const FACTOR = /^(A|B(\d+))\/(.+)$/;

export async function writeStage(
  folder: string,
  identity: string,
  {
    results,
    memory,
    weights,
  }: {
    readonly results: Results;
    readonly memory: Memory;
    readonly weights: readonly { readonly name: string; readonly read: () => Promise<Tensor> }[];
  },
): Promise<void> {
  const before = await readStageFile(folder);
  const tensors: TensorToWrite[] = [];
  for (const { name, read } of weights) {
    const { shape, data } = await read();
    tensors.push({ name, shape, dtype: "F32", data: data as Float32Array });
  }
  for (const [layer, { A, B }] of memory.factors) {
    tensors.push({ name: `A/${layer}`, shape: [A.length], dtype: "F32", data: A });
    for (const [i, block] of B.entries()) {
      tensors.push({ name: `B${i}/${layer}`, shape: [block.length], dtype: "F32", data: block });
    }
  }
  const name = tensors.length === 0 ? null : `stage-${results.stages.length}.safetensors`;
  const file: StageFile = { format: FORMAT, identity, tensors: name, ranks: memory.ranks, results };
  await mkdir(folder, { recursive: true });
  if (name !== null) await writeSafetensors(join(folder, name), tensors);
  await replaceFile(join(folder, FILE), `${JSON.stringify(file)}\n`);
  const old = before?.tensors ?? name;
  if (old !== null && old !== name) await rm(join(folder, old), { force: true });
}

/**
 * @returns undefined where no task has been finished
 * @throws ConfigError if the stages are those of another sequence; FormatError if a file is damaged
 */
export async function readStage(folder: string, identity: string): Promise<SavedStage | undefined> {
  const file = await readStageFile(folder);
  if (file === undefined) return undefined;
  if (file.identity !== identity) {
    throw new ConfigError({
      where: join(folder, FILE),
      what: "is of a sequence with other tasks or settings",
      hint: "give another folder, or remove this one",
    });
  }
  if (file.tensors === null) return { results: file.results, memory: EMPTY, weights: new Map() };
  const tensors = await openSafetensors(join(folder, file.tensors));
  try {
    const weights = new Map<string, Tensor>();
    const factors = new Map<string, { A: Float32Array; B: Float32Array[] }>();
    for (const [name, { shape }] of tensors.tensors) {
      const data = await tensors.readFloat32(name);
      const [, part, index, layer] = FACTOR.exec(name) ?? [];
      if (layer === undefined) {
        weights.set(name, { dtype: "float32", shape, data });
        continue;
      }
      const pair = factors.get(layer) ?? { A: new Float32Array(), B: [] };
      if (part === "A") pair.A = data;
      else pair.B[Number(index)] = data;
      factors.set(layer, pair);
    }
    return { results: file.results, memory: { ranks: file.ranks, factors }, weights };
  } finally {
    await tensors.close();
  }
}

async function readStageFile(folder: string): Promise<StageFile | undefined> {
  const path = join(folder, FILE);
  let found: unknown;
  try {
    found = await readJson(path);
  } catch (error) {
    if (errorCode((error as Error).cause) === "ENOENT") return undefined;
    throw error;
  }
  if ((found as Partial<StageFile>).format !== FORMAT) {
    throw new FormatError({ where: path, what: "is not the state of a sequence of tasks that this version can read" });
  }
  return found as StageFile;
}
