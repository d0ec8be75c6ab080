/**
 * x, not available before `dependency` has been computed. The engine runs nodes as early as it can: without this, a
 * recomputed activation would be computed at once and kept, and an updated weight could be written before its last
 * reader has run.
 *
 * Emitted as x + 0 · isNaN(first element of the dependency): no optimizer can remove it, and it stays exact when the
 * dependency is not finite.
 */
import { type DType, isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { Op, OnnxEmitter } from "../op.ts";
import { emitZeroAfter } from "./encoding.ts";

/** Types without a kernel for sums on CPU, and a type that holds their values. */
const CARRIER: Partial<Record<DType, DType>> = {
  bool: "int32",
  int8: "int32",
  uint8: "int32",
  uint32: "int64",
  float16: "float32",
  bfloat16: "float32",
};

export const afterOp: Op = {
  name: "after",
  infer: ([x]) => [x!],
  evaluate: ([x]) => [x!],
  onnx(emit, node) {
    const [x, dependency] = node.inputs;
    const { dtype } = node.outputTypes[0]!;
    const carrier = CARRIER[dtype] ?? dtype;
    const sizes = node.outputTypes[0]!.shape.map(({ size }) => size);
    const isKnown = sizes.length > 0 && sizes.every((size) => size !== undefined);
    if (carrier !== dtype && dtype !== "uint32" && isFloat(node.inputTypes[1]!.dtype) && isKnown) {
      // A frozen weight in a narrow type: a view that waits takes no memory.
      const dims = emit.node("Add", [emit.constant("int64", sizes), emitZeroAfter(emit, dependency!)]);
      emit.node("Reshape", [x!, dims], {}, node.outputs[0]);
      return;
    }
    const zero = emit.constant("int64", [0]);
    const one = emit.constant("int64", [1]);
    const flat = emit.node("Reshape", [dependency!, emit.constant("int64", [-1])]);
    const first = converted(emit, emit.node("Slice", [flat, zero, one, zero]), node.inputTypes[1]!.dtype, "float32");
    const token = emit.node("Cast", [emit.node("IsNaN", [first])], { to: onnxElementType("float32") });
    const nothing = emit.node("Reshape", [
      emit.node("Mul", [token, emit.constant("float32", 0)]),
      emit.constant("int64", [], [0]),
    ]);
    const terms = [converted(emit, x!, dtype, carrier), converted(emit, nothing, "float32", carrier)];
    if (carrier === dtype) emit.node("Add", terms, {}, node.outputs[0]);
    else emit.node("Cast", [emit.node("Add", terms)], { to: onnxElementType(dtype) }, node.outputs[0]);
  },
  vjp: ({ cotangents: [dy] }) => [dy, undefined],
};

/** @param dependency any value with at least one element */
export function after(x: Value, dependency: Value): Value {
  return apply(afterOp, [x, dependency], {});
}

function converted(emit: OnnxEmitter, name: string, from: DType, to: DType): string {
  return from === to ? name : emit.node("Cast", [name], { to: onnxElementType(to) });
}
