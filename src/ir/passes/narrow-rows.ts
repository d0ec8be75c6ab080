/**
 * Quantises rows to 7 bits instead of 8, for engines whose products of bytes saturate: instructions of x86 processors before
 * VNNI add two products of an unsigned and a signed byte in 16 bits, and 2 · 255 · 127 does not fit there. With rows from
 * 1 to 129 around 65, 2 · 129 · 127 does, and every sum is exact.
 *
 * Whether an engine does so is tried, not looked up: {@link saturates}.
 */
import type { DType, TypedArray } from "../dtype.ts";
import { apply, Graph, type Node } from "../graph.ts";
import { integerMatmulOp } from "../ops/integer-matmul.ts";
import type { Op } from "../op.ts";
import { BYTE_LEVELS, quantizeRowsOp } from "../ops/quantize-rows.ts";
import { rowRestOp } from "../ops/row-rest.ts";
import { dim } from "../shape.ts";
import { rewrite } from "./rewrite.ts";

/** Of rows in 7 bits: their bytes go from 1 to 129. */
export const NARROW_LEVELS = 64;

const QUANTISED: ReadonlySet<Op> = new Set<Op>([quantizeRowsOp, rowRestOp, integerMatmulOp]);

/** Whether the graph has products whose exactness depends on the engine. */
export function hasIntegerProducts(graph: Graph): boolean {
  return graph.nodes.some(({ op }) => op === integerMatmulOp);
}

export function narrowRows(graph: Graph): Graph {
  return rewrite(graph, {
    node: (node, inputs, into) =>
      isQuantised(node)
        ? into.insteadOf(node, () => into.apply(node.op, inputs, { ...node.attrs, levels: NARROW_LEVELS }))
        : undefined,
  });
}

function isQuantised({ op }: Node): boolean {
  return QUANTISED.has(op);
}

/** Long enough for every way in which kernels take the inner dimension apart. */
const INNER = 256;
const [ROWS, COLUMNS] = [8, 32];
/** The largest bytes that rows and weights have. */
const [ROW_BYTE, WEIGHT_BYTE] = [2 * BYTE_LEVELS + 1, BYTE_LEVELS];

/** Runs a graph once, on the engine that is asked about. */
export type RunOnce = (
  graph: Graph,
  feeds: Readonly<Record<string, { dtype: DType; shape: readonly number[]; data: TypedArray }>>,
) => Promise<Readonly<Record<string, { readonly data: ArrayLike<number | bigint> }>>>;

/** Whether products of the largest bytes come out wrong. */
export async function saturates(run: RunOnce): Promise<boolean> {
  const graph = new Graph();
  const [M, K, N] = [dim(ROWS), dim(INNER), dim(COLUMNS)];
  const x = graph.feed("x", { dtype: "float32", shape: [M, K] });
  const q = graph.feed("q", { dtype: "uint8", shape: [M, K] });
  const scale = graph.feed("scale", { dtype: "float32", shape: [M, dim(1)] });
  const W = graph.feed("W", { dtype: "int8", shape: [K, N] });
  const attrs = { transB: false, levels: BYTE_LEVELS, terms: 1 as const };
  graph.output("product", apply(integerMatmulOp, [x, q, scale, W], attrs));
  const { product } = await run(graph, {
    x: { dtype: "float32", shape: [ROWS, INNER], data: new Float32Array(ROWS * INNER) },
    q: { dtype: "uint8", shape: [ROWS, INNER], data: new Uint8Array(ROWS * INNER).fill(ROW_BYTE) },
    scale: { dtype: "float32", shape: [ROWS, 1], data: new Float32Array(ROWS).fill(1) },
    W: { dtype: "int8", shape: [INNER, COLUMNS], data: new Int8Array(INNER * COLUMNS).fill(WEIGHT_BYTE) },
  });
  const exact = INNER * (ROW_BYTE - BYTE_LEVELS - 1) * WEIGHT_BYTE;
  return Array.from(product!.data).some((element) => Number(element) !== exact);
}
