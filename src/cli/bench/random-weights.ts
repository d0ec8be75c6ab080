/** A checkpoint of random weights, for measurements: what the numbers are does not matter, that they are in a file does. */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "../../data/cache-directory.ts";
import { writeSafetensors } from "../../formats/safetensors/index.ts";
import type { CausalLm } from "../../models/causal-lm.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { Random, streamOf } from "../../random.ts";

/** Numbers that are drawn; parameters repeat them. Prime, so that no two rows of a matrix are alike. */
const DRAWN = 65_537;
const DEVIATION = 0.02;

/**
 * Runs `work` with a float32 safetensors file of the model's parameters, in the cache's folder.
 * @param keep leaves the file there, and takes it the next time
 */
export async function withRandomWeights<T>(
  model: CausalLm,
  { name, keep, signal }: { readonly name: string; readonly keep: boolean; readonly signal: AbortSignal },
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
      const tensors = model.parameters.map((spec) => ({
        name: spec.name,
        shape: spec.shape,
        dtype: "F32" as const,
        data: () => {
          signal.throwIfAborted();
          return randomValues(spec);
        },
      }));
      await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
    }
    return await work(path);
  } finally {
    if (!keep) await rm(path, { force: true });
  }
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
