/** A tensor known when the graph is traced. */
import { ShapeError } from "../../errors.ts";
import type { DType } from "../dtype.ts";
import type { Graph, Value } from "../graph.ts";
import { ndarray, sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { shapeOf } from "../shape.ts";

export type ConstantAttrs = {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: readonly number[];
};

export const constantOp: Op<ConstantAttrs> = {
  name: "constant",
  infer(_inputs, { dtype, shape, values }) {
    if (values.length !== sizeOfShape(shape)) {
      throw new ShapeError({
        where: "constant",
        what: "values do not fill the shape",
        got: values.length,
        expected: sizeOfShape(shape),
      });
    }
    return [{ dtype, shape: shapeOf(shape) }];
  },
  evaluate: (_inputs, { shape, values }) => [ndarray(shape, values)],
  // Constants become initializers of the model: the emitter writes them itself.
  onnx() {},
  vjp: "zero",
};

export function constant(graph: Graph, dtype: DType, shape: readonly number[], values: readonly number[]): Value {
  return graph.apply(constantOp, [], { dtype, shape, values })[0]!;
}

export function scalar(graph: Graph, value: number, dtype: DType = "float32"): Value {
  return constant(graph, dtype, [], [value]);
}
