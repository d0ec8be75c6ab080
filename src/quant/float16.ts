/** float16: IEEE 754 binary16. Largest number 65504. */
import { narrowFloat } from "./narrow-float.ts";

export const float16 = narrowFloat("float16", {
  source: "IEEE 754 binary16",
  summary: "11 bits of precision, up to 65504",
});
