/**
 * x, not available before `dependency` has been computed. The engine runs nodes as early as it can: without this, a
 * recomputed activation would be computed at once and kept, and an updated weight could be written before its last
 * reader has run.
 *
 * Emitted as x + 0 · isNaN(first element of the dependency): no optimizer can remove it, and it stays exact when the
 * dependency is not finite.
 */
import { apply, type Value } from "../graph.ts";
import type { Op } from "../op.ts";

export const afterOp: Op = {
  name: "after",
  infer: ([x]) => [x!],
  evaluate: ([x]) => [x!],
  onnx(emit, node) {
    const [x, dependency] = node.inputs;
    const zero = emit.constant("int64", [0]);
    const one = emit.constant("int64", [1]);
    const flat = emit.node("Reshape", [dependency!, emit.constant("int64", [-1])]);
    const first = emit.node("Slice", [flat, zero, one, zero]);
    const token = emit.node("Cast", [emit.node("IsNaN", [first])], { to: 1 });
    const nothing = emit.node("Reshape", [
      emit.node("Mul", [token, emit.constant("float32", 0)]),
      emit.constant("int64", [], [0]),
    ]);
    emit.node("Add", [x!, nothing], {}, node.outputs[0]);
  },
  vjp: ({ cotangents: [dy] }) => [dy, undefined],
};

/** @param dependency any float32 value with at least one element */
export function after(x: Value, dependency: Value): Value {
  return apply(afterOp, [x, dependency], {});
}
