/**
 * MT19937 as PyTorch's CPU generator runs it, and its uniform numbers: what is drawn from a seed is, bit for bit, what
 * `tensor.uniform_(from, to, generator=torch.Generator("cpu").manual_seed(seed))` draws.
 *
 * Source: Matsumoto and Nishimura 1998, "Mersenne Twister", with the initialization of 2002.
 */

/** Words of state, and the distance of the middle one. */
const N = 624;
const M = 397;
const UPPER = 0x80000000;
const LOWER = 0x7fffffff;
const TWIST = 0x9908b0df;
/** Of the initialization. */
const MULTIPLIER = 1812433253;
/** A float32 holds 24 bits exactly: PyTorch takes the lower ones of a word. */
const MASK = 0xffffff;
const UNIT = 2 ** -24;

export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** @param seed a safe integer; its lower 32 bits count, as with `manual_seed` */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < N; i++) {
      const last = state[i - 1]!;
      state[i] = Math.imul(MULTIPLIER, last ^ (last >>> 30)) + i;
    }
  }

  /** 32 bits. */
  word(): number {
    if (this.#next === N) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** float32 numbers from [from, to). The product and the sum are rounded once, as by a fused multiplication and addition. */
  uniform(length: number, from: number, to: number): Float32Array {
    const start = Math.fround(from);
    const width = Math.fround(Math.fround(to) - start);
    return Float32Array.from({ length }, () => (this.word() & MASK) * UNIT * width + start);
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < N; i++) {
      const y = (state[i]! & UPPER) | (state[(i + 1) % N]! & LOWER);
      state[i] = state[(i + M) % N]! ^ (y >>> 1) ^ ((y & 1) === 0 ? 0 : TWIST);
    }
    this.#next = 0;
  }
}
