/**
 * C = A' B', where A' is A or its transpose over the last two axes (`transA`), B' likewise.
 *
 * Shapes: [..., M, K] x [..., K, N] -> [..., M, N]; leading axes broadcast. Gradients ask for transposed operands instead
 * of transposing tensors, so that the engine reads every matrix where it lies.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { broadcastStrides, type NdArray, sizeOfShape, stridesOf } from "../ndarray.ts";
import type { Op, OnnxEmitter, Type } from "../op.ts";
import { broadcastShapes, printShape, sameDim, type Shape } from "../shape.ts";
import { expectArity, expectSameDType } from "./elementwise.ts";

export type MatMulAttrs = { readonly transA: boolean; readonly transB: boolean };

/** The gradient of a low-rank factor: at most so many columns, and so many times as many rows. */
const [NARROW, TALL] = [64, 32];

export const matmulOp: Op<MatMulAttrs> = {
  name: "matmul",
  infer(inputs, { transA, transB }) {
    expectArity("matmul", inputs, 2);
    expectSameDType("matmul", inputs);
    const [a, b] = inputs.map((input) => input.shape) as [Shape, Shape];
    if (a.length < 2 || b.length < 2) {
      throw new ShapeError({ where: "matmul", what: "needs matrices", got: `${printShape(a)} and ${printShape(b)}` });
    }
    const [m, ka] = order(a.slice(-2), transA);
    const [kb, n] = order(b.slice(-2), transB);
    if (!sameDim(ka, kb)) {
      const mark = (shape: Shape, t: boolean) => printShape(shape) + (t ? "ᵀ" : "");
      throw new ShapeError({
        where: "matmul",
        what: "inner dimensions differ",
        got: `${mark(a, transA)} x ${mark(b, transB)}`,
      });
    }
    const batch = broadcastShapes("matmul", a.slice(0, -2), b.slice(0, -2));
    return [{ dtype: inputs[0]!.dtype, shape: [...batch, m, n] }];
  },
  evaluate([a, b], { transA, transB }, [shape]) {
    return [product(a!, b!, transA, transB, shape!)];
  },
  onnx(emit, node) {
    const { transA, transB } = node.attrs;
    const matrices = node.inputTypes.every((type) => type.shape.length === 2);
    const [rows, columns] = node.outputTypes[0]!.shape.slice(-2).map(({ size }) => size);
    const isTall = rows !== undefined && columns !== undefined && columns <= NARROW && rows >= TALL * columns;
    if (matrices && transA && !transB && isTall && emit.device === "cpu") {
      // Aᵀ B = (Bᵀ A)ᵀ: the kernel writes wide results in half the time of tall ones, and turning this one costs little.
      const wide = emit.node("Gemm", node.inputs.toReversed(), { transA: 1, transB: 0 });
      emit.node("Transpose", [wide], { perm: [1, 0] }, node.outputs[0]);
    } else if (matrices && (transA || transB)) {
      emit.node("Gemm", node.inputs, { transA: Number(transA), transB: Number(transB) }, node.outputs[0]);
    } else if ((transA || transB) && emit.device === "cpu" && node.inputTypes[0]!.dtype === "float32") {
      const attrs = { transA: Number(transA), transB: Number(transB) };
      emit.node("FusedMatMul", node.inputs, attrs, node.outputs[0], "com.microsoft");
    } else {
      const inputs = node.inputs.map((name, i) =>
        (i === 0 ? transA : transB) ? swapLastAxes(emit, name, node.inputTypes[i]!) : name,
      );
      emit.node("MatMul", inputs, {}, node.outputs[0]);
    }
  },
  vjp({ inputs: [a, b], cotangents: [dc], needs, attrs: { transA, transB } }) {
    // C = A'B': dA' = dC B'ᵀ and dB' = A'ᵀ dC; transposing the product swaps its factors.
    const dA = () =>
      transA ? matmul(b!, dc!, { transA: transB, transB: true }) : matmul(dc!, b!, { transB: !transB });
    const dB = () =>
      transB ? matmul(dc!, a!, { transA: true, transB: transA }) : matmul(a!, dc!, { transA: !transA });
    return [needs[0] ? dA() : undefined, needs[1] ? dB() : undefined];
  },
};

export function matmul(a: Value, b: Value, options: Partial<MatMulAttrs> = {}): Value {
  return apply(matmulOp, [a, b], { transA: options.transA ?? false, transB: options.transB ?? false });
}

function order<T>(pair: readonly T[], swap: boolean): [T, T] {
  return swap ? [pair[1]!, pair[0]!] : [pair[0]!, pair[1]!];
}

function swapLastAxes(emit: OnnxEmitter, name: string, type: Type): string {
  const perm = type.shape.map((_, i) => i);
  perm.splice(-2, 2, perm.length - 1, perm.length - 2);
  return emit.node("Transpose", [name], { perm });
}

function product(a: NdArray, b: NdArray, transA: boolean, transB: boolean, shape: readonly number[]): NdArray {
  const [m, n] = [shape.at(-2)!, shape.at(-1)!];
  const k = a.shape.at(transA ? -2 : -1)!;
  const [aRow, aCol] = order([a.shape.at(-1)!, 1], transA);
  const [bRow, bCol] = order([b.shape.at(-1)!, 1], transB);
  const batch = shape.slice(0, -2);
  const own = (x: NdArray) => x.shape.slice(0, -2);
  const offsets = (x: NdArray) => {
    const steps = broadcastStrides(own(x), batch).map((s) => s * x.shape.at(-1)! * x.shape.at(-2)!);
    const strides = stridesOf(batch);
    return (flat: number) =>
      steps.reduce((sum, step, i) => sum + step * (Math.floor(flat / strides[i]!) % batch[i]!), 0);
  };
  const [offsetA, offsetB] = [offsets(a), offsets(b)];
  const data = new Float64Array(sizeOfShape(shape));
  for (let batchIndex = 0; batchIndex < sizeOfShape(batch); batchIndex++) {
    const [startA, startB, startC] = [offsetA(batchIndex), offsetB(batchIndex), batchIndex * m * n];
    for (let i = 0; i < m; i++) {
      for (let p = 0; p < k; p++) {
        const x = a.data[startA + i * aRow + p * aCol]!;
        const c = startC + i * n;
        let at = startB + p * bRow;
        for (let j = 0; j < n; j++, at += bCol) data[c + j]! += x * b.data[at]!;
      }
    }
  }
  return { shape, data };
}
