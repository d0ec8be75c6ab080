/**
 * Random numbers for data and starting values: a small generator with a seed, whose state can be saved and restored, so that a run that
 * was stopped and resumed draws exactly the numbers of a run that was not.
 *
 * Generator: xoshiro128** 1.1 (Blackman and Vigna 2018, arXiv 1805.01407), 128 bits of state, period 2^128 - 1.
 * It works on 32-bit words, so JavaScript runs it without BigInt. The state is filled from a 64-bit seed by SplitMix64
 * (Steele, Lea and Flood 2014), as its authors advise: close seeds then give unrelated sequences.
 *
 * Not for cryptography.
 */

import { ConfigError } from "./errors.ts";

/** The whole state of a {@link Random}, as plain JSON. */
export interface RandomState {
  /** Four unsigned 32-bit words, not all zero. */
  readonly words: readonly [number, number, number, number];
  /** The second number of the last pair that {@link Random.normal} made, if it has not been handed out yet. */
  readonly spareNormal: number | null;
}

const MASK64 = (1n << 64n) - 1n;
const TWO_32 = 2 ** 32;

/**
 * One step of SplitMix64.
 * @param state 64 bits
 * @returns the next state, and the 64 bits of output that belong to it
 */
export function splitMix64(state: bigint): { state: bigint; value: bigint } {
  // The golden ratio in 64 bits, then the "Mix13" finaliser of David Stafford.
  const next = (state + 0x9e3779b97f4a7c15n) & MASK64;
  let z = next;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK64;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK64;
  return { state: next, value: z ^ (z >> 31n) };
}

/** A seeded sequence of random numbers. The same seed gives the same numbers on every machine. */
export class Random {
  #s0 = 0;
  #s1 = 0;
  #s2 = 0;
  #s3 = 0;
  #spareNormal: number | null = null;

  /**
   * @param seed a safe integer; negative ones are allowed (two's complement)
   * @param stream a safe integer that picks one of many unrelated sequences of the same seed, for example the epoch or
   *   the record number. Default 0: the seed alone, as other implementations of xoshiro128** seed it
   * @throws ConfigError when either is not a safe integer
   */
  constructor(seed: number, stream = 0) {
    requireSafeInteger("seed", seed);
    requireSafeInteger("stream", stream);
    let state = BigInt(seed) & MASK64;
    // The seed is scrambled before the stream is added, or (seed 1, stream 2) would be (seed 2, stream 1).
    if (stream !== 0) state = (splitMix64(state).value + BigInt(stream)) & MASK64;
    const first = splitMix64(state);
    const second = splitMix64(first.state);
    this.#setWords([
      Number(first.value & 0xffffffffn),
      Number(first.value >> 32n),
      Number(second.value & 0xffffffffn),
      Number(second.value >> 32n),
    ]);
  }

  /**
   * The generator that goes on where {@link state} was read.
   * @throws ConfigError when `state` is not one that a generator can be in
   */
  static fromState(state: RandomState): Random {
    const { words, spareNormal } = state;
    const sound =
      Array.isArray(words) &&
      words.length === 4 &&
      words.every((word) => Number.isInteger(word) && word >= 0 && word < TWO_32) &&
      words.some((word) => word !== 0) &&
      (spareNormal === null || Number.isFinite(spareNormal));
    if (!sound) {
      throw new ConfigError({
        where: "random state",
        what: "not a state of xoshiro128**",
        got: state,
        expected: "four unsigned 32-bit words that are not all 0, and a number or null",
      });
    }
    const random = new Random(0);
    random.#setWords(words);
    random.#spareNormal = spareNormal;
    return random;
  }

  /** A copy of the state; JSON keeps it exactly. */
  state(): RandomState {
    return {
      words: [this.#s0 >>> 0, this.#s1 >>> 0, this.#s2 >>> 0, this.#s3 >>> 0],
      spareNormal: this.#spareNormal,
    };
  }

  /** 32 random bits, as an integer in [0, 2^32). */
  uint32(): number {
    const scrambled = Math.imul(this.#s1, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
    const t = this.#s1 << 9;
    this.#s2 ^= this.#s0;
    this.#s3 ^= this.#s1;
    this.#s1 ^= this.#s2;
    this.#s0 ^= this.#s3;
    this.#s2 ^= t;
    this.#s3 = (this.#s3 << 11) | (this.#s3 >>> 21);
    return result >>> 0;
  }

  /** A number in [0, 1): one of 2^53 values, equally likely. */
  uniform(): number {
    const high = this.uint32() >>> 5; // 27 bits
    const low = this.uint32() >>> 6; // 26 bits
    return (high * 2 ** 26 + low) * 2 ** -53;
  }

  /**
   * An integer in [0, n), each equally likely.
   * @throws ConfigError when n is not an integer in [1, 2^32]
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TWO_32) {
      throw new ConfigError({
        where: "Random.integer",
        what: "bad bound",
        got: n,
        expected: "an integer in [1, 2^32]",
      });
    }
    // Draws past the last whole multiple of n would favour the small integers.
    const limit = TWO_32 - (TWO_32 % n);
    let draw = this.uint32();
    while (draw >= limit) draw = this.uint32();
    return draw % n;
  }

  /** A number from the normal distribution with mean 0 and variance 1 (Box and Muller 1958, polar form of Marsaglia). */
  normal(): number {
    if (this.#spareNormal !== null) {
      const spare = this.#spareNormal;
      this.#spareNormal = null;
      return spare;
    }
    let u: number;
    let v: number;
    let square: number;
    do {
      u = 2 * this.uniform() - 1;
      v = 2 * this.uniform() - 1;
      square = u * u + v * v;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.#spareNormal = v * factor;
    return u * factor;
  }

  /**
   * The integers 0 .. n-1 in random order, each order equally likely (Fisher-Yates, Durstenfeld 1964).
   * @throws ConfigError when n is not an integer in [0, 2^32)
   */
  permutation(n: number): Uint32Array {
    if (!Number.isInteger(n) || n < 0 || n >= TWO_32) {
      throw new ConfigError({
        where: "Random.permutation",
        what: "bad length",
        got: n,
        expected: "an integer in [0, 2^32)",
      });
    }
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = order[i] ?? 0;
      order[i] = order[j] ?? 0;
      order[j] = held;
    }
    return order;
  }

  #setWords([s0, s1, s2, s3]: RandomState["words"]): void {
    this.#s0 = s0 | 0;
    this.#s1 = s1 | 0;
    this.#s2 = s2 | 0;
    this.#s3 = s3 | 0;
  }
}

function requireSafeInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value)) {
    throw new ConfigError({
      where: name,
      what: "not a whole number",
      got: value,
      expected: "an integer up to 2^53 - 1",
    });
  }
}

/**
 * A stream number for a name (FNV-1a, 31 bits), so that what something draws depends on what it is called and not on its
 * place among others.
 */
export function streamOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 1;
}
