/** Sizes of dimensions as values. */
import type { DType } from "../dtype.ts";
import type { Graph, Value } from "../graph.ts";
import type { Dim } from "../shape.ts";
import { scalar } from "./constant.ts";
import { expand } from "./expand.ts";
import { mul } from "./mul.ts";
import { reduceSum } from "./reduce-sum.ts";

/** The product of the sizes of `dims` as a scalar. A size that is known only when the graph runs is a sum of ones. */
export function sizeValue(graph: Graph, dims: readonly Dim[], dtype: DType): Value {
  const sizes = dims.map((d) =>
    d.size === undefined ? reduceSum(expand(scalar(graph, 1, dtype), [d])) : scalar(graph, d.size, dtype),
  );
  return sizes.reduce((product, size) => mul(product, size));
}
