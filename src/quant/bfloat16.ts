/** bfloat16: the upper half of a float32. What most checkpoints are in: those are read where they lie. */
import { narrowFloat } from "./narrow-float.ts";

export const bfloat16 = narrowFloat("bfloat16", {
  source: "the upper 16 bits of IEEE 754 binary32",
  summary: "8 bits of precision, the range of float32",
});
