/** Storages whose weights the operations `decode` and `encodedMatmul` read: see ir/ops/encoding.ts. */
import type { Value } from "../ir/graph.ts";
import { decode } from "../ir/ops/decode.ts";
import { encodedMatmul } from "../ir/ops/encoded-matmul.ts";
import { type EncodedAttrs, encodedTensors, type Encoding } from "../ir/ops/encoding.ts";
import { gather } from "../ir/ops/gather.ts";
import type { StoredWeight } from "../nn/stored-weight.ts";
import type { Storage, StorageOptions, StoredCall } from "./storage.ts";

/** How one is made: everything but what follows from the encoding. */
export interface EncodedStorage extends Omit<Storage, "tensors" | "read"> {
  readonly encoding: (options: StorageOptions) => Encoding;
  /**
   * Rows of a table without making the others, where the encoding allows it.
   * @param table of the shape [in, out]
   */
  readonly rows?: (table: EncodedAttrs, tensors: readonly Value[], tokens: Value) => Value | undefined;
}

export function encodedStorage({ encoding, rows, ...storage }: EncodedStorage): Storage {
  return {
    ...storage,
    tensors: (shape, options) => encodedTensors(encoding(options), shape),
    read({ shape, options, tensor }: StoredCall): StoredWeight {
      const attrs: EncodedAttrs = { encoding: encoding(options), shape };
      const tensors = () => encodedTensors(attrs.encoding, shape).map(({ name }) => tensor(name));
      const value = () => decode(tensors(), attrs);
      return {
        value,
        multiply: (x, fanInFanOut) => encodedMatmul(x, tensors(), attrs, !fanInFanOut),
        rows: (tokens) => rows?.(attrs, tensors(), tokens) ?? gather(value(), tokens),
      };
    },
  };
}
