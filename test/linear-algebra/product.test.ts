/** Products in blocks, against sums. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ShapeError } from "../../src/errors.ts";
import {
  columnVectors,
  innerProducts,
  multiply,
  multiplyTransposed,
  product,
  turned,
  viewOf,
} from "../../src/linear-algebra/product.ts";
import { type Matrix, transposed } from "../../src/linear-algebra/svd.ts";
import { Random } from "../../src/random.ts";

function random(rows: number, columns: number, seed: number): Matrix {
  const draw = new Random(seed);
  return { rows, columns, data: Float64Array.from({ length: rows * columns }, () => draw.normal()) };
}

function sum(A: Matrix, B: Matrix, i: number, j: number): number {
  let result = 0;
  for (let k = 0; k < A.columns; k++) result += A.data[i * A.columns + k]! * B.data[k * B.columns + j]!;
  return result;
}

/** Compares elements, all of a small product and every so many of a large one. */
function compare(C: Matrix, A: Matrix, B: Matrix): void {
  assert.deepEqual([C.rows, C.columns, C.data.length], [A.rows, B.columns, A.rows * B.columns]);
  const step = C.data.length > 40_000 ? 97 : 1;
  for (let at = 0; at < C.data.length; at += step) {
    const [i, j] = [Math.floor(at / C.columns), at % C.columns];
    const want = sum(A, B, i, j);
    assert.ok(Math.abs(C.data[at]! - want) <= 1e-12 * A.columns, `${i}, ${j}: ${C.data[at]} and not ${want}`);
  }
}

describe("products", () => {
  // Sizes around the tiles of 4, and around the blocks of 512, 1024 and 256.
  for (const [m, k, n] of [
    [1, 1, 1],
    [3, 5, 7],
    [4, 4, 4],
    [5, 2, 9],
    [13, 0, 6],
    [33, 257, 65],
    [517, 31, 1030],
    [130, 513, 6],
  ] as const) {
    it(`of ${m} × ${k} and ${k} × ${n}`, () => {
      const [A, B] = [random(m, k, 1), random(k, n, 2)];
      compare(multiply(A, B), A, B);
      compare(multiplyTransposed(A, { rows: n, columns: k, data: transposed(B) }), A, B);
      const columns = (matrix: Matrix) => columnVectors(matrix);
      if (k > 0) compare(innerProducts(columns({ rows: k, columns: m, data: transposed(A) }), columns(B)), A, B);
    });
  }

  it("are added to what is there, and to a part of it", () => {
    const [A, B] = [random(6, 5, 3), random(5, 7, 4)];
    const data = new Float64Array(200).fill(1);
    product(viewOf(A), viewOf(B), { data, offset: 22, rowStride: 20, add: -2 });
    for (let at = 0; at < 200; at++) {
      const [i, j] = [Math.floor((at - 22) / 20), (at - 22) % 20];
      const inside = at >= 22 && i < 6 && j < 7;
      const want = 1 - (inside ? 2 * sum(A, B, i, j) : 0);
      assert.ok(Math.abs(data[at]! - want) < 1e-13, `${at}`);
    }
  });

  it("have only their lower triangles where no more is wanted", () => {
    const X = random(40, 1100, 5);
    const data = new Float64Array(1100 * 1100).fill(NaN);
    product(turned(viewOf(X)), viewOf(X), { data, rowStride: 1100, lower: true });
    const turnedX: Matrix = { rows: 1100, columns: 40, data: transposed(X) };
    for (let i = 0; i < 1100; i++) {
      for (let j = i % 7; j <= i; j += 7) {
        assert.ok(Math.abs(data[i * 1100 + j]! - sum(turnedX, X, i, j)) < 1e-11, `${i}, ${j}`);
      }
    }
  });

  it("take float32", () => {
    const A: Matrix = { rows: 2, columns: 2, data: Float32Array.of(1, 2, 3, 4) };
    assert.deepEqual([...multiply(A, A).data], [7, 10, 15, 22]);
  });

  it("refuse matrices that do not fit", () => {
    assert.throws(() => multiply(random(2, 3, 1), random(2, 3, 2)), ShapeError);
    assert.throws(() => multiplyTransposed(random(2, 3, 1), random(3, 2, 2)), ShapeError);
  });
});
