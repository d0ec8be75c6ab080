import { argMax, argMaxOp } from "../../../src/ir/ops/arg-max.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(argMaxOp, [
  { name: "last axis", inputs: [apart([3, 5])], build: ([x]) => argMax(x!) },
  { name: "middle axis, kept", inputs: [apart([3, 5, 7])], build: ([x]) => argMax(x!, 1, true) },
  { name: "unknown size", inputs: [apart([3, 5])], build: ([x]) => argMax(x!, 0) },
  {
    name: "the first of ties",
    inputs: [tensor("float32", [2, 3], [1, 3, 3, -Infinity, -Infinity, -Infinity])],
    build: ([x]) => argMax(x!),
    expected: [1, 0],
  },
  { name: "integers", inputs: [integers([3, 5], 0, 3)], build: ([x]) => argMax(x!) },
  { name: "a rest without elements", inputs: [random([0, 3])], build: ([x]) => argMax(x!) },
  {
    name: "over nothing",
    inputs: [random([3, 0])],
    build: ([x]) => argMax(x!),
    throws: "argMax: axis 1 has no elements: got [3, 0]",
  },
]);
