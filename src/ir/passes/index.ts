/** Passes that every graph goes through before an engine sees it, in order. */
import type { Graph } from "../graph.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadCode } from "./dead-code.ts";
import { foldConstants } from "./fold-constants.ts";
import { fuseGemm } from "./fuse-gemm.ts";
import { orderInPlace } from "./in-place.ts";
import { moveRowScales } from "./move-row-scales.ts";
import { reassociate } from "./reassociate.ts";
import { tileUpdates } from "./tile-updates.ts";

export interface PassOptions {
  /** Where the graph will run: only the CPU computes in the arrays of the states, and has a cache to tile for. */
  readonly device: "cpu" | "webgpu" | "cuda";
  /** Typical sizes of named dimensions, for choices by cost. */
  readonly typicalSizes: Readonly<Record<string, number>>;
  /** Whether products of matrices may be put into their cheapest order. Default: true. */
  readonly reassociate?: boolean;
}

export function optimize(graph: Graph, { device, typicalSizes, reassociate: reorder = true }: PassOptions): Graph {
  let result = removeDeadCode(graph);
  result = foldConstants(result);
  result = mergeCommonSubexpressions(result);
  result = moveRowScales(result, typicalSizes);
  if (reorder) result = reassociate(result, typicalSizes);
  result = mergeCommonSubexpressions(result);
  if (device === "cpu") result = tileUpdates(orderInPlace(result));
  return removeDeadCode(fuseGemm(result));
}
