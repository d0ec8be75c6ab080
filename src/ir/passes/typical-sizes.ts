/** Sizes of named dimensions, for choices by cost. */
import type { DimSizes } from "../shape.ts";

/** A size for names that nothing is known about: more than any rank, about a small batch of sequences. */
const UNKNOWN_SIZE = 512;

/** `sizes`, with a size for every other name too. */
export function sizesForChoices(sizes: DimSizes): DimSizes {
  return new Proxy(sizes, { get: (known, name: string) => known[name] ?? UNKNOWN_SIZE });
}
