/**
 * A checkpoint of random weights in a storage, for measurements: what the numbers are does not matter, that they are in a
 * file does.
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "../../data/cache-directory.ts";
import { openCheckpoint, type TensorToWrite, writeSafetensors } from "../../formats/safetensors/index.ts";
import type { DType } from "../../ir/dtype.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { stateName, type StoredParameters } from "../../quant/stored-model.ts";
import type { Device } from "../../runtime/runtime.ts";
import { Random, streamOf } from "../../random.ts";

/** Numbers that are drawn; parameters repeat them. Prime, so that no two rows of a matrix are alike. */
const DRAWN = 65_537;
const DEVIATION = 0.02;

export interface RandomWeightOptions {
  /** Of the file, without its ending: of the model and of what is stored how. */
  readonly name: string;
  readonly keep: boolean;
  readonly stored: StoredParameters;
  readonly signal: AbortSignal;
}

/** How types of tensors are called in the file. */
const NAMES = { float32: "F32", float16: "F16", bfloat16: "BF16", int8: "I8", uint8: "U8" } as const;

/**
 * Runs `work` with a safetensors file of the model's parameters, in the cache's folder.
 * @param stored those that are not in float32
 * @param keep leaves the file there, and takes it the next time
 */
export async function withRandomWeights<T>(
  model: TextModel,
  { name, keep, stored, signal }: RandomWeightOptions,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const folder = join(cacheDirectory(), "bench");
  const path = join(folder, keep ? `${name}.safetensors` : `${name}-${process.pid}.safetensors`);
  await mkdir(folder, { recursive: true });
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  try {
    if (!exists) {
      const tensors = model.parameters.flatMap((spec) => tensorsOf(spec, stored, signal));
      await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
    }
    return await work(path);
  } finally {
    if (!keep) await rm(path, { force: true });
  }
}

/** Puts the tensors of such a file on a device, without reading them. */
export async function mapWeights(device: Device, path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    const types = new Map(Object.entries(NAMES).map(([dtype, name]) => [name as string, dtype as DType]));
    for (const [name, { dtype, shape, path: file, byteOffset }] of checkpoint.tensors) {
      await device.map(name, { dtype: types.get(dtype)!, shape, path: file, byteOffset });
    }
  } finally {
    await checkpoint.close();
  }
}

function tensorsOf(spec: ParameterSpec, stored: StoredParameters, signal: AbortSignal): TensorToWrite[] {
  const { name, shape } = spec;
  const values = () => {
    signal.throwIfAborted();
    return randomValues(spec);
  };
  const weight = stored.get(name);
  if (weight === undefined) return [{ name, shape, dtype: "F32", data: values }];
  const { storage, options } = weight;
  // Tensors are asked for in the order of the file, and not one parameter after the other.
  return storage.tensors(shape, options).map((tensor) => ({
    name: stateName(name, tensor),
    shape: tensor.shape,
    dtype: NAMES[tensor.dtype as keyof typeof NAMES],
    data: () => storage.encode(values(), shape, options)[tensor.name]!,
  }));
}

function randomValues({ name, shape, init }: ParameterSpec): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  // Scales and biases as they start: they keep the activations at the size that they have in a real model.
  if (shape.length === 1) return init(new Random(0, streamOf(name)), length);
  const random = new Random(0, streamOf(name));
  const drawn = Float32Array.from({ length: DRAWN }, () => DEVIATION * random.normal());
  const values = new Float32Array(length);
  for (let at = 0; at < length; at += DRAWN) values.set(drawn.subarray(0, Math.min(DRAWN, length - at)), at);
  return values;
}
