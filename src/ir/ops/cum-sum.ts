/** Running sums of x along an axis: y[i] = Σ x[j] over j <= i; `exclusive`: j < i; `reverse`: counted from the end. */
import { apply, type Value } from "../graph.ts";
import type { Op } from "../op.ts";
import { sizeOfShape } from "../ndarray.ts";
import { normalizeAxis } from "../shape.ts";

export type CumSumAttrs = { readonly axis: number; readonly exclusive: boolean; readonly reverse: boolean };

export const cumSumOp: Op<CumSumAttrs> = {
  name: "cumSum",
  infer: ([x]) => [x!],
  evaluate([x], { axis, exclusive, reverse }, [shape]) {
    const size = shape![axis]!;
    const inner = sizeOfShape(shape!.slice(axis + 1));
    const data = new Float64Array(x!.data.length);
    for (let line = 0; line < x!.data.length; line++) {
      if (Math.floor(line / inner) % size !== 0) continue;
      let sum = 0;
      for (let i = 0; i < size; i++) {
        const at = line + (reverse ? size - 1 - i : i) * inner;
        if (exclusive) data[at] = sum;
        sum += x!.data[at]!;
        if (!exclusive) data[at] = sum;
      }
    }
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { axis, exclusive, reverse } = node.attrs;
    const attrs = { exclusive: Number(exclusive), reverse: Number(reverse) };
    emit.node("CumSum", [node.inputs[0]!, emit.constant("int64", axis)], attrs, node.outputs[0]);
  },
  vjp: ({ cotangents: [dy], attrs: { axis, exclusive, reverse } }) => [
    cumSum(dy!, axis, { exclusive, reverse: !reverse }),
  ],
};

/** Defaults: inclusive, from the front. */
export function cumSum(x: Value, axis: number, options: Partial<Omit<CumSumAttrs, "axis">> = {}): Value {
  return apply(cumSumOp, [x], {
    axis: normalizeAxis(axis, x.type.shape.length, "cumSum"),
    exclusive: options.exclusive ?? false,
    reverse: options.reverse ?? false,
  });
}
