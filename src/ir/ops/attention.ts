/**
 * Scaled dot-product attention per head (Vaswani et al. 2017, arXiv 1706.03762, §3.2.1), with grouped-query heads (Ainslie
 * et al. 2023, arXiv 2305.13245): y = P v, with P = softmax(scale · q kᵀ + bias).
 *
 * Shapes: q [B, H, T, Dh], k [B, Hkv, S, Dh], v [B, Hkv, S, Dv], where Hkv divides H; bias, if there is one, broadcasts to
 * [B, H, T, S]; y [B, H, T, Dv]. A second output, kept for the derivative: P [B, H, T, S].
 *
 * With dP = dy vᵀ, dscores = P ∘ (dP − Σ dP ∘ P) over the keys, and Σ dP ∘ P = Σ dy ∘ y over the head's width (Dao et al.
 * 2022, arXiv 2205.14135, appendix B.4): the sum is taken over [T, Dv] instead of [T, S]. It is subtracted by the product
 * that makes dP, as one more column of dy against a column of ones in v, so that one pass over [T, S] is left.
 *
 * Query heads that share a key head are stacked along the tokens, [B, Hkv, H/Hkv · T, Dh]: keys and values are neither
 * repeated in the forward pass nor summed over heads in the backward pass.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { mapBroadcast, type NdArray } from "../ndarray.ts";
import type { Op } from "../op.ts";
import {
  broadcastShapes,
  type Dim,
  dim,
  mulDim,
  printDim,
  printShape,
  sameDim,
  sameShape,
  type Shape,
} from "../shape.ts";
import { affine } from "./affine.ts";
import { concat } from "./concat.ts";
import { scalar } from "./constant.ts";
import { expand } from "./expand.ts";
import { expectFloat } from "./expect-float.ts";
import { matmul, matmulOp } from "./matmul.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { reduceSum } from "./reduce-sum.ts";
import { reshape } from "./reshape.ts";
import { logSoftmaxOf } from "./softmax.ts";

export type AttentionAttrs = { readonly scale: number };

export const attentionOp: Op<AttentionAttrs> = {
  name: "attention",
  infer(inputs) {
    expectFloat("attention", inputs, inputs.length === 4 ? 4 : 3);
    const [q, k, v, bias] = inputs.map(({ shape }) => shape) as [Shape, Shape, Shape, Shape | undefined];
    checkShapes(q, k, v);
    const weights: Shape = [q[0]!, q[1]!, q[2]!, k[2]!];
    if (bias !== undefined && !sameShape(broadcastShapes("attention", bias, weights), weights)) {
      throw new ShapeError({
        where: "attention",
        what: "the bias does not fit the scores",
        got: printShape(bias),
        expected: printShape(weights),
      });
    }
    const { dtype } = inputs[0]!;
    return [
      { dtype, shape: [q[0]!, q[1]!, q[2]!, v[3]!] },
      { dtype, shape: weights },
    ];
  },
  evaluate([q, k, v, bias], { scale }, [shape, weightsShape]) {
    const [batch, kvHeads] = k!.shape as [number, number];
    const stacked = (x: NdArray): NdArray => ({ ...x, shape: [batch, kvHeads, -1, x.shape[3]!].map(known(x)) });
    const as = (x: NdArray, shapeOfX: readonly number[]): NdArray => ({ ...x, shape: shapeOfX });
    const queries = stacked(q!);
    const stackedShape = [...queries.shape.slice(0, 3), k!.shape[2]!];
    const attrs = { transA: false, transB: true };
    const [products] = matmulOp.evaluate([queries, k!], attrs, [stackedShape]) as [NdArray];
    const scores = mapBroadcast(
      [as(products, weightsShape!), ...(bias === undefined ? [] : [bias])],
      weightsShape!,
      (x, b = 0) => {
        return scale * x + b;
      },
    );
    const weights: NdArray = { shape: weightsShape!, data: logSoftmaxOf(scores, 3).data.map(Math.exp) };
    const [y] = matmulOp.evaluate([as(weights, stackedShape), v!], { transA: false, transB: false }, [
      [...queries.shape.slice(0, 3), v!.shape[3]!],
    ]) as [NdArray];
    return [as(y, shape!), weights];
  },
  onnx(emit, node) {
    const [q, k, v, bias] = node.inputs;
    const [y, weights] = node.outputs as [string, string];
    const [qType, kType, vType] = node.inputTypes as [
      (typeof node.inputTypes)[0],
      (typeof node.inputTypes)[0],
      (typeof node.inputTypes)[0],
    ];
    const { scale } = node.attrs;
    const { dtype } = qType;
    const plain = node.outputTypes[1]!.shape;
    const stackedShape = (width: Dim) => stack(qType.shape, kType.shape[1]!, width);
    const grouped = !sameDim(qType.shape[1]!, kType.shape[1]!);
    const stacked = (name: string, width: Dim) =>
      grouped ? emit.node("Reshape", [name, emit.shape(stackedShape(width))]) : name;
    const queries = stacked(q!, qType.shape[3]!);
    let scores: string;
    if (emit.device === "cpu" && dtype === "float32") {
      const attrs = { transB: 1, alpha: { float: scale } };
      scores = emit.node("FusedMatMul", [queries, k!], attrs, undefined, "com.microsoft");
    } else {
      const scaled = emit.node("Mul", [queries, emit.constant(dtype, scale)]);
      scores = emit.node("MatMul", [scaled, emit.node("Transpose", [k!], { perm: [0, 1, 3, 2] })]);
    }
    if (grouped) scores = emit.node("Reshape", [scores, emit.shape(plain)]);
    const masked = bias === undefined ? scores : emit.node("Add", [scores, bias]);
    emit.node("Softmax", [masked], { axis: -1 }, weights);
    const sums = [stacked(weights, kType.shape[2]!), v!];
    if (!grouped) emit.node("MatMul", sums, {}, y);
    else
      emit.node(
        "Reshape",
        [emit.node("MatMul", sums), emit.shape([...qType.shape.slice(0, 3), vType.shape[3]!])],
        {},
        y,
      );
  },
  vjp: ({ inputs: [q, k, v], outputs: [y, weights], cotangents: [dy], needs, attrs: { scale } }) => {
    const kvHeads = k!.type.shape[1]!;
    const stacked = (x: Value) => reshape(x, stack(x.type.shape, kvHeads, x.type.shape[3]!));
    const P = stacked(weights!);
    const dY = stacked(dy!);
    const dV = needs[2] ? matmul(P, dY, { transA: true }) : undefined;
    if (!needs[0] && !needs[1] && !needs[3]) return [undefined, undefined, dV];
    const sums = stacked(reduceSum(mul(dy!, y!), [3], true)); // [B, Hkv, H/Hkv · T, 1]
    const one = expand(scalar(v!.graph, 1, v!.type.dtype), v!.type.shape.with(3, dim(1)));
    const centred = matmul(concat([dY, neg(sums)], 3), concat([v!, one], 3), { transB: true });
    const dScores = mul(P, centred); // [B, Hkv, H/Hkv · T, S]
    return [
      needs[0] ? reshape(affine(matmul(dScores, k!), scale), q!.type.shape) : undefined,
      needs[1] ? affine(matmul(dScores, stacked(q!), { transA: true }), scale) : undefined,
      dV,
      needs[3] ? reshape(dScores, weights!.type.shape) : undefined,
    ];
  },
};

/** Per head y = softmax(scale · q kᵀ + bias) v. @throws ShapeError if the shapes or types do not fit */
export function attention(q: Value, k: Value, v: Value, scale: number, bias?: Value): Value {
  return apply(attentionOp, bias === undefined ? [q, k, v] : [q, k, v, bias], { scale });
}

/** [B, H, T, width] -> [B, Hkv, H/Hkv · T, width] */
function stack([batch, heads, tokens]: Shape, kvHeads: Dim, width: Dim): Shape {
  return [batch!, kvHeads, mulDim(dim(heads!.size! / kvHeads.size!), tokens!), width];
}

function known(x: NdArray): (size: number, axis: number, shape: readonly number[]) => number {
  return (size, _axis, shape) => (size >= 0 ? size : x.data.length / shape.reduce((a, b) => (b < 0 ? a : a * b), 1));
}

function checkShapes(q: Shape, k: Shape, v: Shape): void {
  const where = "attention";
  for (const [name, shape] of Object.entries({ q, k, v })) {
    if (shape.length === 4) continue;
    const got = printShape(shape);
    throw new ShapeError({ where, what: `${name} needs 4 axes`, got, expected: "[batch, heads, tokens, head width]" });
  }
  const alike = (a: Shape, b: Shape, axes: readonly number[]) => axes.every((axis) => sameDim(a[axis]!, b[axis]!));
  if (!alike(k, v, [0, 1, 2])) {
    throw new ShapeError({
      where,
      what: "keys and values differ in heads or tokens",
      got: `${printShape(k)} and ${printShape(v)}`,
    });
  }
  if (!alike(q, k, [0, 3])) {
    throw new ShapeError({
      where,
      what: "queries and keys differ in batch or width",
      got: `${printShape(q)} and ${printShape(k)}`,
    });
  }
  const [heads, kvHeads] = [q[1]!.size, k[1]!.size];
  if (heads === undefined || kvHeads === undefined || kvHeads === 0 || heads % kvHeads !== 0) {
    throw new ShapeError({
      where,
      what: "query heads do not divide among the key and value heads",
      got: `${printDim(q[1]!)} and ${printDim(k[1]!)}`,
      expected: "a multiple",
    });
  }
}
