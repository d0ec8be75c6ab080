/** The tensors of a safetensors file that is neither a model nor an adapter. */
import { stat } from "node:fs/promises";
import { openSafetensors } from "../../formats/safetensors/index.ts";

export interface TensorFacts {
  readonly kind: "tensors";
  readonly path: string;
  readonly bytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
}

/** @throws FormatError if the file does not follow its format */
export async function tensorFacts(path: string): Promise<TensorFacts> {
  const file = await openSafetensors(path);
  await file.close();
  const tensors = [...file.tensors].map(([name, { dtype, shape, byteLength }]) => ({
    name,
    dtype,
    shape,
    bytes: byteLength,
  }));
  return { kind: "tensors", path, bytes: (await stat(path)).size, metadata: { ...file.metadata }, tensors };
}
