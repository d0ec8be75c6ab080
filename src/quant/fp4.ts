/** FP4 of bitsandbytes: a sign, two bits of exponent and one of fraction, with a subnormal that is not the usual one. */
import { fourBit } from "./four-bit.ts";

/** bitsandbytes' `get_4bit_type("fp4")`, by code: the upper half are the negatives of the lower one. */
const MAGNITUDES = [0, 0.0625, 8, 12, 4, 6, 2, 3].map((level) => Math.fround(level / 12));

export const FP4_LEVELS: readonly number[] = [...MAGNITUDES, ...MAGNITUDES.map((level) => -level)];

export const fp4 = fourBit({
  name: "fp4",
  source: "format of bitsandbytes, get_4bit_type",
  summary: "floats of 4 bits, blocks of 64",
  levels: FP4_LEVELS,
  kernel: "fp4",
});
