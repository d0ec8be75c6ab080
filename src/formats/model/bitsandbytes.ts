/**
 * Checkpoints that bitsandbytes quantised, as transformers saves them:
 *
 *     X.weight                                    codes: uint8 [⌈n / 2⌉, 1], or as many bytes of another type
 *     X.weight.absmax                             constants of blocks: float32, or uint8 with double quantisation
 *     X.weight.quant_map                          the 16 levels
 *     X.weight.nested_absmax, .nested_quant_map   with double quantisation
 *     X.weight.quant_state.bitsandbytes__nf4      JSON in bytes: shape, block sizes, nested_offset; or …__fp4
 *     X.weight int8 [out, in], X.SCB float32 [out], X.weight_format    of LLM.int8()
 *
 * Nothing is quantised again: the tensors are read where they lie.
 */
import { FormatError, listed } from "../../errors.ts";
import type { TypedArray } from "../../ir/dtype.ts";
import { BLOCK, NESTED_BLOCK } from "../../quant/four-bit.ts";
import { FP4_LEVELS } from "../../quant/fp4.ts";
import { STORAGES } from "../../quant/index.ts";
import { NF4_LEVELS } from "../../quant/nf4.ts";
import type { WeightStorage } from "../../quant/stored-model.ts";
import type { Checkpoint, TensorEntry } from "../safetensors/index.ts";

const STATE = /^(.*)\.quant_state\.bitsandbytes__(\w+)$/;
const PARTS = [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"];
const LEVELS: Readonly<Record<string, readonly number[]>> = { nf4: NF4_LEVELS, fp4: FP4_LEVELS };
const HINT = "load the model that it was made from, and quantise that";

/** A weight that is quantised in the checkpoint. */
export interface QuantizedWeight {
  readonly weight: WeightStorage;
  /** By the names of the storage's tensors: where they are, or what they are. */
  readonly tensors: Readonly<Record<string, TensorEntry | TypedArray>>;
}

export interface QuantizedView {
  /** The checkpoint as if its quantised weights were float32 tensors. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** By their names in the checkpoint. */
  readonly weights: ReadonlyMap<string, QuantizedWeight>;
}

/** @throws FormatError listing everything that is not as bitsandbytes stores it, or that cannot be computed with here */
export async function bitsandbytesView(checkpoint: Checkpoint): Promise<QuantizedView> {
  const tensors = new Map(checkpoint.tensors);
  const weights = new Map<string, QuantizedWeight>();
  const problems: string[] = [];
  const attempt = async (name: string, read: () => Promise<QuantizedWeight> | QuantizedWeight) => {
    try {
      const found = await read();
      weights.set(name, found);
      tensors.set(name, { ...checkpoint.tensors.get(name)!, dtype: "F32", shape: found.weight.shape });
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      problems.push(`${name}: ${error.message}`);
    }
  };
  for (const state of checkpoint.tensors.keys()) {
    const [, name, type] = STATE.exec(state) ?? [];
    if (name === undefined) continue;
    await attempt(name, () => fourBitWeight(checkpoint, name, type!, state));
    for (const part of [state, ...PARTS.map((suffix) => name + suffix)]) tensors.delete(part);
  }
  for (const scales of checkpoint.tensors.keys()) {
    if (!scales.endsWith(".SCB")) continue;
    const name = `${scales.slice(0, -".SCB".length)}.weight`;
    await attempt(name, () => eightBitWeight(checkpoint, name, scales));
    for (const part of [scales, `${name}_format`]) tensors.delete(part);
  }
  if (problems.length > 0) {
    throw new FormatError({
      where: checkpoint.path,
      what: `quantised weights that cannot be read: ${listed(problems)}`,
      hint: HINT,
    });
  }
  return { tensors, weights };
}

/** Why a weight cannot be read; becomes a part of one FormatError. */
class Unreadable extends Error {}

async function fourBitWeight(
  checkpoint: Checkpoint,
  name: string,
  type: string,
  stateName: string,
): Promise<QuantizedWeight> {
  const storage = STORAGES.find((candidate) => candidate.name === type);
  const levels = LEVELS[type];
  if (storage === undefined || levels === undefined) throw new Unreadable(`no such levels here: ${type}`);
  const state = parseState(await checkpoint.read(stateName));
  const { shape } = state;
  const count = shape.reduce((a, b) => a * b, 1);
  const nested = checkpoint.tensors.has(`${name}.nested_absmax`);
  if (state.blocksize !== BLOCK)
    throw new Unreadable(`blocks of ${String(state.blocksize)}, and only ${BLOCK} are possible`);
  if (nested && state.nestedBlocksize !== NESTED_BLOCK) {
    throw new Unreadable(`nested blocks of ${String(state.nestedBlocksize)}, and only ${NESTED_BLOCK} are possible`);
  }
  const bytes = Math.ceil(count / 2);
  const blocks = Math.ceil(count / BLOCK);
  const tensors: Record<string, TensorEntry | TypedArray> = {
    codes: part(checkpoint, name, bytes),
    absmax: part(checkpoint, `${name}.absmax`, nested ? blocks : 4 * blocks),
  };
  const map = await checkpoint.readFloat32(part(checkpoint, `${name}.quant_map`, 4 * levels.length).name);
  // The sign of FP4's second zero is not the same in all versions.
  if (map.some((level, i) => level !== levels[i])) throw new Unreadable("its quant_map has other levels");
  if (nested) {
    tensors["map"] = part(checkpoint, `${name}.nested_quant_map`, 4 * 256);
    tensors["scales"] = part(checkpoint, `${name}.nested_absmax`, 4 * Math.ceil(blocks / NESTED_BLOCK));
    if (state.nestedOffset === undefined) throw new Unreadable("nested_offset is missing");
    tensors["offset"] = Float32Array.of(state.nestedOffset);
  }
  return { weight: { storage, options: { doubleQuantization: nested }, shape }, tensors };
}

async function eightBitWeight(checkpoint: Checkpoint, name: string, scales: string): Promise<QuantizedWeight> {
  const storage = STORAGES.find((candidate) => candidate.name === "int8");
  const entry = checkpoint.tensors.get(name);
  if (storage === undefined || entry?.dtype !== "I8" || entry.shape.length !== 2) {
    throw new Unreadable("is not an int8 matrix");
  }
  const { shape } = entry;
  if (part(checkpoint, scales, 4 * shape[0]!).dtype !== "F32") throw new Unreadable(`${scales} is not float32`);
  // bitsandbytes keeps the largest magnitude of a row, not what a step is worth.
  const steps = (await checkpoint.readFloat32(scales)).map((largest) => largest / 127);
  return {
    weight: { storage, options: { doubleQuantization: false }, shape },
    tensors: { codes: entry, scales: steps },
  };
}

/** @throws Unreadable if the tensor is missing or has another size */
function part(checkpoint: Checkpoint, name: string, byteLength: number): TensorEntry {
  const entry = checkpoint.tensors.get(name);
  if (entry === undefined) throw new Unreadable(`${name} is missing`);
  if (entry.byteLength !== byteLength) {
    throw new Unreadable(`${name} has ${entry.byteLength} bytes, not ${byteLength}`);
  }
  return entry;
}

interface QuantState {
  readonly shape: readonly number[];
  readonly blocksize: unknown;
  readonly nestedBlocksize: unknown;
  readonly nestedOffset: number | undefined;
}

/** @throws Unreadable */
function parseState(bytes: Uint8Array): QuantState {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Record<string, unknown>;
  } catch {
    throw new Unreadable("its quant_state is not JSON");
  }
  const shape: unknown = fields?.["shape"];
  const isSize = (size: unknown): size is number => typeof size === "number" && Number.isSafeInteger(size) && size > 0;
  if (!Array.isArray(shape) || shape.length === 0 || !shape.every(isSize)) {
    throw new Unreadable("its quant_state has no shape");
  }
  const offset = fields["nested_offset"];
  return {
    shape,
    blocksize: fields["blocksize"],
    nestedBlocksize: fields["nested_blocksize"],
    nestedOffset: typeof offset === "number" && Number.isFinite(offset) ? offset : undefined,
  };
}
