/** The best factors of a product of thin matrices: against the product itself, and against what is known of it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { factorize } from "../../src/adapters/factorize.ts";
import { Random } from "../../src/random.ts";

type Columns = readonly Float64Array[];

function draw(random: Random, count: number, length: number): Float64Array[] {
  return Array.from({ length: count }, () => Float64Array.from({ length }, () => random.normal()));
}

/** Σ bᵢ aᵢᵀ, [out, in]. */
function product(B: Columns, A: Columns): number[] {
  const [rows, columns] = [B[0]?.length ?? 0, A[0]?.length ?? 0];
  return Array.from({ length: rows * columns }, (_, at) =>
    B.reduce((sum, b, i) => sum + b[Math.floor(at / columns)]! * A[i]![at % columns]!, 0),
  );
}

const norm = (values: readonly number[]) => Math.hypot(...values);
const distance = (a: readonly number[], b: readonly number[]) => norm(a.map((value, i) => value - b[i]!));

describe("factorize", () => {
  for (const [name, out, width, count] of [
    ["tall", 31, 17, 5],
    ["more columns than rows", 4, 9, 12],
    ["one column", 6, 5, 1],
    ["a single row", 1, 7, 3],
  ] as const) {
    it(`${name}: at full rank it is the product`, () => {
      const random = new Random(3);
      const [B, A] = [draw(random, count, out), draw(random, count, width)];
      const whole = product(B, A);
      const factors = factorize(B, A, count);
      assert.ok(distance(product(factors.B, factors.A), whole) <= 1e-12 * norm(whole));
      // The right vectors are orthonormal, the left ones orthogonal with the singular values as lengths.
      factors.A.forEach((v, i) =>
        factors.A.forEach((w, j) => {
          const dot = v.reduce((sum, value, k) => sum + value * w[k]!, 0);
          if (factors.singularValues[Math.max(i, j)]! > 1e-10 * norm(whole)) {
            assert.ok(Math.abs(dot - Number(i === j)) < 1e-10, `${i}, ${j}: ${dot}`);
          }
        }),
      );
      factors.B.forEach((u, i) =>
        assert.ok(Math.abs(norm([...u]) - factors.singularValues[i]!) <= 1e-12 * norm(whole)),
      );
      assert.ok(Math.abs(norm([...factors.singularValues]) - norm(whole)) <= 1e-12 * norm(whole));
    });
  }

  it("at a lower rank, what is missing is the singular values that were left out (Eckart and Young)", () => {
    const random = new Random(5);
    const [B, A] = [draw(random, 6, 19), draw(random, 6, 11)];
    const whole = product(B, A);
    for (const rank of [1, 3, 5]) {
      const { B: U, A: V, singularValues } = factorize(B, A, rank);
      assert.equal(U.length, rank);
      const missing = norm(singularValues.slice(rank));
      assert.ok(missing > 0.1);
      assert.ok(Math.abs(distance(product(U, V), whole) - missing) < 1e-11);
    }
  });

  it("finds the rank of columns that repeat each other", () => {
    const random = new Random(7);
    const [b, a] = [draw(random, 2, 13), draw(random, 2, 9)];
    const B = [...b, ...b, new Float64Array(13)];
    const A = [...a, ...a, ...draw(random, 1, 9)];
    const { singularValues } = factorize(B, A, 5);
    assert.ok(singularValues[1]! > 0.1);
    assert.ok(singularValues.slice(2).every((value) => value < 1e-12));
  });

  it("of nothing there are no factors", () => {
    const { B, A } = factorize([new Float64Array(4)], [new Float64Array(3)], 2);
    assert.deepEqual([B, A], [[], []]);
  });
});
