/** y = ln softmax(x) along an axis, without ever taking the logarithm of a rounded 0. dx = dy - eʸ · Σ dy. */
import { apply, type Value } from "../graph.ts";
import type { Op, OnnxEmitter } from "../op.ts";
import { normalizeAxis } from "../shape.ts";
import { exp } from "./exp.ts";
import { expectFloat } from "./expect-float.ts";
import { mul } from "./mul.ts";
import { reduceSum } from "./reduce-sum.ts";
import { type AxisAttrs, logSoftmaxOf } from "./softmax.ts";
import { sub } from "./sub.ts";

export const logSoftmaxOp: Op<AxisAttrs> = {
  name: "logSoftmax",
  infer(inputs) {
    expectFloat("logSoftmax", inputs, 1);
    return [inputs[0]!];
  },
  evaluate: ([x], { axis }) => [logSoftmaxOf(x!, axis)],
  onnx(emit, node) {
    emitLogSoftmax(emit, node.inputs[0]!, node.attrs.axis, node.outputs[0]);
  },
  vjp: ({ outputs: [y], cotangents: [dy], attrs: { axis } }) => [sub(dy!, mul(exp(y!), reduceSum(dy!, [axis], true)))],
};

/** Default: the last axis. */
export function logSoftmax(x: Value, axis = -1): Value {
  return apply(logSoftmaxOp, [x], { axis: normalizeAxis(axis, x.type.shape.length, "logSoftmax") });
}

/** WebGPU has no kernel for LogSoftmax. @returns the name of the output */
export function emitLogSoftmax(emit: OnnxEmitter, x: string, axis: number, output?: string): string {
  if (emit.device === "cpu") return emit.node("LogSoftmax", [x], { axis }, output);
  const reduce = (type: string, input: string) =>
    emit.node(type, [input, emit.constant("int64", [axis])], { keepdims: 1 });
  const shifted = emit.node("Sub", [x, reduce("ReduceMax", x)]);
  const sum = reduce("ReduceSum", emit.node("Exp", [shifted]));
  return emit.node("Sub", [shifted, emit.node("Log", [sum])], {}, output);
}
