/** Reference semantics of a graph: every node by its operation's `evaluate`, in float64. */
import { type Graph, reachable, type Value } from "./graph.ts";
import type { NdArray } from "./ndarray.ts";
import { type DimSizes, sizesOf } from "./shape.ts";

/**
 * Arrays of `targets` and of everything that they depend on.
 * @param inputs an array for every input that they depend on
 * @param sizes of the named dimensions
 */
export function evaluate(
  graph: Graph,
  inputs: ReadonlyMap<Value, NdArray>,
  targets: readonly Value[],
  sizes: DimSizes = {},
): Map<Value, NdArray> {
  const values = new Map(inputs);
  for (const node of reachable(graph, targets)) {
    const arrays = node.op.evaluate(
      node.inputs.map((input) => values.get(input)!),
      node.attrs,
      node.outputs.map((output) => sizesOf(output.type.shape, sizes)),
    );
    node.outputs.forEach((output, i) => values.set(output, arrays[i]!));
  }
  return values;
}
