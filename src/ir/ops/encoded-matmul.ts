/**
 * y = x Wᵀ (`transB`) or x W, for a frozen weight W that is stored in another way than as float32 values: encoding.ts.
 *
 * Shapes: x [M, K], W [N, K] or [K, N] -> [M, N].
 *
 * One operation, so that W is nobody's to keep: it is made when x is there and freed after the product, and made again
 * from dY for dX = dY W. Nothing flows into W.
 *
 * For 4-bit levels that it knows the engine has a product of its own, MatMulBnb4. It is used for x Wᵀ alone: for x W its CPU
 * kernel takes the wrong stride, and the numbers are wrong without an error.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import type { Op } from "../op.ts";
import { dim, printShape, sameDim, shapeOf } from "../shape.ts";
import {
  emitAbsmax,
  emitEncoded,
  emitZeroAfter,
  type EncodedAttrs,
  evaluateEncoded,
  expectEncoded,
  KERNELS,
} from "./encoding.ts";
import { matmulOp } from "./matmul.ts";

export type EncodedMatmulAttrs = EncodedAttrs & { readonly transB: boolean };

export const encodedMatmulOp: Op<EncodedMatmulAttrs> = {
  name: "encodedMatmul",
  infer([x, ...tensors], attrs) {
    expectEncoded("encodedMatmul", tensors, attrs);
    const { shape, transB } = attrs;
    const [rows, inner] = transB ? [shape[0], shape[1]] : [shape[1], shape[0]];
    if (shape.length !== 2 || x!.shape.length !== 2 || !sameDim(x!.shape[1]!, dim(inner!))) {
      throw new ShapeError({
        where: "encodedMatmul",
        what: "these cannot be multiplied",
        got: `${printShape(x!.shape)} and ${printShape(shapeOf(shape))}${transB ? "ᵀ" : ""}`,
      });
    }
    return [{ dtype: "float32", shape: [x!.shape[0]!, dim(rows!)] }];
  },
  evaluate([x, ...tensors], attrs, shapes) {
    return matmulOp.evaluate([x!, evaluateEncoded(tensors, attrs)], { transA: false, transB: attrs.transB }, shapes);
  },
  onnx(emit, node) {
    const [x, ...tensors] = node.inputs as [string, ...string[]];
    const { encoding, shape, transB } = node.attrs;
    const zero = emitZeroAfter(emit, x);
    if (encoding.kind === "blocks" && encoding.kernel !== undefined && transB && emit.device === "cpu") {
      const absmax = emitAbsmax(emit, tensors, { encoding, shape }, zero);
      const attrs = {
        N: shape[0]!,
        K: shape[1]!,
        block_size: encoding.blockSize,
        quant_type: KERNELS[encoding.kernel],
      };
      emit.node("MatMulBnb4", [x, tensors[0]!, absmax], attrs, node.outputs[0], "com.microsoft");
      return;
    }
    const weight = emitEncoded(emit, tensors, node.attrs, { zero });
    if (transB) emit.node("Gemm", [x, weight], { transB: 1 }, node.outputs[0]);
    else emit.node("MatMul", [x, weight], {}, node.outputs[0]);
  },
  vjp({ inputs: [, ...tensors], cotangents: [dy], needs, attrs: { transB, ...weight } }) {
    const dx = needs[0] ? encodedMatmul(dy!, tensors, weight, !transB) : undefined;
    return [dx, ...tensors.map(() => undefined)];
  },
};

/** @param tensors of W, in the order of `encodedTensors` @param transB the product is x Wᵀ */
export function encodedMatmul(x: Value, tensors: readonly Value[], weight: EncodedAttrs, transB: boolean): Value {
  return apply(encodedMatmulOp, [x, ...tensors], { ...weight, transB });
}
