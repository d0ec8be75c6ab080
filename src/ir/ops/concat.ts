/** Values one after another along an axis. */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { forEachIndex, sizeOfShape, stridesOf } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { addDim, dim, type Dim, named, normalizeAxis, printShape, sameDim } from "../shape.ts";
import { expectSameDType } from "./elementwise.ts";
import { slice } from "./slice.ts";

type ConcatAttrs = { readonly axis: number };

export const concatOp: Op<ConcatAttrs> = {
  name: "concat",
  infer(inputs, { axis }) {
    expectSameDType("concat", inputs);
    const shapes = inputs.map((input) => input.shape);
    const [first, ...rest] = shapes as [(typeof shapes)[number], ...typeof shapes];
    const shape = rest.reduce((sum, other) => {
      if (other.length !== sum.length || !other.every((d, i) => i === axis || sameDim(d, sum[i]!))) {
        throw new ShapeError({
          where: "concat",
          what: `shapes differ in more than axis ${axis}`,
          got: shapes.map(printShape).join(" and "),
        });
      }
      return sum.map((d, i) => (i === axis ? addDim(d, other[i]!) : named(d, other[i]!)));
    }, first);
    return [{ dtype: inputs[0]!.dtype, shape }];
  },
  evaluate(inputs, { axis }, [shape]) {
    const strides = stridesOf(shape!);
    const data = new Float64Array(sizeOfShape(shape!));
    let base = 0;
    for (const x of inputs) {
      forEachIndex(x.shape, [strides], (flat, [to]) => {
        data[base + to!] = x.data[flat]!;
      });
      base += x.shape[axis]! * strides[axis]!;
    }
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    emit.node("Concat", node.inputs, { axis: node.attrs.axis }, node.outputs[0]);
  },
  vjp({ inputs, cotangents: [dy], needs, attrs: { axis } }) {
    let start: Dim = dim(0);
    return inputs.map((x, i) => {
      const from = start;
      start = addDim(start, x.type.shape[axis]!);
      return needs[i] ? slice(dy!, axis, from, start) : undefined;
    });
  },
};

/** A single value is returned as it is. @throws ShapeError if shapes differ in another axis, or there are no values */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0];
  if (first === undefined) throw new ShapeError({ where: "concat", what: "needs at least one value", got: 0 });
  const at = normalizeAxis(axis, first.type.shape.length, "concat");
  return values.length === 1 ? first : apply(concatOp, values, { axis: at });
}
