/** The nearest of some numbers. */
export class Levels {
  /** Between two neighbours half way: from there upwards the upper one is nearer. Padded with infinity to 2ⁿ - 1. */
  readonly #thresholds: Float64Array;
  /** Codes by size of their levels. */
  readonly #codes: Uint8Array;

  /** @param levels by code, all different; 0 and -0 are: negative numbers that are nearest to zero get -0 */
  constructor(levels: readonly number[]) {
    const order = levels
      .map((level, code) => ({ level, code }))
      .sort((a, b) => a.level - b.level || 1 / a.level - 1 / b.level);
    const size = 2 ** Math.ceil(Math.log2(order.length)) - 1;
    this.#thresholds = new Float64Array(size).fill(Infinity);
    for (let i = 0; i + 1 < order.length; i++) {
      const [below, above] = [order[i]!.level, order[i + 1]!.level];
      this.#thresholds[i] = Object.is(below, -0) && above === 0 ? -Number.MIN_VALUE : (below + above) / 2;
    }
    this.#codes = Uint8Array.from(order, ({ code }) => code);
  }

  /** The code of the nearest level; half way between two, of the lower. @param x a finite number */
  nearest(x: number): number {
    // Thresholds below x, by bisection: sizes are 2ⁿ - 1, so that every step halves.
    let low = 0;
    for (let step = (this.#thresholds.length + 1) >> 1; step > 0; step >>= 1) {
      if (x > this.#thresholds[low + step - 1]!) low += step;
    }
    return this.#codes[low]!;
  }
}
