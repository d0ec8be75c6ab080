/**
 * Rotary position embedding (Su et al. 2021, arXiv 2104.09864), halves rotated against each other as in transformers:
 * y₁ = x₁ cos − x₂ sin, y₂ = x₂ cos + x₁ sin, where x₁ and x₂ are the two halves of a head.
 *
 * The tables come from outside the graph: {@link rotationTables}.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { concat } from "../ir/ops/concat.ts";
import { mul } from "../ir/ops/mul.ts";
import { slice } from "../ir/ops/slice.ts";
import { sub } from "../ir/ops/sub.ts";

/** cos and sin of the angles, float32 [B, 1, T, Dh / 2]. */
export interface Rotation {
  readonly cos: Value;
  readonly sin: Value;
}

/** x [B, H, T, Dh] -> [B, H, T, Dh] */
export function rotate(x: Value, { cos, sin }: Rotation): Value {
  const half = x.type.shape[3]!.size! / 2;
  const [first, second] = [slice(x, 3, 0, half), slice(x, 3, half)];
  return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], 3);
}

/** How angles grow with positions; names as in transformers' `rope_scaling`. */
export interface Rope {
  readonly theta: number;
  readonly headDim: number;
  /** Default: none. */
  readonly scaling?: RopeScaling;
}

export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

/**
 * Angle per position of each pair of elements, float32 [Dh / 2]: θ^(−2i/Dh), scaled. In float32 throughout, as in
 * transformers, since at large positions the angles amplify every rounding.
 * @throws ConfigError if the head width is odd
 */
export function inverseFrequencies({ theta, headDim, scaling }: Rope): Float32Array {
  if (headDim % 2 !== 0) throw new ConfigError({ where: "head_dim", what: "cannot be rotated in halves", got: headDim });
  const plain = Float32Array.from({ length: headDim / 2 }, (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / headDim)));
  if (scaling === undefined) return plain;
  if (scaling.type === "linear") return plain.map((frequency) => frequency / scaling.factor);
  // Llama 3.1: long waves are stretched, short ones kept, those between interpolated.
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = scaling;
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength > original / lowFreqFactor) return frequency / factor;
    if (wavelength < original / highFreqFactor) return frequency;
    const smooth = (original / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** cos and sin, [positions, Dh / 2] each, of position · frequency. */
export function rotationTables(
  frequencies: Float32Array,
  positions: ArrayLike<number>,
): { cos: Float32Array; sin: Float32Array } {
  const half = frequencies.length;
  const cos = new Float32Array(positions.length * half);
  const sin = new Float32Array(positions.length * half);
  for (let p = 0; p < positions.length; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positions[p]! * frequencies[i]!);
      cos[p * half + i] = Math.cos(angle);
      sin[p * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
