/** What every runtime checks before a run: that feeds fit the graph, and which sizes its named dimensions have. */
import { ShapeError } from "../errors.ts";
import type { Type } from "../ir/op.ts";
import { printShape, sizeOf } from "../ir/shape.ts";

interface Bound {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/**
 * Sizes of the names in the shapes of `types`, taken from the tensors given for them.
 * @param known sizes to start from
 * @throws ShapeError naming the input, if one is missing or two of them disagree
 */
export function bindSizes(
  types: ReadonlyMap<string, Type>,
  tensors: Readonly<Record<string, Bound>>,
  known: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const sizes: Record<string, number> = { ...known };
  for (const [name, type] of types) {
    const tensor = tensors[name];
    const expected = `${type.dtype}${printShape(type.shape)}`;
    if (tensor === undefined) throw new ShapeError({ where: name, what: "input is missing", expected });
    const got = `${tensor.dtype}[${tensor.shape.join(", ")}]`;
    const misfit = () => new ShapeError({ where: name, what: "input does not fit", got, expected });
    if (tensor.dtype !== type.dtype || tensor.shape.length !== type.shape.length) throw misfit();
    type.shape.forEach((d, i) => {
      if (d.size === undefined && /^\w+$/.test(d.name)) sizes[d.name] ??= tensor.shape[i]!;
    });
  }
  for (const [name, type] of types) {
    type.shape.forEach((d, i) => {
      const expected = sizeOf(d, sizes);
      if (expected !== tensors[name]!.shape[i]) {
        throw new ShapeError({
          where: name,
          what: `dimension ${i} does not fit`,
          got: `[${tensors[name]!.shape.join(", ")}]`,
          expected: `${printShape(type.shape)}${d.size === undefined ? ` with ${d.name} = ${expected}` : ""}`,
        });
      }
    });
  }
  return sizes;
}
