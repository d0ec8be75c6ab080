import assert from "node:assert/strict";
import type { Value } from "../../../src/ir/graph.ts";
import { test } from "node:test";
import { quantizeRows, quantizeRowsOp } from "../../../src/ir/ops/quantize-rows.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

const build =
  (levels?: number) =>
  ([x]: readonly Value[]) => {
    const { q, scale } = quantizeRows(x!, levels);
    return [q, scale];
  };

describeOp(quantizeRowsOp, [
  {
    name: "ties go to even numbers, the largest element is the last level",
    // Steps of 1: 127 is the largest magnitude of both rows.
    inputs: [tensor("float32", [2, 5], [127, 0.5, 1.5, -0.5, -2.5, 2.5, -127, 126.5, -1.5, 0])],
    build: build(),
    expected: [255, 128, 130, 128, 126, 130, 1, 254, 126, 128],
  },
  {
    name: "7 bits around 64",
    inputs: [tensor("float32", [2, 3], [63, -62, 0.4, 6.3, -0.1, -6.3])],
    build: build(63),
    expected: [127, 2, 64, 127, 63, 1],
  },
  {
    name: "rows of zeros, and of numbers that are nearly zero",
    inputs: [tensor("float32", [3, 2], [0, 0, -1e-36, 1e-37, 0, 3e-29])],
    build: build(),
    expected: [128, 128, 128, 128, 128, 255],
  },
  { inputs: [random([7, 33])], symbolic: 7, build: build() },
  { name: "one row", inputs: [random([1, 65])], build: build(63) },
  { name: "rows of very different sizes", inputs: [random([4, 9], -1e6, 1e6)], symbolic: 4, build: build() },
  {
    inputs: [random([2, 3, 4])],
    build: build(),
    throws: "quantizeRows: needs a matrix: got [2, 3, 4]",
  },
]);

test("whatever the levels, a row is no further away than half a step", () => {
  for (const levels of [63, 127]) {
    const row = Float64Array.from({ length: 100 }, (_, i) => Math.fround(Math.sin(i) * 3));
    const [q, scale] = quantizeRowsOp.evaluate([{ shape: [1, 100], data: row }], { levels }, [
      [1, 100],
      [1, 1],
    ]);
    const step = scale!.data[0]!;
    assert.ok(Math.abs((step * levels) / 3 - 1) < 0.01);
    row.forEach((value, i) => assert.ok(Math.abs((q!.data[i]! - levels - 1) * step - value) <= step * 0.5001));
  }
});
