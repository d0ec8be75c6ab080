/**
 * x with one element added per index: y[i, indices[i, j]] = x[i, indices[i, j]] + updates[i, j] for axis 1, and alike for
 * others. Elements that meet at one position add up. The engine may write over x, so that it costs the updates alone.
 *
 * Shapes: x and y [..., n, ...], updates and indices [..., k, ...].
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { forEachIndex, stridesOf } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { normalizeAxis, printShape, sameShape } from "../shape.ts";
import { expectArity, expectSameDType } from "./elementwise.ts";
import { gatherElements } from "./gather-elements.ts";
import { checkIndex, expectIndices } from "./indices.ts";

type AddAtElementsAttrs = { readonly axis: number };

export const addAtElementsOp: Op<AddAtElementsAttrs> = {
  name: "addAtElements",
  infer(inputs, { axis }) {
    expectArity("addAtElements", inputs, 3);
    const [x, updates, indices] = inputs;
    expectSameDType("addAtElements", [x!, updates!]);
    expectIndices("addAtElements", indices!);
    const fits = indices!.shape.length === x!.shape.length && sameShape(updates!.shape, indices!.shape);
    if (!fits || !sameShape(x!.shape.with(axis, indices!.shape[axis]!), indices!.shape)) {
      throw new ShapeError({
        where: "addAtElements",
        what: `updates and indices must be shaped alike, and like ${printShape(x!.shape)} but for axis ${axis}`,
        got: `${printShape(updates!.shape)} and ${printShape(indices!.shape)}`,
      });
    }
    return [x!];
  },
  evaluate([x, updates, indices], { axis }) {
    const strides = stridesOf(x!.shape);
    const data = x!.data.slice();
    forEachIndex(updates!.shape, [strides.with(axis, 0)], (flat, [to]) => {
      const index = checkIndex("addAtElements", indices!.data[flat]!, x!.shape[axis]!);
      data[to! + index * strides[axis]!]! += updates!.data[flat]!;
    });
    return [{ shape: x!.shape, data }];
  },
  onnx(emit, node) {
    const [x, updates, indices] = node.inputs;
    const attrs = { axis: node.attrs.axis, reduction: "add" };
    emit.node("ScatterElements", [x!, indices!, updates!], attrs, node.outputs[0]);
  },
  vjp: ({ inputs: [, , indices], cotangents: [dy], needs, attrs: { axis } }) => [
    dy,
    needs[1] ? gatherElements(dy!, indices!, axis) : undefined,
    undefined,
  ],
};

/** @param indices int32 or int64, each from 0 to n - 1 @throws ShapeError if the shapes do not fit */
export function addAtElements(x: Value, updates: Value, indices: Value, axis: number): Value {
  return apply(addAtElementsOp, [x, updates, indices], {
    axis: normalizeAxis(axis, x.type.shape.length, "addAtElements"),
  });
}
