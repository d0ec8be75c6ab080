/** What a graph costs, from its shapes. */
import { type Graph, type Node, reachable, results } from "./graph.ts";
import type { MapRowsAttrs } from "./ops/map-rows.ts";
import type { MatMulAttrs } from "./ops/matmul.ts";
import { type DimSizes, sizesOf } from "./shape.ts";

/** Operations of all products of matrices in one run, those of integers too (2 per multiplication and addition). */
export function matmulFlops(graph: Graph, sizes: DimSizes = {}): number {
  return reachable(graph, results(graph)).reduce((sum, node) => sum + nodeFlops(node, sizes), 0);
}

function nodeFlops(node: Node, sizes: DimSizes): number {
  if (node.op.name === "mapRows") {
    const runs = node.inputs[0]!.type.shape[0]!.size!;
    return runs * matmulFlops((node.attrs as MapRowsAttrs).body, sizes);
  }
  if (node.op.name === "attention") {
    // Scores and their sums of values: T · S products of Dh and of Dv numbers per head.
    const [q, , v] = node.inputs;
    const [B, H, T, Dh] = sizesOf(q!.type.shape, sizes) as [number, number, number, number];
    const [, , S, Dv] = sizesOf(v!.type.shape, sizes) as [number, number, number, number];
    return 2 * B * H * T * S * (Dh + Dv);
  }
  if (!["matmul", "gemm", "integerMatmul", "encodedMatmul"].includes(node.op.name)) return 0;
  const [a] = node.inputs;
  const inner = sizesOf(a!.type.shape, sizes).at((node.attrs as MatMulAttrs).transA ? -2 : -1)!;
  return 2 * inner * sizesOf(node.outputs[0]!.type.shape, sizes).reduce((x, y) => x * y, 1);
}
