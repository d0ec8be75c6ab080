/** y = x, as a constant for derivatives: none flows back to x. */
import { apply, type Value } from "../graph.ts";
import type { Op } from "../op.ts";

export const detachOp: Op = {
  name: "detach",
  infer: ([x]) => [x!],
  evaluate: ([x]) => [x!],
  onnx: (emit, node) => void emit.node("Identity", node.inputs, {}, node.outputs[0]),
  vjp: "zero",
};

export function detach(x: Value): Value {
  return apply(detachOp, [x], {});
}
