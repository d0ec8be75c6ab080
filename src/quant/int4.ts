/** int4: whole numbers from -7 to 7 times absmax / 7, in blocks of 64. Code 8 is zero; code 0 is not used. */
import { fourBit } from "./four-bit.ts";

export const INT4_LEVELS: readonly number[] = Array.from({ length: 16 }, (_, code) => Math.fround((code - 8) / 7));

export const int4 = fourBit({
  name: "int4",
  source: "absmax quantisation, as in Dettmers et al. 2023, arXiv 2305.14314, table 2 (Int4)",
  summary: "15 equal steps, blocks of 64",
  levels: INT4_LEVELS,
});
