/** What every runtime checks before a run: that feeds fit the graph, and which sizes its named dimensions have. */
import { ShapeError } from "../errors.ts";
import { allocate, type DType, type TypedArray } from "../ir/dtype.ts";
import { sizeOfShape } from "../ir/ndarray.ts";
import type { Type } from "../ir/op.ts";
import { nameOf, printShape, sizeOf } from "../ir/shape.ts";

interface Bound {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Checked against the data type and the shape, if it is there. */
  readonly data?: TypedArray;
}

/**
 * Sizes of the names in the shapes of `types`, taken from the tensors given for them.
 * @param known sizes to start from
 * @throws ShapeError naming the input, if one is missing, does not fit its type, or two of them disagree
 */
export function bindSizes(
  types: ReadonlyMap<string, Type>,
  tensors: Readonly<Record<string, Bound>>,
  known: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const sizes: Record<string, number> = { ...known };
  for (const [name, type] of types) {
    const tensor = tensors[name];
    const expected = printed(type);
    if (tensor === undefined) throw new ShapeError({ where: name, what: "input is missing", expected });
    if (tensor.dtype !== type.dtype || tensor.shape.length !== type.shape.length) {
      const got = `${tensor.dtype}[${tensor.shape.join(", ")}]`;
      throw new ShapeError({ where: name, what: "input does not fit", got, expected });
    }
    checkData(name, tensor);
    type.shape.forEach((d, i) => {
      const label = nameOf(d);
      if (label !== undefined) sizes[label] ??= tensor.shape[i]!;
    });
  }
  for (const [name, type] of types) {
    type.shape.forEach((d, i) => {
      const expected = sizeIn(name, type, i, sizes);
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

/** @throws ShapeError if the array of a tensor is not one for its data type, or as long as its shape says */
export function checkData(name: string, { dtype, shape, data }: Bound): void {
  if (data === undefined) return;
  const kind = allocate(dtype, 0).constructor.name;
  const length = sizeOfShape(shape);
  if (data.constructor.name === kind && data.length === length) return;
  throw new ShapeError({
    where: name,
    what: "data does not fill the tensor",
    got: `${data.constructor.name}(${data.length})`,
    expected: `${kind}(${length}) for ${dtype}[${shape.join(", ")}]`,
  });
}

function sizeIn(name: string, type: Type, axis: number, sizes: Readonly<Record<string, number>>): number {
  try {
    return sizeOf(type.shape[axis]!, sizes);
  } catch (cause) {
    if (!(cause instanceof ShapeError)) throw cause;
    throw new ShapeError({
      where: name,
      what: `dimension ${axis} of ${printed(type)}: ${cause.problem.what}`,
      hint: "feed another input that has this dimension alone",
      cause,
    });
  }
}

function printed(type: Type): string {
  return `${type.dtype}${printShape(type.shape)}`;
}
