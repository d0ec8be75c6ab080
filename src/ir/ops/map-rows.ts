/**
 * Runs a body once for every slice of its first inputs along their first axis, and stacks what it returns; the other
 * inputs are seen whole by every run. ONNX calls it Scan.
 *
 * Made by the pass that tiles large updates (ir/passes/tile-updates.ts), after differentiation.
 */
import { evaluate } from "../evaluate.ts";
import type { Graph, Value } from "../graph.ts";
import { type NdArray, sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";

export type MapRowsAttrs = {
  /** Its inputs are slices, then whole values; its outputs are slices of the results. */
  readonly body: Graph;
  /** How many inputs are sliced. */
  readonly sliced: number;
};

export const mapRowsOp: Op<MapRowsAttrs> = {
  name: "mapRows",
  infer: ([first], { body }) =>
    [...body.outputs.values()].map(({ type }) => ({ dtype: type.dtype, shape: [first!.shape[0]!, ...type.shape] })),
  evaluate(inputs, { body, sliced }, shapes) {
    const targets = [...body.outputs.values()];
    const results = shapes.map((shape) => ({ shape, data: new Float64Array(sizeOfShape(shape)) }));
    for (let i = 0; i < inputs[0]!.shape[0]!; i++) {
      const given = body.inputs.map(({ value }, k): [Value, NdArray] => [
        value,
        k < sliced ? slice(inputs[k]!, i) : inputs[k]!,
      ]);
      const values = evaluate(body, new Map(given), targets);
      targets.forEach((target, k) => {
        const part = values.get(target)!.data;
        results[k]!.data.set(part, i * part.length);
      });
    }
    return results;
  },
  onnx(emit, node) {
    const { body, sliced } = node.attrs;
    emit.nodes("Scan", node.inputs, node.outputs, { body: { body, inputs: sliced }, num_scan_inputs: sliced });
  },
  vjp: "unsupported",
};

function slice(array: NdArray, index: number): NdArray {
  const shape = array.shape.slice(1);
  const length = sizeOfShape(shape);
  return { shape, data: array.data.subarray(index * length, (index + 1) * length) };
}
