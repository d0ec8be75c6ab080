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

export type RopeScaling = LinearScaling | DynamicScaling | Llama3Scaling | YarnScaling;

/** Every frequency is divided by the factor. */
export interface LinearScaling {
  readonly type: "linear";
  readonly factor: number;
}

/** θ grows with the length of a sequence that is longer than the model was made for; shorter ones are not scaled. */
export interface DynamicScaling {
  readonly type: "dynamic";
  readonly factor: number;
  readonly maxPositionEmbeddings: number;
}

/** Long waves are stretched, short ones kept, those between interpolated. */
export interface Llama3Scaling {
  readonly type: "llama3";
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPositionEmbeddings: number;
}

/** Peng et al. 2023, arXiv 2309.00071. */
export interface YarnScaling {
  readonly type: "yarn";
  readonly factor: number;
  readonly originalMaxPositionEmbeddings: number;
  /** cos and sin are multiplied by it. */
  readonly attentionFactor: number;
  /** Turns within the original length from which on a frequency is kept. */
  readonly betaFast: number;
  /** Turns within the original length up to which a frequency is divided by the factor. */
  readonly betaSlow: number;
  /** Whether the two limits are rounded outwards to whole frequencies. */
  readonly truncate: boolean;
}

/**
 * Angle per position of each pair of elements, float32 [Dh / 2]: θ^(−2i/Dh), scaled. Rounded to float32 where
 * transformers rounds, since at large positions the angles amplify every rounding.
 * @param length of the sequence, for scalings that depend on it. Default: what the model was made for
 * @throws ConfigError if the head width is odd
 */
export function inverseFrequencies({ theta, headDim, scaling }: Rope, length = 0): Float32Array {
  if (headDim % 2 !== 0)
    throw new ConfigError({ where: "head_dim", what: "cannot be rotated in halves", got: headDim });
  switch (scaling?.type) {
    case undefined:
      return plainFrequencies(theta, headDim);
    case "linear":
      return plainFrequencies(theta, headDim).map((frequency) => frequency / scaling.factor);
    case "dynamic":
      return plainFrequencies(dynamicTheta(theta, headDim, scaling, length), headDim);
    case "llama3":
      return llama3Frequencies(plainFrequencies(theta, headDim), scaling);
    case "yarn":
      return yarnFrequencies(theta, headDim, scaling);
  }
}

/** cos and sin, [positions, Dh / 2] each, of position · frequency. */
export function rotationTables(rope: Rope, positions: ArrayLike<number>): { cos: Float32Array; sin: Float32Array } {
  let length = 0;
  for (let p = 0; p < positions.length; p++) length = Math.max(length, positions[p]! + 1);
  const frequencies = inverseFrequencies(rope, length);
  const factor = rope.scaling?.type === "yarn" ? Math.fround(rope.scaling.attentionFactor) : 1;
  const half = frequencies.length;
  const cos = new Float32Array(positions.length * half);
  const sin = new Float32Array(positions.length * half);
  for (let p = 0; p < positions.length; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positions[p]! * frequencies[i]!);
      cos[p * half + i] = Math.fround(Math.cos(angle)) * factor;
      sin[p * half + i] = Math.fround(Math.sin(angle)) * factor;
    }
  }
  return { cos, sin };
}

/** θ^(2i/Dh) */
function wavelengths(theta: number, headDim: number): Float32Array {
  const base = Math.fround(theta);
  return Float32Array.from({ length: headDim / 2 }, (_, i) => base ** Math.fround((2 * i) / headDim));
}

function plainFrequencies(theta: number, headDim: number): Float32Array {
  return wavelengths(theta, headDim).map((wavelength) => 1 / wavelength);
}

function dynamicTheta(theta: number, headDim: number, scaling: DynamicScaling, length: number): number {
  const { factor, maxPositionEmbeddings: made } = scaling;
  const f = Math.fround;
  const growth = f(f(f(factor * Math.max(length, made)) / made) - (factor - 1));
  return theta * f(growth ** f(headDim / (headDim - 2)));
}

function llama3Frequencies(plain: Float32Array, scaling: Llama3Scaling): Float32Array {
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: original } = scaling;
  const f = Math.fround;
  return plain.map((frequency) => {
    const wavelength = f((2 * Math.PI) / frequency);
    if (wavelength > original / low) return frequency / factor;
    if (wavelength < original / high) return frequency;
    const smooth = f(f(f(original / wavelength) - low) / f(high - low));
    return f(f(f(1 - smooth) * frequency) / factor) + f(smooth * frequency);
  });
}

function yarnFrequencies(theta: number, headDim: number, scaling: YarnScaling): Float32Array {
  const { factor, originalMaxPositionEmbeddings: original, betaFast, betaSlow, truncate } = scaling;
  const f = Math.fround;
  /** Index of the frequency, as a real number, that makes so many turns within the original length. */
  const index = (turns: number) => (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [index(betaFast), index(betaSlow)];
  const from = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const to = Math.min(truncate ? Math.ceil(slow) : slow, headDim - 1);
  // The ramp has to have a width.
  const width = from === to ? 0.001 : to - from;
  return wavelengths(theta, headDim).map((wavelength, i) => {
    const stretched = Math.min(Math.max(f(f(i - from) / width), 0), 1);
    const kept = f(1 - stretched);
    return f(f(1 / f(factor * wavelength)) * f(1 - kept)) + f(f(1 / wavelength) * kept);
  });
}
