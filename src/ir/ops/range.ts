/** 0, 1, ..., n - 1. */
import { ShapeError } from "../../errors.ts";
import type { DType } from "../dtype.ts";
import type { Graph, Value } from "../graph.ts";
import { ndarray } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { dim, type Dim, type DimLike } from "../shape.ts";

type RangeAttrs = { readonly size: Dim; readonly dtype: DType };

const RANGE_TYPES: readonly DType[] = ["float32", "float64", "int32", "int64"];

/** Up to this many elements the numbers themselves are stored in the model. */
const STORED_LIMIT = 1024;

export const rangeOp: Op<RangeAttrs> = {
  name: "range",
  infer(_inputs, { size, dtype }) {
    if (!RANGE_TYPES.includes(dtype)) {
      throw new ShapeError({ where: "range", what: "wrong type", got: dtype, expected: RANGE_TYPES.join(", ") });
    }
    return [{ dtype, shape: [size] }];
  },
  evaluate: (_inputs, _attrs, [shape]) => [ndarray(shape!, [...Array(shape![0]).keys()])],
  onnx(emit, node) {
    const { size, dtype } = node.attrs;
    if (size.size !== undefined && size.size <= STORED_LIMIT) {
      emit.node("Identity", [emit.constant(dtype, [...Array(size.size).keys()])], {}, node.outputs[0]);
      return;
    }
    // Not Range: its limit is a scalar of `dtype`, and WebGPU has no cast from the int64 of a shape.
    const ones = emit.node("Expand", [emit.constant(dtype, 1), emit.shape([size])]);
    emit.node("CumSum", [ones, emit.constant("int64", 0)], { exclusive: 1 }, node.outputs[0]);
  },
  vjp: "zero",
};

/** @param size a number, or the name of a dimension that is known when the graph runs */
export function range(graph: Graph, size: DimLike, dtype: DType = "int32"): Value {
  return graph.apply(rangeOp, [], { size: dim(size), dtype })[0]!;
}
