/**
 * An update as thin factors, ΔW = Σ b aᵀ, where the graph that computes it says that it is a product of such: then its singular
 * values follow from the factors, exactly and at any width, and a matrix of its size is made only to be added.
 */
import { reachable, type Value } from "../ir/graph.ts";
import { matmulOp } from "../ir/ops/matmul.ts";
import { addOp } from "../ir/ops/add.ts";
import { affine } from "../ir/ops/affine.ts";
import { mul, mulOp } from "../ir/ops/mul.ts";
import { reshapeOp } from "../ir/ops/reshape.ts";
import { subOp } from "../ir/ops/sub.ts";
import { transpose, transposeOp } from "../ir/ops/transpose.ts";

/** left · right: [rows, k] and [k, columns]. */
export interface Product {
  readonly left: Value;
  readonly right: Value;
}

/** What `value` adds to `input`: X of `input + X` where X does not depend on it; undefined if it is no such sum. */
export function addedTo(value: Value, input: Value): Value | undefined {
  const { producer } = value;
  if (producer?.op !== addOp) return undefined;
  const [a, b] = producer.inputs as [Value, Value];
  const added = a === input ? b : b === input ? a : undefined;
  return added === undefined || dependsOn(added, [input]) ? undefined : added;
}

export function dependsOn(value: Value, inputs: readonly Value[]): boolean {
  return (
    inputs.includes(value) ||
    reachable(value.graph, [value]).some((node) => node.inputs.some((input) => inputs.includes(input)))
  );
}

/** The products whose sum a matrix [rows, columns] is, flattened behind its first axis; undefined if it is none. */
export function lowRankForm(value: Value): readonly Product[] | undefined {
  const { producer } = value;
  if (producer === undefined) return undefined;
  const [a, b] = producer.inputs as [Value, Value];
  switch (producer.op) {
    case matmulOp: {
      if (a.type.shape.length !== 2 || b.type.shape.length !== 2) return undefined;
      const { transA, transB } = producer.attrs as { readonly transA: boolean; readonly transB: boolean };
      const left = transA ? transpose(a, [1, 0]) : a;
      const right = transB ? transpose(b, [1, 0]) : b;
      const [rows, inner] = left.type.shape.map(({ size }) => size ?? Infinity);
      const columns = right.type.shape[1]!.size ?? Infinity;
      return 2 * inner! <= Math.min(rows!, columns) ? [{ left, right }] : undefined;
    }
    case addOp:
    case subOp: {
      if (size(a) !== size(value) || size(b) !== size(value)) return undefined;
      const [first, second] = [lowRankForm(a), lowRankForm(b)];
      if (first === undefined || second === undefined) return undefined;
      return [...first, ...(producer.op === addOp ? second : scaledBy(second, (left) => affine(left, -1)))];
    }
    case mulOp: {
      const [matrix, factor] = size(a) === size(value) ? [a, b] : [b, a];
      if (size(factor) !== 1) return undefined;
      const products = lowRankForm(matrix);
      return products && scaledBy(products, (left) => mul(left, factor));
    }
    case reshapeOp: {
      // A kernel [out, in, kh, kw] of a matrix [out, in · kh · kw].
      const isFlattening = a.type.shape.length === 2 && a.type.shape[0]!.size === value.type.shape[0]?.size;
      return isFlattening ? lowRankForm(a) : undefined;
    }
    case transposeOp: {
      const isMatrix = a.type.shape.length === 2;
      const products = isMatrix ? lowRankForm(a) : undefined;
      return products?.map(({ left, right }) => ({ left: transpose(right, [1, 0]), right: transpose(left, [1, 0]) }));
    }
    default:
      return undefined;
  }
}

function scaledBy(products: readonly Product[], scale: (left: Value) => Value): Product[] {
  return products.map(({ left, right }) => ({ left: scale(left), right }));
}

function size({ type: { shape } }: Value): number {
  return shape.reduce((product, dim) => product * (dim.size ?? NaN), 1);
}
