/** float32: not stored in any special way. In the registry so that it can be chosen and compared. */
import { gather } from "../ir/ops/gather.ts";
import { matmul } from "../ir/ops/matmul.ts";
import type { Storage } from "./storage.ts";

export const float32: Storage = {
  name: "float32",
  source: "IEEE 754 binary32",
  summary: "as computed with",
  covers: "all",
  plain: "float32",
  hasConstants: false,
  tensors: (shape) => [{ name: "values", dtype: "float32", shape }],
  encode: (values) => ({ values: Float32Array.from(values) }),
  decode: ({ values }) => Float32Array.from(values as Float32Array),
  read: ({ tensor }) => ({
    value: () => tensor("values"),
    multiply: (x, fanInFanOut) => matmul(x, tensor("values"), { transB: !fanInFanOut }),
    rows: (tokens) => gather(tensor("values"), tokens),
  }),
};
