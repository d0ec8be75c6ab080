/**
 * What rows in 8 bits leave of x: x − (q − zero) · scale, at most half a step of each row.
 *
 * Shapes: x [M, K], q uint8 [M, K], scale [M, 1] -> [M, K]. See quantize-rows.ts.
 */
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { expectArity } from "./elementwise.ts";
import type { RowLevels } from "./quantize-rows.ts";

export const rowRestOp: Op<RowLevels> = {
  name: "rowRest",
  infer(inputs) {
    expectArity("rowRest", inputs, 3);
    return [inputs[0]!];
  },
  evaluate([x, q, scale], { levels }, [shape]) {
    const width = shape![1]!;
    const data = new Float64Array(sizeOfShape(shape!));
    data.forEach((_, i) => {
      const near = Math.fround((q!.data[i]! - levels - 1) * scale!.data[Math.floor(i / width)]!);
      data[i] = x!.data[i]! - near;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const [x, q, scale] = node.inputs as [string, string, string];
    const { levels } = node.attrs;
    const perRow = emit.node("Reshape", [scale, emit.constant("int64", [-1])]);
    const zeros = emit.node("Expand", [
      emit.constant("uint8", levels + 1),
      emit.shape(node.inputTypes[0]!.shape.slice(0, 1)),
    ]);
    const near = emit.node("DequantizeLinear", [q, perRow, zeros], { axis: 0 });
    emit.node("Sub", [x, near], {}, node.outputs[0]);
  },
  vjp: "zero",
};

/** @param levels those of `q` */
export function rowRest(x: Value, { q, scale }: { readonly q: Value; readonly scale: Value }, levels: number): Value {
  return apply(rowRestOp, [x, q, scale], { levels });
}
