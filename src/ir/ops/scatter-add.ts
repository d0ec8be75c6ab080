/**
 * Zeros of a given shape, plus slices added at `indices` along an axis: the adjoint of gather. Slices that meet at one
 * position add up.
 *
 * Shapes: updates [..., any, ...], indices [any], result [..., n, ...].
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { OnnxEmitter, OnnxNode, Op } from "../op.ts";
import { dim, elementCount, normalizeAxis, printShape, sameShape, type Shape } from "../shape.ts";
import { expectArity } from "./elementwise.ts";
import { gather } from "./gather.ts";
import { checkIndex, expectIndices } from "./indices.ts";

type ScatterAddAttrs = { readonly shape: Shape; readonly axis: number };

/**
 * Up to this many positions, a product with the one-hot matrix of the indices beats the engine's scatter, which runs on
 * one thread at about 20 million elements a second; the product needs 2n operations per element.
 */
const ONE_HOT_LIMIT = 1024;

export const scatterAddOp: Op<ScatterAddAttrs> = {
  name: "scatterAdd",
  infer(inputs, { shape, axis }) {
    expectArity("scatterAdd", inputs, 2);
    const [updates, indices] = inputs;
    expectIndices("scatterAdd", indices!);
    const expected = shape.toSpliced(axis, 1, ...indices!.shape);
    if (!sameShape(updates!.shape, expected)) {
      throw new ShapeError({
        where: "scatterAdd",
        what: `updates do not fit axis ${axis} of ${printShape(shape)} at indices ${printShape(indices!.shape)}`,
        got: printShape(updates!.shape),
        expected: printShape(expected),
      });
    }
    return [{ dtype: updates!.dtype, shape }];
  },
  evaluate([updates, indices], { axis }, [shape]) {
    const size = shape![axis]!;
    const inner = sizeOfShape(shape!.slice(axis + 1));
    const data = new Float64Array(sizeOfShape(shape!));
    let from = 0;
    for (let outer = 0; outer < sizeOfShape(shape!.slice(0, axis)); outer++) {
      for (const index of indices!.data) {
        const to = (outer * size + checkIndex("scatterAdd", index, size)) * inner;
        for (let i = 0; i < inner; i++) data[to + i]! += updates!.data[from++]!;
      }
    }
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { shape, axis } = node.attrs;
    const few = (shape[axis]!.size ?? Infinity) <= ONE_HOT_LIMIT;
    if (axis === 0 && few && node.outputTypes[0]!.dtype === "float32") viaProduct(emit, node);
    else viaElements(emit, node);
  },
  vjp: ({ inputs: [, indices], cotangents: [dy], attrs: { axis } }) => [gather(dy!, indices!, axis), undefined],
};

/** @param indices int32 or int64, each from 0 to n - 1 @throws ShapeError if the updates do not fit */
export function scatterAdd(updates: Value, indices: Value, shape: Shape, axis = 0): Value {
  return apply(scatterAddOp, [updates, indices], { shape, axis: normalizeAxis(axis, shape.length, "scatterAdd") });
}

function viaProduct(emit: OnnxEmitter, node: OnnxNode<ScatterAddAttrs>): void {
  const shape = node.attrs.shape;
  const [updates, indices] = node.inputs;
  const count = elementCount(node.inputTypes[1]!.shape);
  const positions = emit.constant(node.inputTypes[1]!.dtype, [...Array(shape[0]!.size).keys()]);
  const column = emit.node("Reshape", [indices!, emit.shape([count, dim(1)])], { allowzero: 1 });
  const oneHot = emit.node("Cast", [emit.node("Equal", [column, positions])], { to: 1 });
  const rows = emit.shape([count, elementCount(shape.slice(1))]);
  const matrix = emit.node("Reshape", [updates!, rows], { allowzero: 1 });
  const sum = emit.node("Gemm", [oneHot, matrix], { transA: 1 });
  emit.node("Reshape", [sum, emit.shape(shape)], { allowzero: 1 }, node.outputs[0]);
}

/** Not ScatterND, whose CPU kernel adds from several threads at once and loses sums where indices repeat. */
function viaElements(emit: OnnxEmitter, node: OnnxNode<ScatterAddAttrs>): void {
  const { shape, axis } = node.attrs;
  const [updates, indices] = node.inputs;
  const count = elementCount(node.inputTypes[1]!.shape);
  const flat = emit.shape(shape.with(axis, count));
  const line = emit.shape(shape.map((_, i) => (i === axis ? count : dim(1))));
  const slices = emit.node("Reshape", [updates!, flat], { allowzero: 1 });
  const positions = emit.node("Expand", [emit.node("Reshape", [indices!, line], { allowzero: 1 }), flat]);
  const zeros = emit.node("Expand", [emit.constant(node.outputTypes[0]!.dtype, 0), emit.shape(shape)]);
  emit.node("ScatterElements", [zeros, positions, slices], { axis, reduction: "add" }, node.outputs[0]);
}
