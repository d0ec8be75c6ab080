/**
 * y = silu(gate) ∘ up, the middle of a gated MLP (Shazeer 2020, arXiv 2002.05202). With s = σ(gate) and a = gate ∘ s, both
 * computed again for the derivative: dup = dy ∘ a, dgate = dy ∘ up ∘ (s + a - a ∘ s).
 */
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { add } from "./add.ts";
import { elementwise } from "./elementwise.ts";
import { mul } from "./mul.ts";
import { logistic, sigmoid } from "./sigmoid.ts";
import { sub } from "./sub.ts";

export const swigluOp = elementwise({
  name: "swiglu",
  arity: 2,
  accepts: isFloat,
  f: (gate, up) => gate * logistic(gate) * up,
  onnx(emit, node) {
    const [gate, up] = node.inputs;
    const silu = emit.node("Mul", [gate!, emit.node("Sigmoid", [gate!])]);
    emit.node("Mul", [silu, up!], {}, node.outputs[0]);
  },
  vjp: ({ inputs: [gate, up], cotangents: [dy], needs }) => {
    const s = sigmoid(gate!);
    const a = mul(gate!, s);
    return [needs[0] ? mul(mul(dy!, up!), add(s, sub(a, mul(a, s)))) : undefined, needs[1] ? mul(dy!, a) : undefined];
  },
});

/** @throws ShapeError if the shapes do not broadcast */
export function swiglu(gate: Value, up: Value): Value {
  return apply(swigluOp, [gate, up], {});
}
