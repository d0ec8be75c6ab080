/**
 * The 256 levels of bitsandbytes' signed dynamic data type (Dettmers 2016, arXiv 1511.04561; `create_dynamic_map`): 7 decades,
 * the higher of which have the finer fractions. Computed as bitsandbytes does, in float32, so that the numbers are the same.
 */
const EXPONENTS = 7;

let kept: Float32Array | undefined;

/** Ascending. */
export function dynamicMap(): Float32Array {
  if (kept !== undefined) return kept;
  const levels = [0, 1];
  for (let exponent = 0; exponent < EXPONENTS; exponent++) {
    const scale = Math.fround(10 ** (exponent - (EXPONENTS - 1)));
    const bounds = linspace(0.1, 1, 2 ** exponent + 1);
    for (let i = 0; i + 1 < bounds.length; i++) {
      const mean = Math.fround(Math.fround(bounds[i]! + bounds[i + 1]!) / 2);
      levels.push(Math.fround(scale * mean), -Math.fround(scale * mean));
    }
  }
  kept = Float32Array.from(levels).sort();
  return kept;
}

/** As PyTorch computes it: the lower half from the start, the upper half from the end, each with one rounding. */
function linspace(from: number, to: number, count: number): Float32Array {
  const [start, end] = [Math.fround(from), Math.fround(to)];
  const step = Math.fround(Math.fround(end - start) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < Math.floor(count / 2) ? start + step * i : end - step * (count - 1 - i),
  );
}
