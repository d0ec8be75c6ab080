/** Measures of whole matrices against NumPy's and PEFT's numbers. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  adapterOverlap,
  amplification,
  cosines,
  countIntruders,
  difference,
  effectiveRank,
  findIntruders,
  learnedSubspace,
  maxCosines,
  neighbour,
  numericRank,
  pooled,
  scaled,
  spearman,
  stableRank,
  subspaceSimilarity,
  updateNorms,
} from "../../../src/analysis/measures/index.ts";
import { factorize } from "../../../src/adapters/factorize.ts";
import { norm } from "../../../src/linear-algebra/columns.ts";
import { type Matrix, type Svd, svd } from "../../../src/linear-algebra/svd.ts";
import { close, closeRows, columnsOf, matrixOf, MEASURES, PEFT, vectorsOf } from "./golden-measures.ts";

/**
 * svd goes through squares of σ: a vector whose σ is σ₁ / 100 is right to about 1e-16 · 10⁴, times the same over the gap to the
 * next one. The goldens' σ lie within a factor of 30, a few percent apart.
 */
const VECTORS = 1e-9;
const VALUES = 1e-11;

describe("measures against NumPy", () => {
  for (const [name, golden] of Object.entries(MEASURES.cases)) {
    const base = matrixOf(golden.shape, golden.base);
    const tuned = matrixOf(golden.shape, golden.tuned);
    const delta = difference(tuned, base);
    const [baseSvd, tunedSvd, deltaSvd] = [svd(base), svd(tuned), svd(delta)];

    it(`${name}: |U0ᵀU|, its maxima and counts of intruders, on both sides`, () => {
      for (const side of ["left", "right"] as const) {
        const want = golden.sides[side];
        const matrix = cosines(baseSvd[side], tunedSvd[side]);
        close(matrix.data, want.cosines.flat(), VECTORS, `${side} cosines`);
        const { max, nearest } = maxCosines(matrix);
        close(max, want.max_cos, VECTORS, `${side} max`);
        assert.deepEqual(nearest, want.nearest);
        closeRows(pooled(matrix, 7), want.pooled, VECTORS, `${side} pooled`);
        for (const { k, epsilon, count } of want.counts) {
          assert.equal(countIntruders(max, k, epsilon), count, `k ${k}, epsilon ${epsilon}`);
          const found = findIntruders({ base: baseSvd, tuned: tunedSvd, k, epsilon, side });
          assert.equal(found.count, count);
          assert.equal(found.spans, want.spans);
          assert.equal(found.found.length, count);
        }
        const found = findIntruders({ base: baseSvd, tuned: tunedSvd, side });
        assert.deepEqual(
          found.found.map(({ rank }) => rank),
          want.ranks,
        );
        close(found.maxCos, want.max_cos, VECTORS);
        for (const { rank, sigma, gap } of found.found) {
          close([sigma], [golden.sigma_tuned[rank - 1]!], VALUES);
          close([gap!], [golden.sigma_tuned[rank - 1]! - golden.sigma_tuned[rank]!], VALUES);
        }
      }
    });

    it(`${name}: ranks and norms`, () => {
      close(baseSvd.values, golden.sigma_base, VALUES);
      const sigmas = [golden.sigma_base, golden.sigma_tuned, golden.sigma_delta];
      close(sigmas.map(effectiveRank), golden.effective_ranks, 1e-12);
      close([stableRank(golden.sigma_delta)], [golden.stable_rank_delta], 1e-12);
      assert.deepEqual(
        // NumPy's tolerance is that of its own data type.
        sigmas.map((values) => numericRank(values, golden.shape, { epsilon: 2 ** -52 })),
        golden.numeric_ranks,
      );
      const { norms } = golden;
      for (const got of [updateNorms(base, delta), updateNorms(base, tuned, "tuned")]) {
        close(
          [got.frobenius, got.base, got.relative!, got.maxAbs, got.meanAbs, got.rms],
          [norms.frobenius, norms.base, norms.frobenius / norms.base, norms.max_abs, norms.mean_abs, norms.rms],
          1e-12,
        );
      }
    });

    it(`${name}: amplification and subspace similarity`, () => {
      const want = golden.amplification;
      for (const known of [baseSvd, undefined]) {
        const got = amplification(base, deltaSvd, want.r, 0, known);
        assert.equal(got.r, want.r);
        // Directions of ΔW past a planted rank are those of rounding to four decimals: see below.
        close([got.along_delta], [want.along_delta], 1e-5);
        close([got.factor!], [want.factor], 1e-5 * want.factor);
        close([got.along_base, got.random_expected], [want.along_base, want.random_expected], VALUES);
      }
      // Past a planted rank the directions of ΔW are those of rounding to four decimals.
      const planted = golden.sigma_delta.filter((value) => value > 1e-3 * golden.sigma_delta[0]!).length;
      const first = (rows: readonly (readonly number[])[]) => rows.map((row) => row.slice(0, planted));
      closeRows(first(subspaceSimilarity(baseSvd.right, deltaSvd.right)), first(golden.phi_right), 10 * VECTORS);
    });

    it(`${name}: W scaled along an intruder, and along its neighbour`, () => {
      const places = findIntruders({ base: baseSvd, tuned: tunedSvd }).found.map(({ rank }) => rank - 1);
      const [intruder, other] = golden.scaled;
      const [first] = places;
      if (first !== undefined) {
        assert.equal(first, intruder!.index);
        assert.equal(neighbour(first, places, tunedSvd.values.length), other!.index);
      }
      for (const { index, lambda, W } of golden.scaled) {
        close(scaled(tuned, tunedSvd, [index], lambda).data, W, 10 * VECTORS);
      }
    });
  }

  it("two low-rank updates: overlap, and one as the learned part of the other", () => {
    const { B1, A1, B2, A2, left, right, cosine, learned } = MEASURES.overlap;
    const [first, second] = [productSvd(B1, A1), productSvd(B2, A2)];
    const overlap = adapterOverlap(first, second);
    assert.deepEqual(overlap.ranks, [4, 2]);
    closeRows(overlap.left.grid, left, VECTORS);
    closeRows(overlap.right.grid, right, VECTORS);
    close([overlap.cosine, overlap.left.similarity], [cosine, left.at(-1)!.at(-1)!], VECTORS);
    close([overlap.left.random, overlap.right.random], [4 / 14, 4 / 19], 0);
    const got = learnedSubspace(second, first);
    closeRows(got.left.grid, learned.left, VECTORS);
    closeRows(got.right.grid, learned.right, VECTORS);
    close(
      [got.captured, got.best, got.distance, got.cosine],
      [learned.captured, learned.best, learned.distance, cosine],
      VECTORS,
    );
  });

  it("Spearman's rho and p", () => {
    for (const { x, y, rho, t, exact } of MEASURES.spearman) {
      const got = spearman(x, y, "t");
      close([got.rho, got.p], [rho, t], 1e-12);
      if (exact === undefined) assert.equal(spearman(x, y).method, "t");
      else close([spearman(x, y).p], [exact], 1e-12);
    }
  });
});

describe("measures against PEFT", () => {
  for (const [name, { shape, W, A, B, count, delta }] of Object.entries(PEFT.layers)) {
    it(`${name}: intruders, and the repaired update`, () => {
      const { k, epsilon, lambda, r, alpha } = PEFT;
      const base = matrixOf(shape, W);
      const update = product(shape, B, A, alpha / r);
      const merged: Matrix = { ...base, data: base.data.map((value, i) => value + update[i]!) };
      const tuned = svd(merged);
      const found = findIntruders({ base: svd(base), tuned, k, epsilon });
      assert.equal(found.count, count);
      const places = found.found.map(({ rank }) => rank - 1);
      const repaired = difference(scaled(merged, tuned, places, lambda), base);
      // Without intruders PEFT leaves the adapter alone, and else cuts it to its rank.
      const best = svd(repaired, r);
      const kept = product(
        shape,
        rowsOf(best.left, best.values),
        best.right.map((v) => Array.from(v)),
        1,
      );
      close(kept, delta, 1e-8);
    });
  }

  it("plants intruders in some layers and none in another", () => {
    const counts = Object.values(PEFT.layers).map(({ count }) => count);
    assert.ok(counts.some((count) => count > 1) && counts.includes(0));
  });
});

function productSvd(B: readonly (readonly number[])[], A: readonly (readonly number[])[]): Svd {
  const { B: scaledLeft, A: right, singularValues } = factorize(columnsOf(B), vectorsOf(A), A.length);
  const values = Float64Array.from(singularValues.slice(0, right.length));
  return { values, left: scaledLeft.map((column) => column.map((value) => value / norm(column))), right };
}

/** scale · B A, row-major. */
function product(
  [rows, columns]: readonly [number, number],
  B: readonly (readonly number[])[],
  A: readonly (readonly number[])[],
  scale: number,
): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return scale * B[i]!.reduce((sum, b, k) => sum + b * A[k]![j]!, 0);
  });
}

/** Rows of U diag(σ). */
function rowsOf(left: readonly Float64Array[], values: Float64Array): number[][] {
  return Array.from(left[0]!, (_, i) => left.map((u, k) => u[i]! * values[k]!));
}
