/** Evaluates nodes whose inputs are all constants, as long as the result stays small: masks, scales, reshaped ones. */
import { elementBytes } from "../dtype.ts";
import type { Graph, Value } from "../graph.ts";
import { ndarray, sizeOfShape } from "../ndarray.ts";
import { constant, type ConstantAttrs } from "../ops/constant.ts";
import { rewrite } from "./rewrite.ts";

/** Elements beyond which a constant is cheaper to compute than to store in the model. */
const MAX_ELEMENTS = 1024;

export function foldConstants(graph: Graph): Graph {
  return rewrite(graph, {
    node(node, inputs, into) {
      if (node.op.name === "constant" || inputs.length === 0 || !inputs.every(isConstant)) return undefined;
      // Values are computed in float64: roundings to 16 bits on the way are the engine's.
      if ([...inputs, ...node.outputs].some(({ type }) => elementBytes(type.dtype) === 2)) return undefined;
      const shapes = node.outputs.map((output) => output.type.shape.map((d) => d.size));
      const known = shapes.filter((shape): shape is number[] => shape.every((size) => size !== undefined));
      if (known.length < shapes.length || known.some((shape) => sizeOfShape(shape) > MAX_ELEMENTS)) return undefined;
      const arrays = inputs.map((input) => {
        const { shape, values } = input.producer!.attrs as ConstantAttrs;
        return ndarray(shape, values);
      });
      return node.op
        .evaluate(arrays, node.attrs, known)
        .map(({ shape, data }, i) => constant(into, node.outputs[i]!.type.dtype, shape, [...data]));
    },
  });
}

function isConstant(value: Value): boolean {
  return value.producer?.op.name === "constant";
}
