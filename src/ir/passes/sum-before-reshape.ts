/**
 * Adds before elements are seen in another shape: reshape(x) + reshape(y) = reshape(x + y), for x and y of one shape. What
 * flows back from layers that read the same rows is then a sum of matrices, which products can be put into.
 */
import type { Graph, Value } from "../graph.ts";
import { add } from "../ops/add.ts";
import { reshape } from "../ops/reshape.ts";
import { sameShape } from "../shape.ts";
import { removeDeadCode } from "./dead-code.ts";
import { rewrite } from "./rewrite.ts";

export function sumBeforeReshape(graph: Graph): Graph {
  const written = new Set(graph.updates.values());
  const summed = rewrite(graph, {
    node(node, inputs, into) {
      // New states are written over old ones, which a view of something else cannot be.
      if (node.op.name !== "add" || written.has(node.outputs[0]!)) return undefined;
      const [x, y] = inputs.map(beforeReshape);
      if (x === undefined || y === undefined || !sameShape(x.type.shape, y.type.shape)) return undefined;
      const { shape } = node.outputs[0]!.type;
      // Shapes that only fit each other when they are stretched.
      if (!inputs.every(({ type }) => sameShape(type.shape, shape))) return undefined;
      return [into.insteadOf(node, () => reshape(add(x, y), shape))];
    },
  });
  return removeDeadCode(summed);
}

function beforeReshape({ producer }: Value): Value | undefined {
  return producer?.op.name === "reshape" ? producer.inputs[0] : undefined;
}
