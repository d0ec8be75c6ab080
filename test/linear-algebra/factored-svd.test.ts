/** The singular values of s · B · A, against those of the product. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Columns, dot, qr } from "../../src/linear-algebra/columns.ts";
import { factoredSvd } from "../../src/linear-algebra/factored-svd.ts";
import { columnVectors, multiply } from "../../src/linear-algebra/product.ts";
import { type Matrix, svd } from "../../src/linear-algebra/svd.ts";
import { ShapeError } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
import { orthonormal } from "./orthonormal.ts";

function random(rows: number, columns: number, seed: number): Matrix & { data: Float32Array } {
  const draw = new Random(seed);
  return { rows, columns, data: Float32Array.from({ length: rows * columns }, () => draw.normal()) };
}

/** Largest difference of the two from an element of `want`, of the largest value. */
function difference({ values, left, right }: ReturnType<typeof factoredSvd>, want: Matrix, scaling: number): number {
  let worst = 0;
  for (let i = 0; i < want.rows; i++) {
    for (let j = 0; j < want.columns; j++) {
      let sum = -scaling * want.data[i * want.columns + j]!;
      for (const [k, value] of values.entries()) sum += value * left[k]![i]! * right[k]![j]!;
      worst = Math.max(worst, Math.abs(sum));
    }
  }
  return worst / (values[0]! || 1);
}

describe("factoredSvd", () => {
  for (const [m, r, n] of [
    [40, 4, 23],
    [17, 8, 90],
    [120, 60, 75],
    [3, 5, 7],
    [9, 5, 2],
    [1, 1, 1],
    [130, 100, 110],
  ] as const) {
    it(`is that of the product of ${m} × ${r} and ${r} × ${n}`, () => {
      const [B, A] = [random(m, r, 1), random(r, n, 2)];
      const scaling = 2.5;
      const found = factoredSvd(B, A, scaling);
      const count = Math.min(m, r, n);
      assert.deepEqual([found.values.length, found.left.length, found.right.length], [count, count, count]);
      const whole = multiply(B, A);
      const want = svd(whole, count).values;
      for (const [i, value] of want.entries()) {
        assert.ok(Math.abs(found.values[i]! - scaling * value) <= 1e-12 * scaling * want[0]!, `σ${i + 1}`);
      }
      orthonormal(found.left, 1e-11);
      orthonormal(found.right, 1e-11);
      assert.ok(difference(found, whole, scaling) <= 1e-12);
    });
  }

  it("keeps the digits of values far below the largest", () => {
    // Orthonormal columns and rows: the values are those in between.
    const columns = (length: number, seed: number): Columns => qr(columnVectors(random(length, 6, seed))).Q;
    const [U, V] = [columns(50, 3), columns(70, 4)];
    const want = [1, 1e-3, 1e-6, 1e-9, 1e-10, 1e-12];
    const B: Matrix = {
      rows: 50,
      columns: 6,
      data: Float64Array.from({ length: 300 }, (_, at) => U[at % 6]![Math.floor(at / 6)]! * want[at % 6]!),
    };
    const A: Matrix = {
      rows: 6,
      columns: 70,
      data: Float64Array.from({ length: 420 }, (_, at) => V[Math.floor(at / 70)]![at % 70]!),
    };
    const { values, left } = factoredSvd(B, A);
    for (const [i, value] of want.entries()) assert.ok(Math.abs(values[i]! / value - 1) < 1e-4, `σ${i + 1}`);
    for (const [i, vector] of left.entries()) assert.ok(Math.abs(Math.abs(dot(vector, U[i]!)) - 1) < 1e-4);
  });

  it("has zeros where B or A has fewer directions than rows", () => {
    const zero = factoredSvd({ rows: 5, columns: 3, data: new Float32Array(15) }, random(3, 8, 5));
    assert.deepEqual([...zero.values], [0, 0, 0]);
    assert.ok([...zero.left, ...zero.right].every((vector) => vector.every((value) => value === 0)));
    const A = random(4, 9, 6);
    // The last row is the sum of two others.
    for (let j = 0; j < 9; j++) A.data[27 + j] = Math.fround(A.data[j]! + A.data[9 + j]!);
    const B = random(12, 4, 7);
    for (let i = 0; i < 12; i++) B.data[4 * i + 3] = 0;
    // And a sum that is exact, of a B of full rank: what is left is rounding.
    const exact = Float64Array.from(A.data);
    for (let j = 0; j < 9; j++) exact[27 + j] = exact[j]! + exact[9 + j]!;
    assert.equal(factoredSvd(random(12, 4, 7), { rows: 4, columns: 9, data: exact }).values[3], 0);
    const found = factoredSvd(B, A);
    assert.equal(found.values[3], 0);
    assert.ok(found.values[2]! > 0.1);
    assert.ok(difference(found, multiply(B, A), 1) <= 1e-12);
  });

  it("refuses factors that do not fit", () => {
    assert.throws(() => factoredSvd(random(4, 3, 1), random(2, 5, 2)), ShapeError);
  });
});

describe("qr", () => {
  it("is orthonormal and exact over several blocks, dependent columns included", () => {
    const columns: Float64Array[] = columnVectors(random(150, 100, 8));
    // Of the block before, of its own block, nearly dependent, and nothing.
    columns[40] = columns[3]!.map((value, i) => value - 2 * columns[20]![i]!);
    columns[50] = columns[45]!.map((value) => value / 3);
    columns[70] = columns[5]!.map((value, i) => value + 1e-7 * columns[99]![i]!);
    columns[80] = new Float64Array(150);
    const { Q, R } = qr(columns);
    const zero = (vector: Float64Array): boolean => vector.every((value) => value === 0);
    assert.deepEqual(
      [...Q.keys()].filter((i) => zero(Q[i]!)),
      [40, 50, 80],
    );
    orthonormal(
      Q.filter((vector) => !zero(vector)),
      1e-13,
    );
    for (const [j, column] of columns.entries()) {
      assert.ok(R[j]!.every((value, i) => i <= j || value === 0));
      for (let i = 0; i < 150; i++) {
        let sum = -column[i]!;
        for (let k = 0; k <= j; k++) sum += Q[k]![i]! * R[j]![k]!;
        assert.ok(Math.abs(sum) < 1e-12, `column ${j}: ${sum}`);
      }
    }
  });
});
