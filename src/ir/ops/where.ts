/** z = x where the condition holds, y elsewhere; broadcasting. What is not chosen has no influence, not even if NaN. */
import { ShapeError } from "../../errors.ts";
import type { DType } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { mapBroadcast } from "../ndarray.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { Op, OnnxEmitter } from "../op.ts";
import { broadcastShapes } from "../shape.ts";
import { scalar } from "./constant.ts";
import { expectArity, expectSameDType } from "./elementwise.ts";

/** Types without a kernel, and a type that holds their values. */
const CARRIER: Record<OnnxEmitter["device"], Partial<Record<DType, DType>>> = {
  cpu: { bool: "uint8", int8: "int32", uint32: "int64", float16: "float32", bfloat16: "float32" },
  // From uint32 to int32 and back the bits stay.
  webgpu: { bool: "int32", uint32: "int32" },
};

export const whereOp: Op = {
  name: "where",
  elementwise: true,
  infer(inputs) {
    expectArity("where", inputs, 3);
    const [condition, x, y] = inputs;
    if (condition!.dtype !== "bool") {
      throw new ShapeError({
        where: "where",
        what: "condition has the wrong type",
        got: condition!.dtype,
        expected: "bool",
      });
    }
    expectSameDType("where", [x!, y!]);
    return [{ dtype: x!.dtype, shape: broadcastShapes("where", ...inputs.map((input) => input.shape)) }];
  },
  evaluate: (inputs, _attrs, [shape]) => [mapBroadcast(inputs, shape!, (c, x, y) => (c === 0 ? y : x))],
  onnx(emit, node) {
    const { dtype } = node.outputTypes[0]!;
    const carrier = CARRIER[emit.device][dtype];
    if (carrier === undefined) {
      emit.node("Where", node.inputs, {}, node.outputs[0]);
      return;
    }
    const [condition, ...choices] = node.inputs;
    const carried = choices.map((choice) => emit.node("Cast", [choice], { to: onnxElementType(carrier) }));
    const chosen = emit.node("Where", [condition!, ...carried]);
    emit.node("Cast", [chosen], { to: onnxElementType(dtype) }, node.outputs[0]);
  },
  vjp: ({ inputs: [condition], cotangents: [dz], needs }) => {
    const zero = scalar(dz!.graph, 0, dz!.type.dtype);
    return [
      undefined,
      needs[1] ? where(condition!, dz!, zero) : undefined,
      needs[2] ? where(condition!, zero, dz!) : undefined,
    ];
  },
};

/** @param condition bool */
export function where(condition: Value, x: Value, y: Value): Value {
  return apply(whereOp, [condition, x, y], {});
}
