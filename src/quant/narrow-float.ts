/** Weights rounded to a 16-bit float, to nearest, ties to even: half the bytes of float32, and no constants. */
import { NumericError } from "../errors.ts";
import { elementsOf, numbersOf } from "../ir/dtype.ts";
import { cast } from "../ir/ops/cast.ts";
import { gather } from "../ir/ops/gather.ts";
import { encodedStorage } from "./encoded.ts";
import { expectFinite } from "./finite.ts";
import type { Storage } from "./storage.ts";

export function narrowFloat(name: "float16" | "bfloat16", text: Pick<Storage, "source" | "summary">): Storage {
  return encodedStorage({
    name,
    ...text,
    covers: "all",
    plain: name,
    hasConstants: false,
    encoding: () => ({ kind: "cast", from: name }),
    encode(values) {
      expectFinite(name, values);
      const bits = elementsOf(name, values);
      const at = (numbersOf(name, bits) as Float32Array).findIndex((value) => !Number.isFinite(value));
      if (at >= 0) {
        throw new NumericError({
          where: name,
          what: `element ${at} is too large for the storage`,
          got: values[at],
          hint: "store the weights as bfloat16, which has the range of float32",
        });
      }
      return { values: bits };
    },
    decode: ({ values }) => numbersOf(name, values!) as Float32Array,
    rows: (_, [values], tokens) => cast(gather(values!, tokens), "float32"),
  });
}
