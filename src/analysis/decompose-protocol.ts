/** What a thread that decomposes is asked, and what it answers. */
import { EngineError, LowrankError, NumericError, type Problem, ShapeError } from "../errors.ts";
import type { Svd } from "../linear-algebra/svd.ts";

export interface ThreadSettings {
  /** Folder of the cache; undefined: none. */
  readonly cacheDir: string | undefined;
  readonly cacheBytes: number;
  /** Entries that were used later than this are kept: they are of this run. Unix time. */
  readonly openedMs: number;
}

export interface DecomposeRequest {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;
  /** Of the vectors that are wanted; 0: only values, all of them. */
  readonly rank: number;
  readonly keep: boolean;
}

export type DecomposeAnswer =
  { readonly svd: Svd; readonly fromCache: boolean } | { readonly code: string | undefined; readonly problem: Problem };

/** An error on its way between threads, where classes are lost. */
export function answerOf(error: unknown): DecomposeAnswer {
  if (!(error instanceof LowrankError)) {
    return { code: undefined, problem: { what: error instanceof Error ? error.message : String(error) } };
  }
  const { cause: _, ...problem } = error.problem;
  return { code: error.code, problem };
}

export function errorOf(code: string | undefined, problem: Problem): Error {
  if (code === "NUMERIC") return new NumericError(problem);
  if (code === "SHAPE") return new ShapeError(problem);
  return new EngineError({ ...problem, where: problem.where ?? "a thread that decomposes matrices" });
}
