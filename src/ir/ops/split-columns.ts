/**
 * Takes the columns of x that have its largest elements out of it: rest is x with zeros in their place, columns are those
 * columns, from the largest on, and indices say which they are.
 *
 * Shapes: x [M, K] -> rest [M, K], columns [M, k], indices int32 [k].
 *
 * A matrix whose rows are quantised loses its small elements beside large ones, and in language models the large ones stand
 * in few columns: at most 7 of some thousand (Dettmers et al. 2022, arXiv 2208.07339, §4.2 and §3.2). There the columns that
 * have an element beyond 6 are taken; here always the same number of them, so that shapes do not depend on values.
 *
 * No derivative flows through it: what multiplies its parts gives dx as if x had not been taken apart.
 */
import { ShapeError } from "../../errors.ts";
import type { Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { Op } from "../op.ts";
import { dim, printShape } from "../shape.ts";
import { expectArity } from "./elementwise.ts";
import { expectFloat } from "./expect-float.ts";

type SplitColumnsAttrs = { readonly count: number };

export const splitColumnsOp: Op<SplitColumnsAttrs> = {
  name: "splitColumns",
  infer(inputs, { count }) {
    expectArity("splitColumns", inputs, 1);
    expectFloat("splitColumns", inputs, 1);
    const { dtype, shape } = inputs[0]!;
    const width = shape[1]?.size;
    if (shape.length !== 2 || width === undefined || count > width) {
      throw new ShapeError({
        where: "splitColumns",
        what: "needs a matrix of known width",
        got: printShape(shape),
        expected: `at least ${count} columns`,
      });
    }
    return [
      { dtype, shape },
      { dtype, shape: [shape[0]!, dim(count)] },
      { dtype: "int32", shape: [dim(count)] },
    ];
  },
  evaluate([x], { count }, [shape]) {
    const [rows, width] = shape as [number, number];
    const largest = new Float64Array(width);
    x!.data.forEach((value, i) => (largest[i % width] = Math.max(largest[i % width]!, Math.abs(value))));
    const order = Array.from(largest, (_, column) => column).sort((a, b) => largest[b]! - largest[a]! || a - b);
    const indices = order.slice(0, count);
    const rest = Float64Array.from(x!.data);
    const columns = new Float64Array(sizeOfShape([rows, count]));
    for (let m = 0; m < rows; m++) {
      indices.forEach((column, i) => {
        columns[m * count + i] = rest[m * width + column]!;
        rest[m * width + column] = 0;
      });
    }
    return [
      { shape: shape!, data: rest },
      { shape: [rows, count], data: columns },
      { shape: [count], data: Float64Array.from(indices) },
    ];
  },
  onnx(emit, node) {
    const [x] = node.inputs as [string];
    const [rest, columns, indices] = node.outputs as [string, string, string];
    const { count } = node.attrs;
    const width = node.inputTypes[0]!.shape[1]!.size!;
    const down = emit.constant("int64", [0]);
    const high = emit.node("ReduceMax", [x, down], { keepdims: 0 });
    const low = emit.node("ReduceMin", [x, down], { keepdims: 0 });
    const largest = emit.node("Max", [high, emit.node("Neg", [low])]);
    const [top, at] = [`${indices}/largest`, `${indices}/at`];
    emit.nodes("TopK", [largest, emit.constant("int64", [count])], [top, at], { axis: 0 });
    emit.node("Cast", [at], { to: onnxElementType("int32") }, indices);
    emit.node("Gather", [x, at], { axis: 1 }, columns);
    const zeros = emit.node("Expand", [emit.constant("float32", 0), emit.constant("int64", [count])]);
    const ones = emit.node("Expand", [emit.constant("float32", 1), emit.constant("int64", [width])]);
    emit.node("Mul", [x, emit.node("ScatterElements", [ones, at, zeros], { axis: 0 })], {}, rest);
  },
  vjp: "zero",
};

/** @throws ShapeError unless x is a matrix of floats with at least `count` columns */
export function splitColumns(
  x: Value,
  count: number,
): { readonly rest: Value; readonly columns: Value; readonly indices: Value } {
  const [rest, columns, indices] = x.graph.apply(splitColumnsOp, [x], { count }) as [Value, Value, Value];
  return { rest, columns, indices };
}
