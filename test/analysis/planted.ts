/** Weights with planted intruders, in safetensors files. */
import { encodeFloat32, type FloatDtype, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { Random } from "../../src/random.ts";

export interface Tensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Independent normal numbers. */
export function gaussian(shape: readonly number[], seed: number, size = 0.02): Tensor {
  const random = new Random(seed);
  const count = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Float32Array.from({ length: count }, () => size * random.normal()) };
}

/**
 * W + Σ θⱼ u vᵀ with random u, v and θ above σ₁(W) ≈ size (√rows + √columns): each is an intruder at the top (Shuttleworth et
 * al. 2024, appendix A.2).
 */
export function withIntruders({ shape, values }: Tensor, count: number, seed: number, size = 0.02): Tensor {
  const [rows, columns] = shape as readonly [number, number];
  const largest = size * (Math.sqrt(rows) + Math.sqrt(columns));
  const tuned = Float64Array.from(values);
  for (let k = 0; k < count; k++) {
    const [u, v] = [unit(rows, seed + 2 * k), unit(columns, seed + 2 * k + 1)];
    const theta = (2 + 0.5 * k) * largest;
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) tuned[i * columns + j]! += theta * u[i]! * v[j]!;
  }
  return { shape, values: Float32Array.from(tuned) };
}

/** All numbers a little larger: no direction changes. */
export function scaledBy({ shape, values }: Tensor, factor: number): Tensor {
  return { shape, values: values.map((value) => factor * value) };
}

export async function writeTensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  dtype: FloatDtype = "F32",
): Promise<string> {
  await writeSafetensors(
    path,
    Object.entries(tensors).map(([name, { shape, values }]) => ({
      name,
      shape,
      dtype,
      data: encodeFloat32(dtype, values),
    })),
  );
  return path;
}

function unit(length: number, seed: number): Float64Array {
  const random = new Random(seed);
  const vector = Float64Array.from({ length }, () => random.normal());
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}
