/**
 * Y = alpha · A' B' + C, with A' and B' the matrices or their transposes, and C broadcast to [M, N].
 *
 * Made by the pass that gives products the sum that follows them (ir/passes/fuse-gemm.ts), after differentiation.
 */
import { type NdArray, mapBroadcast } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { type MatMulAttrs, matmulOp } from "./matmul.ts";

export type GemmAttrs = MatMulAttrs & { readonly alpha: number };

export const gemmOp: Op<GemmAttrs> = {
  name: "gemm",
  infer: ([a, b], attrs) => matmulOp.infer([a!, b!], attrs),
  evaluate([a, b, c], attrs, shapes) {
    const [product] = matmulOp.evaluate([a!, b!], attrs, shapes) as [NdArray];
    return [mapBroadcast([product, c!], shapes[0]!, (p, add) => attrs.alpha * p + add)];
  },
  onnx(emit, node) {
    const { transA, transB, alpha } = node.attrs;
    const attrs = { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } };
    emit.node("Gemm", node.inputs, attrs, node.outputs[0]);
  },
  vjp: "unsupported",
};
