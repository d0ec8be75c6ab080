/** Singular vectors of updated matrices, in the base's coordinates, against decompositions of the sums. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cosines, maxCosines } from "../../src/analysis/measures/index.ts";
import { updatedSvd } from "../../src/analysis/updated-svd.ts";
import type { Columns } from "../../src/linear-algebra/columns.ts";
import { type Matrix, type Svd, svd } from "../../src/linear-algebra/svd.ts";
import { Random } from "../../src/random.ts";

function vectors(count: number, length: number, seed: number, scale = 1): Columns {
  const random = new Random(seed);
  return Array.from({ length: count }, () => Float64Array.from({ length }, () => scale * random.normal()));
}

function sum(base: Matrix, B: Columns, A: Columns): Matrix {
  const data = Float64Array.from(base.data);
  for (const [k, b] of B.entries()) {
    for (let i = 0; i < base.rows; i++) {
      for (let j = 0; j < base.columns; j++) data[i * base.columns + j]! += b[i]! * A[k]![j]!;
    }
  }
  return { ...base, data };
}

function expectSame(base: Svd, tuned: Svd, got: ReturnType<typeof updatedSvd>, count: number): void {
  assert.equal(got.values.length, count);
  for (let i = 0; i < count; i++) {
    assert.ok(Math.abs(got.values[i]! - tuned.values[i]!) < 1e-9 * tuned.values[0]!, `σ ${i}`);
  }
  for (const side of ["left", "right"] as const) {
    const n = got.baseVectors;
    const want = maxCosines(cosines(base[side].slice(0, n), tuned[side].slice(0, count)));
    got[side].forEach((vector, j) => {
      const mine = vector.subarray(0, n).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      assert.ok(Math.abs(mine - want.max[j]!) < 1e-6, `${side} ${j}: ${mine} and ${want.max[j]}`);
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-9);
    });
  }
}

describe("updatedSvd", () => {
  for (const [rows, columns, r, scale] of [
    [60, 60, 4, 0.3],
    [90, 40, 3, 0.6],
    [40, 90, 5, 0.5],
    [128, 128, 8, 0.05],
    [17, 13, 13, 1],
  ] as const) {
    it(`[${rows}, ${columns}], ${r} directions more: values and cosines of the first ten, on both sides`, () => {
      const random = new Random(rows);
      const W: Matrix = { rows, columns, data: Float32Array.from({ length: rows * columns }, () => random.normal()) };
      const [B, A] = [vectors(r, rows, 1, scale), vectors(r, columns, 2, scale)];
      const base = svd(W);
      expectSame(base, svd(sum(W, B, A)), updatedSvd(base, { B, A }, 10), 10);
    });
  }

  it("finds what the update brings where the base has nothing: a base of low rank, and of rank 0", () => {
    const W = sum({ rows: 30, columns: 20, data: new Float64Array(600) }, vectors(3, 30, 3), vectors(3, 20, 4));
    const base = svd(W);
    const [B, A] = [vectors(2, 30, 5), vectors(2, 20, 6)];
    const got = updatedSvd(base, { B, A }, 10);
    assert.equal(got.baseVectors, 3);
    const tuned = svd(sum(W, B, A));
    for (let i = 0; i < 5; i++) assert.ok(Math.abs(got.values[i]! - tuned.values[i]!) < 1e-9);
    assert.equal(got.values.length, 5);
    const zero = svd({ rows: 4, columns: 6, data: new Float64Array(24) });
    const alone = updatedSvd(zero, { B: [Float64Array.of(0, 3, 0, 0)], A: [Float64Array.of(0, 0, 0, 0, 2, 0)] }, 2);
    assert.ok(Math.abs(alone.values[0]! - 6) < 1e-9 && alone.baseVectors === 0);
  });

  it("without an update it is the base", () => {
    const random = new Random(9);
    const base = svd({ rows: 50, columns: 45, data: Float64Array.from({ length: 2250 }, () => random.normal()) });
    const zeros = updatedSvd(base, { B: [new Float64Array(50)], A: [new Float64Array(45)] }, 6);
    const none = updatedSvd(base, { B: [], A: [] }, 6);
    for (const got of [zeros, none]) {
      got.left.forEach((vector, j) => assert.ok(Math.abs(Math.abs(vector[j]!) - 1) < 1e-9));
      assert.ok(got.values.every((value, i) => Math.abs(value - base.values[i]!) < 1e-9));
    }
  });
});
