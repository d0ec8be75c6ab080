import { randomUniform, randomUniformOp } from "../../../src/ir/ops/random-uniform.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, tensor } from "../../../src/testing/tensors.ts";

/** The engine's numbers are the interpreter's, bit for bit. */
const EXACT = { relative: 0, ofLargest: 0 };

describeOp(randomUniformOp, [
  {
    name: "seed 0",
    inputs: [tensor("int32", [], [0])],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    tolerance: EXACT,
  },
  {
    name: "seed 1",
    inputs: [tensor("int32", [], [1])],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    tolerance: EXACT,
  },
  {
    name: "seed -1",
    inputs: [tensor("int32", [], [-1])],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    tolerance: EXACT,
  },
  {
    name: "seed 2147483647",
    inputs: [tensor("int32", [], [2147483647])],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    tolerance: EXACT,
  },
  {
    name: "seed -2147483648",
    inputs: [tensor("int32", [], [-2147483648])],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    tolerance: EXACT,
  },
  {
    name: "another stream",
    inputs: [tensor("int32", [], [7])],
    build: ([seed]) => randomUniform(seed!, { stream: -2, shape: [2, 3, 7] }),
    tolerance: EXACT,
  },
  {
    name: "many numbers",
    inputs: [tensor("int32", [], [7])],
    build: ([seed]) => randomUniform(seed!, { stream: 0, shape: [100, 999] }),
    tolerance: EXACT,
  },
  {
    name: "a shape with an unknown size",
    inputs: [tensor("int32", [], [7]), integers([3, 5], 0, 1)],
    build: ([seed, x]) => randomUniform(seed!, { stream: 0, shape: x!.type.shape }),
    symbolic: 3,
    tolerance: EXACT,
  },
  {
    name: "a scalar",
    inputs: [tensor("int32", [], [7])],
    build: ([seed]) => randomUniform(seed!, { stream: 0, shape: [] }),
    tolerance: EXACT,
  },
  {
    name: "no elements",
    inputs: [tensor("int32", [], [7])],
    build: ([seed]) => randomUniform(seed!, { stream: 0, shape: [3, 0] }),
    expected: [],
  },
  {
    name: "a seed of another type",
    inputs: [tensor("float32", [], [7])],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    throws: "randomUniform: wrong seed: got float32[], expected an int32 scalar",
  },
  {
    name: "several seeds",
    inputs: [integers([2], 0, 9)],
    build: ([seed]) => randomUniform(seed!, { stream: 3, shape: [3, 5] }),
    throws: "randomUniform: wrong seed: got int32[2], expected an int32 scalar",
  },
  {
    name: "a broken stream",
    inputs: [tensor("int32", [], [7])],
    build: ([seed]) => randomUniform(seed!, { stream: 0.5, shape: [2] }),
    throws: "randomUniform: wrong stream: got 0.5, expected a whole number",
  },
]);

const COUNT = 1 << 16;

function draw(seed: number, stream: number, count = COUNT): Float64Array {
  const [result] = randomUniformOp.evaluate([ndarray([], [seed])], { stream, shape: [] }, [[count]]);
  return result!.data;
}

/** χ² of counts against their mean, in standard deviations from what is expected of it. */
function surprise(counts: readonly number[]): number {
  const mean = counts.reduce((a, b) => a + b) / counts.length;
  const chiSquare = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
  const freedom = counts.length - 1;
  return Math.abs(chiSquare - freedom) / Math.sqrt(2 * freedom);
}

/** How often (x[i], y[i]) falls into each cell of a 16 x 16 grid. */
function grid(x: Float64Array, y: Float64Array): number[] {
  const counts = Array.from({ length: 256 }, () => 0);
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    counts[Math.floor(x[i]! * 16) * 16 + Math.floor(y[i]! * 16)]!++;
  }
  return counts;
}

/** The numbers are the same at every run: a generator that is sound here stays so. */
const LIMIT = 5;

test("randomUniform gives multiples of 2^-24 from [0, 1)", () => {
  for (const x of draw(5, 0)) assert.ok(x >= 0 && x < 1 && Number.isInteger(x * 2 ** 24), String(x));
});

test("randomUniform fills [0, 1) evenly, in its high and in its low bits", () => {
  for (const seed of [0, 1, 2, -1, 123456789]) {
    const x = draw(seed, 0);
    const high = Array.from({ length: 256 }, () => 0);
    const low = Array.from({ length: 256 }, () => 0);
    for (const value of x) {
      high[Math.floor(value * 256)]!++;
      low[(value * 2 ** 24) % 256]!++;
    }
    assert.ok(surprise(high) < LIMIT, `high bits of seed ${seed}: ${surprise(high)}`);
    assert.ok(surprise(low) < LIMIT, `low bits of seed ${seed}: ${surprise(low)}`);
  }
});

test("randomUniform does not repeat its neighbours", () => {
  const x = draw(42, 0);
  for (const lag of [1, 2, 3, 7, 64, 896, 4096]) {
    const value = surprise(grid(x, x.subarray(lag)));
    assert.ok(value < LIMIT, `lag ${lag}: ${value}`);
  }
});

test("randomUniform gives independent numbers for other seeds and streams", () => {
  const x = draw(42, 7);
  for (const [seed, stream] of [
    [43, 7],
    [41, 7],
    [42, 8],
    [42, 6],
    [43, 6],
    [7, 42],
    [42 + 65536, 7],
    [-42, 7],
  ] as const) {
    const y = draw(seed, stream);
    for (const shift of [0, 1]) {
      const value = surprise(grid(x.subarray(shift), y));
      assert.ok(value < LIMIT, `seed ${seed}, stream ${stream}, shifted by ${shift}: ${value}`);
    }
  }
});

test("randomUniform has not changed: masks of old runs can be made again", () => {
  const x = draw(1, 2, 3);
  assert.deepEqual(
    Array.from(x, (value) => value * 2 ** 24),
    [6390233, 13183841, 2212871],
  );
});
