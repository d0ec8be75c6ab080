/** Decompositions of whole models: many matrices, in other threads, with what was computed before taken from a cache. */
import type { Matrix, Svd } from "../linear-algebra/svd.ts";

export interface Decomposer {
  /** Matrices that may be given before the first one is done: more would only wait, and take memory. */
  readonly ahead?: number;
  /**
   * The largest singular values and their vectors. The matrix may be changed again once the promise is settled.
   * @param rank how many; default: all
   * @throws NumericError if a number of the matrix is not finite, ShapeError if there are too many or too few, EngineError
   *   if the thread fails or the decomposer has been disposed, the reason of its signal
   */
  svd(matrix: Matrix, rank?: number, options?: DecomposeOptions): Promise<Svd>;
  /** All singular values, in descending order. @throws as `svd` does */
  singularValues(matrix: Matrix, options?: DecomposeOptions): Promise<Float64Array>;
  dispose(): Promise<void>;
}

export interface DecomposeOptions {
  /**
   * Whether the result goes into the cache. True for what will be asked again, a base's weights; false for weights that are
   * still being tuned and would only take the space. What is in the cache is used either way. Default: true.
   */
  readonly keep?: boolean;
}
