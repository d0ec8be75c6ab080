/** A thread that decomposes matrices, one after the other. Started by `openDecomposer`. */
import { parentPort, workerData } from "node:worker_threads";
import { singularValues, svd, type Svd } from "../linear-algebra/svd.ts";
import { answerOf, type DecomposeAnswer, type DecomposeRequest, type ThreadSettings } from "./decompose-protocol.ts";
import { DecompositionCache } from "./decomposition-cache.ts";

const { cacheDir, cacheBytes, openedMs } = workerData as ThreadSettings;
const cache = cacheDir === undefined ? undefined : new DecompositionCache(cacheDir, cacheBytes, openedMs);

parentPort!.on("message", (request: DecomposeRequest) => {
  const answer = decompose(request);
  const buffers =
    "svd" in answer ? [answer.svd.values, ...answer.svd.left, ...answer.svd.right].map(({ buffer }) => buffer) : [];
  parentPort!.postMessage(answer, [...new Set(buffers as ArrayBuffer[])]);
});

function decompose({ keep, ...asked }: DecomposeRequest): DecomposeAnswer {
  try {
    const key = cache?.keyOf(asked);
    const known = key === undefined ? undefined : cache!.read(key, asked);
    if (known !== undefined) return { svd: known, fromCache: true };
    const found: Svd =
      asked.rank === 0 ? { values: singularValues(asked), left: [], right: [] } : svd(asked, asked.rank);
    if (key !== undefined && keep) cache!.write(key, asked, found);
    return { svd: found, fromCache: false };
  } catch (error) {
    return answerOf(error);
  }
}
