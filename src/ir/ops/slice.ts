/** Every `step`-th element of x from `start` up to, not including, `end` along one axis. */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { forEachIndex, sizeOfShape, stridesOf } from "../ndarray.ts";
import type { Op } from "../op.ts";
import {
  addDim,
  dim,
  type Dim,
  type DimLike,
  divideDim,
  mulDim,
  normalizeAxis,
  printDim,
  printShape,
  sameDim,
  subDim,
} from "../shape.ts";
import { pad } from "./pad.ts";
import { reshape } from "./reshape.ts";

/** Beyond the end of any axis: the engine stops at the end. */
const FAR = 2 ** 31 - 1;

export type SliceAttrs = { readonly axis: number; readonly start: Dim; readonly end: Dim; readonly step: number };

export const sliceOp: Op<SliceAttrs> = {
  name: "slice",
  infer([x], { axis, start, end, step }) {
    const whole = x!.shape[axis]!;
    const span = start.size === 0 ? end : subDim(end, start);
    if (!Number.isInteger(step) || step < 1) {
      throw new ShapeError({ where: "slice", what: "not a step", got: step, expected: "an integer >= 1" });
    }
    const beyond = end.size !== undefined && whole.size !== undefined && end.size > whole.size;
    if (beyond || [start, end, span].some((d) => d.size !== undefined && d.size < 0)) {
      throw new ShapeError({
        where: "slice",
        what: `range leaves axis ${axis} of ${printShape(x!.shape)}`,
        got: `${printDim(start)} to ${printDim(end)}`,
        expected: `a range within 0 to ${printDim(whole)}`,
      });
    }
    return [{ dtype: x!.dtype, shape: x!.shape.with(axis, stepped(span, step)) }];
  },
  evaluate([x], { axis, start, step }, [shape]) {
    // A start that is known by name only belongs to a slice that runs to the end of the axis: see `slice`.
    const first = start.size ?? x!.shape[axis]! - shape![axis]!;
    const count = shape![axis]!;
    if (count > 0 && first + (count - 1) * step >= x!.shape[axis]!) {
      throw new ShapeError({
        where: "slice",
        what: `range leaves axis ${axis}`,
        got: `${count} elements from ${first}`,
        expected: `at most ${x!.shape[axis]!}`,
      });
    }
    const strides = stridesOf(x!.shape);
    const base = first * strides[axis]!;
    const data = new Float64Array(sizeOfShape(shape!));
    forEachIndex(shape!, [strides.with(axis, strides[axis]! * step)], (flat, [from]) => {
      data[flat] = x!.data[base + from!]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { axis, start, end, step } = node.attrs;
    const toEnd = sameDim(end, node.inputTypes[0]!.shape[axis]!);
    const ends = toEnd ? emit.constant("int64", [FAR]) : emit.shape([end]);
    const [axes, steps] = [emit.constant("int64", [axis]), emit.constant("int64", [step])];
    emit.node("Slice", [node.inputs[0]!, emit.shape([start]), ends, axes, steps], {}, node.outputs[0]);
  },
  vjp: ({ inputs: [x], cotangents: [dy], attrs: { axis, start, step } }) => {
    const whole = x!.type.shape[axis]!;
    const count = dy!.type.shape[axis]!;
    const spread = interleave(dy!, axis, step);
    const after = subDim(whole, addDim(start, mulDim(count, dim(step))));
    // The zeros behind the last element may reach beyond x.
    const beyond = after.size !== undefined && after.size < 0;
    const inside = beyond ? slice(spread, axis, 0, subDim(whole, start)) : spread;
    return [pad(inside, axis, start, beyond ? 0 : after)];
  },
};

/**
 * @param start first position; negative numbers count from the end. A name or `Dim` is known when the graph runs.
 * @param end position after the last; as `start`. Default: the end of the axis.
 * @param step distance between positions, at least 1; other than 1, the result's size must be known or divide evenly
 * @throws ShapeError if the range leaves the axis
 */
export function slice(x: Value, axis: number, start: DimLike = 0, end?: DimLike, step = 1): Value {
  const at = normalizeAxis(axis, x.type.shape.length, "slice");
  const whole = x.type.shape[at]!;
  const from = bound(start, whole);
  const to = end === undefined ? whole : bound(end, whole);
  const toEnd = sameDim(to, whole);
  if (from.size === 0 && toEnd && step === 1) return x;
  // Positions must follow from the sizes of x and of the result: where neither end tells them, cut twice.
  if (from.size === undefined && (!toEnd || step !== 1)) {
    return slice(slice(x, at, from), at, 0, subDim(to, from), step);
  }
  return apply(sliceOp, [x], { axis: at, start: from, end: to, step });
}

function bound(value: DimLike, whole: Dim): Dim {
  return typeof value === "number" && value < 0 ? subDim(whole, dim(-value)) : dim(value);
}

function stepped(span: Dim, step: number): Dim {
  if (step === 1) return span;
  return span.size === undefined ? divideDim(span, dim(step), "slice") : dim(Math.ceil(span.size / step));
}

/** x with `step - 1` zeros after each element of the axis. */
function interleave(x: Value, axis: number, step: number): Value {
  const shape = x.type.shape;
  if (step === 1) return x;
  const column = reshape(x, shape.toSpliced(axis + 1, 0, dim(1)));
  return reshape(pad(column, axis + 1, 0, step - 1), shape.with(axis, mulDim(shape[axis]!, dim(step))));
}
