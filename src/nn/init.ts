/** How parameters start, by PyTorch's names and formulas. */
import type { Random } from "../random.ts";

/** Fills an array of the given length for a parameter. */
export type Init = (random: Random, length: number) => Float32Array;

export const zeros: Init = (_random, length) => new Float32Array(length);

export const ones: Init = (_random, length) => new Float32Array(length).fill(1);

/** Every element is `value`. */
export function constant(value: number): Init {
  return (_random, length) => new Float32Array(length).fill(value);
}

/** N(0, std²). */
export function normal(std: number): Init {
  return (random, length) => Float32Array.from({ length }, () => std * random.normal());
}

/** N(0, std²) without what is more than two deviations away: drawn again until it is not. */
export function truncatedNormal(std: number): Init {
  const draw = (random: Random): number => {
    for (;;) {
      const value = random.normal();
      if (Math.abs(value) <= 2) return std * value;
    }
  };
  return (random, length) => Float32Array.from({ length }, () => draw(random));
}

/** U(-bound, bound). */
export function uniform(bound: number): Init {
  return (random, length) => Float32Array.from({ length }, () => bound * (2 * random.uniform() - 1));
}

/**
 * `kaiming_uniform_(a=√5)`: U(-1/√fanIn, 1/√fanIn). PyTorch's default for the weights (and biases) of linear and
 * convolution layers, and that of loralib and PEFT for LoRA's A.
 */
export function kaimingUniform(fanIn: number): Init {
  return uniform(1 / Math.sqrt(fanIn));
}
