/** Golden values of small cases whose answers are known by arithmetic, and matrices with planted intruders and ranks. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  adapterOverlap,
  adapterOverlaps,
  amplification,
  cosines,
  countIntruders,
  difference,
  effectiveRank,
  findIntruders,
  forgettingChange,
  frobenius,
  learnedSubspace,
  leastMaxCos,
  maxCosines,
  neighbour,
  nullLevel,
  numericRank,
  pooled,
  projected,
  projectionDistance,
  randomProjection,
  randomSimilarity,
  ranks,
  roundingLevel,
  scaled,
  spearman,
  stableRank,
  subspaceSimilarity,
  taskSequence,
  updateNorms,
} from "../../../src/analysis/measures/index.ts";
import { type Columns, qr } from "../../../src/linear-algebra/columns.ts";
import { type Matrix, svd } from "../../../src/linear-algebra/svd.ts";
import { Random } from "../../../src/random.ts";
import { close } from "./golden-measures.ts";

const ROUNDING = 1e-12;

function orthonormal(length: number, count: number, seed: number): Columns {
  const random = new Random(seed);
  return qr(Array.from({ length: count }, () => Float64Array.from({ length }, () => random.normal()))).Q;
}

/** Σ σᵢ uᵢ vᵢᵀ */
function composed(values: readonly number[], left: Columns, right: Columns): Matrix {
  const [rows, columns] = [left[0]!.length, right[0]!.length];
  const data = new Float64Array(rows * columns);
  for (const [k, value] of values.entries()) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) data[i * columns + j]! += value * left[k]![i]! * right[k]![j]!;
    }
  }
  return { rows, columns, data };
}

function sum(a: Matrix, b: Matrix): Matrix {
  return { ...a, data: Float64Array.from(a.data, (value, i) => value + b.data[i]!) };
}

const decaying = (count: number) => Array.from({ length: count }, (_, i) => 2 * 0.95 ** i);

function bits(value: number): number {
  return value === 0 ? 0 : (value & 1) + bits(value >> 1);
}

/** W₀ = diag(1 + (16 − i) / 16), and θ u uᵀ with u = 1/4 · ones. */
function toy(theta: number): { base: Matrix; tuned: Matrix } {
  const n = 16;
  const base = {
    rows: n,
    columns: n,
    data: Float64Array.from({ length: n * n }, (_, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      return i === j ? 1 + (16 - i) / 16 : 0;
    }),
  };
  return { base, tuned: { ...base, data: base.data.map((value) => value + theta / 16) } };
}

describe("subspace similarity", () => {
  const U = [Float64Array.of(1, 0, 0, 0), Float64Array.of(0, 1, 0, 0)];
  const V = [Float64Array.of(Math.cos(0.5), 0, Math.sin(0.5), 0), Float64Array.of(0, 1, 0, 0)];

  it("is that of the example, and 1 − d²/p; the paper's (1 − d²)/p is another number", () => {
    const grid = subspaceSimilarity(U, V);
    assert.ok(Math.abs(grid[1]![1]! - 0.8850755765) < 1e-10);
    const square = projectionDistance(U, V) ** 2;
    assert.ok(Math.abs(1 - square / 2 - 0.8850755765) < 1e-10);
    assert.ok(Math.abs((1 - square) / 2 - 0.3850755765) < 1e-10);
    assert.ok(Math.abs(grid[0]![0]! - Math.cos(0.5) ** 2) < ROUNDING);
    // One of them twice as large: what is inside counts whole.
    assert.ok(Math.abs(grid[1]![0]! - Math.cos(0.5) ** 2) < ROUNDING);
  });

  it("is 1 of a subspace in itself in any basis, and in a larger one", () => {
    const basis = orthonormal(30, 6, 1);
    const turned = [0, 1].map((k) =>
      basis[0]!.map((value, i) => Math.SQRT1_2 * (value + (k === 0 ? 1 : -1) * basis[1]![i]!)),
    );
    const grid = subspaceSimilarity(basis, turned);
    assert.ok(Math.abs(grid[1]![1]! - 1) < ROUNDING);
    assert.ok(Math.abs(grid[5]![1]! - 1) < ROUNDING);
    // A single direction of the two is not the other's first.
    assert.ok(Math.abs(grid[0]![0]! - 0.5) < ROUNDING);
    assert.equal(projectionDistance(basis, basis) < 1e-7, true);
  });

  it("of random subspaces is max(i, j) / d on average", () => {
    const [d, i, j, draws] = [64, 4, 16, 40];
    let total = 0;
    for (let draw = 0; draw < draws; draw++) {
      total += subspaceSimilarity(orthonormal(d, i, 2 * draw), orthonormal(d, j, 2 * draw + 1))[i - 1]![j - 1]!;
    }
    // One draw deviates by about 0.05: 40 of them by 0.008.
    assert.ok(Math.abs(total / draws - randomSimilarity(i, j, d)) < 0.03);
    assert.equal(randomSimilarity(i, j, d), 0.25);
  });
});

describe("ranks", () => {
  it("effective rank takes shares of the sum, not of squares", () => {
    close([effectiveRank([1, 1, 1, 1])], [4], ROUNDING);
    close([effectiveRank([4, 3, 2, 1])], [3.5961154666], 1e-10);
    close([effectiveRank([1, 0, 0])], [1], ROUNDING);
    close([effectiveRank(Array.from({ length: 8 }, (_, i) => 2 ** -i))], [3.8986668755], 1e-10);
    close([effectiveRank([8, 6, 4, 2])], [3.5961154666], 1e-10);
    assert.equal(effectiveRank([0, 0]), 0);
    assert.equal(effectiveRank([]), 0);
  });

  it("stable rank", () => {
    close([stableRank([2, 1, 1])], [1.5], ROUNDING);
    assert.equal(stableRank([0]), 0);
    close([stableRank([1e200, 1e200])], [2], ROUNDING);
  });

  it("numeric rank of a planted rank, in float32, tall and wide", () => {
    for (const [rows, columns] of [
      [40, 17],
      [17, 40],
    ] as const) {
      const exact = composed([3, 1, 0.5], orthonormal(rows, 3, 5), orthonormal(columns, 3, 6));
      const values = svd({ ...exact, data: Float32Array.from(exact.data) }).values;
      assert.equal(numericRank(values, [rows, columns]), 3);
      assert.equal(numericRank(values.subarray(0, 2), [rows, columns]), 2);
    }
    assert.equal(numericRank([0, 0], [2, 2]), 0);
  });

  it("of a difference of stored weights needs the level of their rounding", () => {
    const [rows, columns, r] = [60, 44, 2];
    const random = new Random(4);
    const base: Matrix = {
      rows,
      columns,
      data: Float32Array.from({ length: rows * columns }, () => random.normal()),
    };
    const update = composed([0.02, 0.01], orthonormal(rows, r, 7), orthonormal(columns, r, 8));
    const tuned = { ...base, data: Float32Array.from(sum(base, update).data) };
    const { values } = svd(difference(tuned, base));
    const shape = [rows, columns] as const;
    const floor = roundingLevel(frobenius(tuned), shape);
    assert.ok(numericRank(values, shape) > 10, "without it the rank is that of the rounding");
    assert.equal(numericRank(values, shape, { floor }), r);
    // It is a level, not a bound with much room: the largest σ of rounding is within a factor of 3.
    assert.ok(values[r]! < floor && values[r]! > floor / 3, `${values[r]} and ${floor}`);
  });
});

describe("intruder dimensions", () => {
  it("of the toy: σ, cosines and counts", () => {
    for (const [theta, sigma, cosine, count] of [
      [0.25, 2.043867, 0.85755, 0],
      [1, 2.612845, 0.391526, 1],
      [2, 3.572574, 0.314677, 1],
      [4, 5.551979, 0.280804, 1],
      [10, 11.539549, 0.261958, 1],
    ] as const) {
      const { base, tuned } = toy(theta);
      const [known, found] = [svd(base), svd(tuned)];
      for (const side of ["left", "right"] as const) {
        const result = findIntruders({ base: known, tuned: found, side });
        assert.equal(result.count, count, `θ = ${theta}`);
        close([found.values[0]!, result.maxCos[0]!], [sigma, cosine], 1e-6);
        if (theta === 10) close(result.maxCos.slice(1, 5), [0.919681, 0.855289, 0.809266, 0.769766], 1e-6);
      }
    }
  });

  for (const [rows, columns] of [
    [80, 80],
    [96, 64],
    [64, 100],
  ] as const) {
    it(`plants W + θ u vᵀ in [${rows}, ${columns}]: one intruder, at the rank of its θ, on both sides`, () => {
      const n = Math.min(rows, columns);
      const base = composed(decaying(n), orthonormal(rows, n, 11), orthonormal(columns, n, 12));
      const [u, v] = [orthonormal(rows, 1, 13), orthonormal(columns, 1, 14)];
      const known = svd(base);
      const tuned = svd(sum(base, composed([3], u, v)));
      for (const side of ["left", "right"] as const) {
        const { found, spans, nullMaxCos, maxCos, warnings } = findIntruders({ base: known, tuned, k: 10, side });
        assert.deepEqual(
          found.map(({ rank }) => rank),
          [1],
          side,
        );
        assert.equal(maxCos.length, n);
        const width = side === "left" ? rows : columns;
        assert.equal(spans, n === width);
        assert.equal(
          warnings.some((text) => text.includes("do not span")),
          !spans,
        );
        assert.equal(
          warnings.some((text) => text.includes("below 64")),
          false,
        );
        close([nullMaxCos], [Math.sqrt((2 * Math.log(n)) / width)], ROUNDING);
      }
      // No update, no intruder; nor in a small one.
      assert.equal(findIntruders({ base: known, tuned: known }).count, 0);
      close(
        findIntruders({ base: known, tuned: known }).maxCos,
        Array.from({ length: n }, () => 1),
        1e-9,
      );
      assert.equal(findIntruders({ base: known, tuned: svd(sum(base, composed([0.02], u, v))) }).count, 0);
    });
  }

  it("finds several at the ranks where they are, each with the cosine that it has", () => {
    const [n, first, mixed] = [72, 3, 16];
    const [left, right] = [orthonormal(n, n, 21), orthonormal(90, n, 22)];
    const values = decaying(n);
    // Sixteen vectors become mixtures in equal parts (Hadamard), with cosines of ±1/4.
    const turned = (basis: Columns) =>
      basis.map((vector, i) => {
        if (i < first || i >= first + mixed) return vector;
        return basis.slice(first, first + mixed).reduce((mix, other, j) => {
          const sign = bits((i - first) & j) % 2 === 0 ? 0.25 : -0.25;
          return mix.map((value, at) => value + sign * other[at]!);
        }, new Float64Array(vector.length));
      });
    const base = svd(composed(values, left, right));
    const tuned = svd(composed(values, turned(left), right));
    for (const [k, want] of [
      [10, [4, 5, 6, 7, 8, 9, 10]],
      [3, []],
      [30, Array.from({ length: mixed }, (_, i) => first + 1 + i)],
    ] as const) {
      const { found } = findIntruders({ base, tuned, k });
      assert.deepEqual(
        found.map(({ rank }) => rank),
        want,
      );
      close(
        found.map(({ maxCos }) => maxCos),
        want.map(() => 0.25),
        1e-9,
      );
      assert.ok(found.every(({ nearest }) => nearest > first && nearest <= first + mixed));
    }
    assert.equal(findIntruders({ base, tuned, k: 30, epsilon: 0.25 - 1e-8 }).count, 0);
    // The right vectors stayed.
    assert.equal(findIntruders({ base, tuned, k: 30, side: "right" }).count, 0);
  });

  it("takes the absolute cosine: signs of vectors are free", () => {
    const base = svd(composed(decaying(20), orthonormal(20, 20, 1), orthonormal(30, 20, 2)));
    const turned = { ...base, left: base.left.map((u) => u.map((value) => -value)) };
    assert.equal(findIntruders({ base, tuned: turned }).count, 0);
  });

  it("leaves vectors without a direction out: σ is 0 but for rounding", () => {
    const base = svd(composed([3, 2, 1], orthonormal(20, 3, 1), orthonormal(30, 3, 2)));
    const result = findIntruders({ base, tuned: base });
    assert.equal(result.count, 0);
    assert.equal(result.maxCos.length, 3);
    assert.equal(result.spans, false);
    const zero = svd({ rows: 4, columns: 5, data: new Float64Array(20) });
    assert.equal(findIntruders({ base: zero, tuned: zero }).count, 0);
    // Against a base of nothing every direction is new.
    const full = svd(composed([2, 1], orthonormal(4, 2, 1), orthonormal(5, 2, 2)));
    assert.equal(findIntruders({ base: zero, tuned: full }).count, 2);
  });

  it("says where σ of an intruder is close to another one, and where the width is small", () => {
    const left = orthonormal(20, 20, 1);
    const right = orthonormal(20, 20, 2);
    const base = svd(composed([5, 5.000001 - 0.00001, 5, 4, 3, 2, 1], left, right));
    // Equal values: any mixture of their vectors will do, such as one with three equal parts.
    const mixed = [0, 1, 2].reduce(
      (mix, k) => mix.map((value, i) => value + left[k]![i]! / Math.sqrt(3)),
      new Float64Array(20),
    );
    const tuned = {
      values: Float64Array.of(5, 4.999, 4),
      left: [mixed, orthonormal(20, 1, 9)[0]!, left[3]!],
      right: right.slice(0, 3),
    };
    const { found, warnings } = findIntruders({ base, tuned, epsilon: 0.58 });
    const loose = found.filter(({ isLoose }) => isLoose).map(({ rank }) => rank);
    assert.ok(loose.includes(2));
    assert.ok(found.find(({ rank }) => rank === 2)!.gap! > 0.9);
    assert.ok(warnings.some((text) => text.includes("width 20 is below 64")));
    assert.ok(warnings.some((text) => text.includes("rank 2 is within 1 %")));
  });

  it("counts by k and ε, which is exclusive", () => {
    assert.equal(countIntruders([0.1, 0.5, 0.4, 0.2], 3, 0.5), 2);
    assert.equal(countIntruders([0.1, 0.5, 0.4, 0.2], 3, 0.4), 1);
    assert.equal(countIntruders([0.1, 0.5, 0.4, 0.2], 10, 1), 4);
    assert.equal(countIntruders([0.1], 10, 0), 0);
    assert.equal(countIntruders([]), 0);
  });

  it("knows the null level and the least cosine", () => {
    close([nullLevel(768), nullLevel(1024), nullLevel(4096)], [0.132, 0.116, 0.064], 6e-4);
    close([leastMaxCos(768), leastMaxCos(1024), leastMaxCos(4096)], [0.036, 0.031, 0.0156], 6e-4);
    assert.ok(nullLevel(25) > 0.5 && nullLevel(27) < 0.5);
    assert.equal(nullLevel(1), 1);
    // A random vector against a basis, on average a little below the level.
    const random = new Random(3);
    let total = 0;
    for (let draw = 0; draw < 200; draw++) {
      const vector = Float64Array.from({ length: 256 }, () => random.normal());
      const length = Math.hypot(...vector);
      total += Math.max(...vector.map(Math.abs)) / length;
    }
    close([total / 200], [0.19], 0.01);
  });

  it("a uniform vector reaches the least cosine that there can be", () => {
    const n = 64;
    const identity = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_r, j) => Number(i === j)));
    const { max } = maxCosines(cosines(identity, [new Float64Array(n).fill(1 / 8)]));
    close(max, [leastMaxCos(n)], ROUNDING);
  });
});

describe("cosines", () => {
  it("are those of every pair, whatever the number of vectors", () => {
    for (const [rows, columns] of [
      [1, 1],
      [3, 5],
      [4, 2],
      [37, 9],
      [70, 3],
    ] as const) {
      const random = new Random(rows);
      const vectors = (count: number) =>
        Array.from({ length: count }, () => Float64Array.from({ length: 11 }, () => random.normal()));
      const [base, tuned] = [vectors(rows), vectors(columns)];
      const { data } = cosines(base, tuned);
      const want = base.flatMap((x) =>
        tuned.map((y) => Math.abs(x.reduce((total, value, k) => total + value * y[k]!, 0))),
      );
      close(data, want, ROUNDING, `${rows} × ${columns}`);
    }
  });

  it("of no base vectors have no nearest one", () => {
    assert.deepEqual(maxCosines(cosines([], [Float64Array.of(1)])), { max: [0], nearest: [0] });
  });

  it("pooled keeps a single bright cell", () => {
    const data = new Float64Array(50 * 31);
    data[49 * 31 + 30] = 0.9;
    data[7 * 31 + 12] = 0.4;
    const grid = pooled({ rows: 50, columns: 31, data }, 10);
    assert.equal(grid.length, 10);
    assert.equal(grid[9]![9], 0.9);
    assert.equal(grid[1]![3], 0.4);
    assert.equal(grid.flat().filter((value) => value > 0).length, 2);
    assert.deepEqual(pooled({ rows: 2, columns: 1, data: Float64Array.of(1, 2) }, 64), [[1], [2]]);
  });
});

describe("λ intervention", () => {
  it("of the toy at θ = 10: norms, and what stays at λ = 0", () => {
    const { base, tuned } = toy(10);
    const decomposed = svd(tuned);
    for (const [lambda, whole, update] of [
      [1, 13.018016, 10],
      [0.75, 10.54565, 7.118476],
      [0.5, 8.342533, 4.241526],
      [0, 6.025575, 1.600527],
    ] as const) {
      const W = scaled(tuned, decomposed, [0], lambda);
      close([frobenius(W), frobenius(difference(W, base))], [whole, update], 1e-6);
    }
    assert.deepEqual(scaled(tuned, decomposed, [0], 1).data, tuned.data);
    assert.deepEqual(scaled(tuned, decomposed, [], 0).data, tuned.data);
  });

  it("doubles a direction at λ = 2, of a matrix that is not square, and several at once", () => {
    const W = composed(decaying(6), orthonormal(9, 6, 1), orthonormal(14, 6, 2));
    const decomposed = svd(W);
    const { values } = svd(scaled(W, decomposed, [1, 3], 2));
    const want = Array.from(decomposed.values, (value, i) => (i === 1 || i === 3 ? 2 * value : value));
    close(values.slice(0, 6), want.toSorted((a, b) => b - a).slice(0, 6), 1e-9);
  });

  it("refuses a place that is not there, and λ that is no number", () => {
    const { tuned } = toy(1);
    assert.throws(() => scaled(tuned, svd(tuned, 3), [3], 0.5), /no such singular vector.*got 3.*0 to 2/s);
    assert.throws(() => scaled(tuned, svd(tuned), [0], NaN), /lambda/);
  });

  it("the baseline is the next vector that is no intruder, or else the one before", () => {
    assert.equal(neighbour(0, [0], 10), 1);
    assert.equal(neighbour(0, [0, 1, 3], 10), 2);
    assert.equal(neighbour(9, [9], 10), 8);
    assert.equal(neighbour(8, [8, 9, 7], 10), 6);
    assert.equal(neighbour(0, [0, 1], 2), undefined);
  });

  it("changes of forgetting with both denominators", () => {
    assert.deepEqual(forgettingChange(2.25, 2.5, 2), { ofForgetting: -0.5, ofLoss: -0.1 });
    assert.equal(forgettingChange(2.25, 2, 2).ofForgetting, null);
  });
});

describe("amplification", () => {
  it("is that of the paper's table by its own columns", () => {
    close([6.91 / 0.32, 3.57 / 1.9], [21.59, 1.88], 5e-3);
    // 61.95 · r / 12288
    const square = { rows: 4, columns: 4, data: new Float64Array(16).fill(61.95 / 4) };
    close(
      [(randomProjection(square, 4) * 4) / 12288, (randomProjection(square, 64) * 4) / 12288],
      [0.0202, 0.3227],
      1e-4,
    );
  });

  it("of a planted update that W barely has, and of one along W's own first directions", () => {
    const [rows, columns] = [50, 70];
    const [left, right] = [orthonormal(rows, 40, 1), orthonormal(columns, 40, 2)];
    const W = composed(decaying(40), left, right);
    // σ 39 of W is 2 · 0.95^39 ≈ 0.27.
    const weak = svd(composed([5], left.slice(39), right.slice(39)), 3);
    const got = amplification(W, weak, 4, 0);
    assert.equal(got.r, 1);
    const last = 2 * 0.95 ** 39;
    close([got.along_delta, got.factor!, got.along_base], [last, 5 / last, 2], 1e-9);
    const strong = amplification(W, svd(composed([5, 4], left, right), 2), 2, 0);
    close([strong.along_delta, strong.along_base], [Math.hypot(2, 1.9), Math.hypot(2, 1.9)], 1e-9);
  });

  it("is null where W has nothing there, and of a zero update", () => {
    const [left, right] = [orthonormal(10, 4, 1), orthonormal(12, 4, 2)];
    const W = composed([1, 1], left, right);
    const outside = amplification(
      W,
      { values: Float64Array.of(1), left: left.slice(2, 3), right: right.slice(2, 3) },
      1,
      0,
    );
    assert.ok(outside.along_delta < 1e-14);
    const nothing = amplification(W, svd({ rows: 10, columns: 12, data: new Float64Array(120) }), 4, 0);
    assert.deepEqual([nothing.r, nothing.factor, nothing.along_delta, nothing.along_random], [0, null, 0, 0]);
  });

  it("random subspaces have ‖W‖ r / √(out · in), in root mean square", () => {
    const W = composed(decaying(24), orthonormal(24, 24, 3), orthonormal(40, 24, 4));
    const update = svd(composed([1, 1, 1], orthonormal(24, 3, 5), orthonormal(40, 3, 6)), 3);
    const squares = Array.from(
      { length: 60 },
      (_, seed) => amplification(W, update, 3, seed, svd(W, 3)).along_random ** 2,
    );
    const rms = Math.sqrt(squares.reduce((total, value) => total + value, 0) / 60);
    const { random_expected: expected } = amplification(W, update, 3, 0);
    assert.ok(Math.abs(rms / expected - 1) < 0.06, `${rms} and ${expected}`);
    assert.ok(new Set(squares).size === 60, "every seed has other subspaces");
  });

  it("projects on the sides that fit: U on outputs, V on inputs", () => {
    const W: Matrix = { rows: 2, columns: 3, data: Float64Array.of(1, 2, 3, 4, 5, 6) };
    close([projected(W, [Float64Array.of(0, 1)], [Float64Array.of(0, 0, 1)])], [6], ROUNDING);
  });
});

describe("overlap of updates", () => {
  const [left, right] = [orthonormal(20, 6, 1), orthonormal(31, 6, 2)];
  const a = svd(composed([3, 2, 1], left, right), 3);

  it("is that of the planted directions, side by side", () => {
    // Shares one column direction of two, and both row directions, crosswise.
    const b = svd(composed([5, 4], [left[0]!, left[4]!], [right[1]!, right[0]!]), 2);
    const overlap = adapterOverlap(a, b);
    assert.deepEqual(overlap.ranks, [3, 2]);
    close([overlap.left.similarity, overlap.right.similarity], [0.5, 1], 1e-9);
    close([overlap.left.random, overlap.right.random], [3 / 20, 3 / 31], ROUNDING);
    // 3 · 5 · (u₀·u₀)(v₀·v₁) + … = 0: the same places, other directions.
    close([overlap.cosine], [0], 1e-9);
    assert.equal(adapterOverlap(a, b, 1).left.grid.length, 1);
  });

  it("of an update with itself is 1, and with its negative −1", () => {
    const negative = svd(composed([-3, -2, -1], left, right), 3);
    close([adapterOverlap(a, a).cosine, adapterOverlap(a, negative).cosine], [1, -1], 1e-9);
    close([adapterOverlap(a, negative).left.similarity], [1], 1e-9);
  });

  it("of a zero update is 0", () => {
    const zero = svd({ rows: 20, columns: 31, data: new Float64Array(620) });
    const overlap = adapterOverlap(a, zero);
    assert.deepEqual([overlap.ranks, overlap.left.similarity, overlap.left.random, overlap.cosine], [[3, 0], 0, 0, 0]);
  });

  it("takes the matrices that both have", () => {
    const overlaps = adapterOverlaps(new Map([["q", a], ["v", a]]), new Map([["v", a], ["k", a]])); // prettier-ignore
    assert.deepEqual([...overlaps.keys()], ["v"]);
  });

  it("a learned update against the best part of the full one", () => {
    const full = svd(composed([4, 3, 2, 1], left, right), 4);
    const perfect = learnedSubspace(svd(composed([4, 3], left, right), 2), full);
    close([perfect.left.similarity, perfect.right.similarity], [1, 1], 1e-9);
    close([perfect.captured, perfect.best, perfect.cosine], [25 / 30, 25 / 30, 25 / 5 / Math.sqrt(30)], 1e-9);
    close([perfect.distance], [0], 1e-7);
    // Learned the second and fourth directions.
    const poor = learnedSubspace(svd(composed([3, 1], [left[1]!, left[3]!], [right[1]!, right[3]!]), 2), full);
    close([poor.captured, poor.best, poor.left.similarity], [10 / 30, 25 / 30, 0.5], 1e-9);
    close([poor.distance], [Math.hypot(4, 1) / 5], 1e-9);
  });
});

describe("norms of updates", () => {
  it("are beside those of the base, and count what changed", () => {
    const base: Matrix = { rows: 1, columns: 4, data: Float32Array.of(3, 0, 4, 0) };
    const delta: Matrix = { rows: 1, columns: 4, data: Float32Array.of(0, -1, 0, 0) };
    assert.deepEqual(updateNorms(base, delta), {
      frobenius: 1,
      base: 5,
      relative: 0.2,
      rms: 0.5,
      maxAbs: 1,
      meanAbs: 0.25,
      changed: 0.25,
    });
    assert.equal(updateNorms({ ...base, data: new Float32Array(4) }, delta).relative, null);
  });
});

describe("sequences of tasks", () => {
  it("average accuracy, backward and forward transfer, forgetting", () => {
    const found = taskSequence(
      [
        [0.9, null, 0.3],
        [0.7, 0.8, 0.4],
        [0.6, 0.85, 0.95],
      ],
      [0.5, 0.5, 0.35],
    );
    close([found.averageAccuracy], [0.8], ROUNDING);
    close([found.backwardTransfer!], [(-0.3 + 0.05) / 2], ROUNDING);
    // Task 1 got better: less than nothing was forgotten.
    close([found.forgetting!], [(0.3 - 0.05) / 2], ROUNDING);
    assert.equal(found.forwardTransfer, null);
    close(
      found.perTask.map(({ forgetting }) => forgetting),
      [0.3, -0.05, 0],
      ROUNDING,
    );
  });

  it("the best of the past need not be when the task was trained on", () => {
    const found = taskSequence([
      [0.5, 0.1, 0.1],
      [0.9, 0.6, 0.2],
      [0.7, 0.6, 0.8],
    ], [0.2, 0.3, 0.1]); // prettier-ignore
    close([found.perTask[0]!.forgetting, found.perTask[0]!.backwardTransfer], [0.2, 0.2], ROUNDING);
    close([found.forwardTransfer!], [(0.1 - 0.3 + 0.2 - 0.1) / 2], ROUNDING);
  });

  it("of one task has no transfer", () => {
    const { averageAccuracy, backwardTransfer, forgetting } = taskSequence([[0.5]]);
    assert.deepEqual([averageAccuracy, backwardTransfer, forgetting], [0.5, null, null]);
  });

  it("refuses what is not a sequence", () => {
    assert.throws(() => taskSequence([]), /no tasks/);
    assert.throws(() => taskSequence([[1, 2]]), /row 0 has 2 accuracies for 1 tasks/);
    assert.throws(
      () =>
        taskSequence([
          [1, 1],
          [null, 1],
        ]),
      /\[1\]\[0\] is missing/,
    );
    assert.throws(() => taskSequence([[NaN]]), /\[0\]\[0\] is NaN/);
    assert.throws(() => taskSequence([[1]], [1, 2]), /2 baselines for 1 tasks/);
  });
});

describe("Spearman", () => {
  it("shares ranks among equals", () => {
    assert.deepEqual(ranks([10, 20, 10, 5]), [2.5, 4, 2.5, 1]);
  });

  it("is SciPy's example", () => {
    const { rho, p } = spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], "t");
    close([rho, p], [0.8207826816681233, 0.08858700531354381], 1e-13);
  });

  it("p of the paper's ρ: 0.59 of 30 runs, −0.318", () => {
    // By Student's t, as the published p = 0.0006 and 0.087 are.
    const x = Array.from({ length: 30 }, (_, i) => i);
    const found = spearman(x, x.map((value) => (value * 7) % 30)); // prettier-ignore
    assert.equal(found.method, "t");
    assert.ok(found.p > 0 && found.p < 1);
  });

  it("is not a number where a list does not vary, and refuses what has no ranks", () => {
    assert.ok(Number.isNaN(spearman([1, 1, 1], [1, 2, 3]).rho));
    assert.throws(() => spearman([1, 2], [1, 2]), /at least 3/);
    assert.throws(() => spearman([1, 2, 3], [1, 2]), /3 and 2 values/);
    assert.throws(() => spearman([1, 2, NaN], [1, 2, 3]), /not finite/);
    assert.throws(() => spearman(ranks(Array.from({ length: 12 }, Math.random)), ranks([...Array(12).keys()]), "exact"), /too long/); // prettier-ignore
  });
});
