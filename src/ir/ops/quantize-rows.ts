/**
 * Rows of a matrix in 8 bits: q = round(x / scale) + zero, with scale = max |row| / levels and zero = levels + 1, so that
 * row ≈ (q − zero) · scale. Ties are rounded to even numbers. A row of zeros becomes zero in all places.
 *
 * Shapes: x [M, K] -> q uint8 [M, K], scale float32 [M, 1]. `levels` is 127, for whole bytes, or 64: see
 * passes/narrow-rows.ts.
 *
 * No derivative flows through it: rounding has none. What multiplies q gives dx straight through (integer-matmul.ts).
 */
import { ShapeError } from "../../errors.ts";
import type { Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { dim, printShape } from "../shape.ts";
import { expectArity } from "./elementwise.ts";
import { expectFloat } from "./expect-float.ts";

export type RowLevels = { readonly levels: number };

/** Of whole bytes. */
export const BYTE_LEVELS = 127;
/** Rows smaller than this are zeros: a scale must be a normal number, and so must one over it. */
const SMALLEST = 1e-30;

export const quantizeRowsOp: Op<RowLevels> = {
  name: "quantizeRows",
  infer(inputs) {
    expectArity("quantizeRows", inputs, 1);
    expectFloat("quantizeRows", inputs, 1);
    const { shape } = inputs[0]!;
    if (shape.length !== 2) {
      throw new ShapeError({ where: "quantizeRows", what: "needs a matrix", got: printShape(shape) });
    }
    return [
      { dtype: "uint8", shape },
      { dtype: "float32", shape: [shape[0]!, dim(1)] },
    ];
  },
  evaluate([x], { levels }, [shape, scaleShape]) {
    const [rows, width] = shape as [number, number];
    const q = new Float64Array(sizeOfShape(shape!));
    const scales = new Float64Array(rows);
    for (let m = 0; m < rows; m++) {
      const row = x!.data.subarray(m * width, (m + 1) * width);
      const largest = row.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      // In float32, as the engine does: the other integer next to a tie is another result.
      const scale = Math.fround(Math.max(Math.fround(largest), SMALLEST) / levels);
      scales[m] = scale;
      row.forEach((value, k) => (q[m * width + k] = toEven(Math.fround(value / scale)) + levels + 1));
    }
    return [
      { shape: shape!, data: q },
      { shape: scaleShape!, data: scales },
    ];
  },
  onnx(emit, node) {
    const [x] = node.inputs as [string];
    const [q, scale] = node.outputs as [string, string];
    const { levels } = node.attrs;
    const columns = emit.constant("int64", [1]);
    // Two passes that only read are cheaper than |x|, which would be written.
    const high = emit.node("ReduceMax", [x, columns], { keepdims: 1 });
    const low = emit.node("ReduceMin", [x, columns], { keepdims: 1 });
    const largest = emit.node("Max", [high, emit.node("Neg", [low]), emit.constant("float32", SMALLEST)]);
    emit.node("Div", [largest, emit.constant("float32", levels)], {}, scale);
    const rows = node.inputTypes[0]!.shape.slice(0, 1);
    const perRow = emit.node("Reshape", [scale, emit.constant("int64", [-1])]);
    const zeros = emit.node("Expand", [emit.constant("uint8", levels + 1), emit.shape(rows)]);
    emit.node("QuantizeLinear", [x, perRow, zeros], { axis: 0 }, q);
  },
  vjp: "zero",
};

/** @throws ShapeError unless x is a matrix of floats */
export function quantizeRows(x: Value, levels = BYTE_LEVELS): { readonly q: Value; readonly scale: Value } {
  const [q, scale] = x.graph.apply(quantizeRowsOp, [x], { levels }) as [Value, Value];
  return { q, scale };
}

function toEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
