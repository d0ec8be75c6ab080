/** Passes that every graph goes through before an engine sees it, in order. */
import type { Graph } from "../graph.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadCode } from "./dead-code.ts";
import { foldConstants } from "./fold-constants.ts";
import { fuseGemm } from "./fuse-gemm.ts";
import { orderInPlace } from "./in-place.ts";
import { moveRowScales } from "./move-row-scales.ts";
import { narrowRows } from "./narrow-rows.ts";
import { reassociate } from "./reassociate.ts";
import { stackProducts } from "./stack-products.ts";
import { sumBeforeReshape } from "./sum-before-reshape.ts";
import { tileUpdates } from "./tile-updates.ts";

export interface PassOptions {
  /** Where the graph will run: only the CPU computes in the arrays of the states, and has a cache to tile for. */
  readonly device: "cpu" | "webgpu" | "cuda";
  /** Typical sizes of named dimensions, for choices by cost. */
  readonly typicalSizes: Readonly<Record<string, number>>;
  /** Whether the engine's products of bytes saturate: see narrow-rows.ts. Default: false. */
  readonly narrowRows?: boolean;
  /** Whether products of matrices may be put into their cheapest order. Default: true. */
  readonly reassociate?: boolean;
}

export function optimize(graph: Graph, options: PassOptions): Graph {
  const { device, typicalSizes, narrowRows: narrow = false, reassociate: reorder = true } = options;
  let result = narrow ? narrowRows(graph) : removeDeadCode(graph);
  result = foldConstants(result);
  result = mergeCommonSubexpressions(result);
  result = moveRowScales(result, typicalSizes);
  if (reorder) result = reassociate(result, typicalSizes);
  result = sumBeforeReshape(mergeCommonSubexpressions(result));
  result = mergeCommonSubexpressions(stackProducts(result, typicalSizes));
  if (device === "cpu") result = tileUpdates(orderInPlace(result));
  return removeDeadCode(fuseGemm(result));
}
