import { pad, padOp } from "../../../src/ir/ops/pad.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(padOp, [
  {
    name: "zeros at both ends",
    inputs: [tensor("float32", [2, 2], [1, 2, 3, 4])],
    build: ([x]) => pad(x!, 1, 1, 2),
    symbolic: false,
    expected: [0, 1, 2, 0, 0, 0, 3, 4, 0, 0],
    expectedGradients: [[1, 1, 1, 1]],
  },
  { name: "another value, axis from the end", inputs: [random([3, 5, 2])], build: ([x]) => pad(x!, -3, 2, 1, 0.5) },
  { name: "at the front only", inputs: [random([3, 5])], build: ([x]) => pad(x!, 0, 4, 0) },
  {
    name: "as many as another value has, at both ends",
    inputs: [integers([2], 0, 1), random([5, 3])],
    build: ([p, x]) => pad(x!, 0, p!.type.shape[0]!, p!.type.shape[0]!, -1),
  },
  {
    name: "int32",
    inputs: [tensor("int32", [2], [7, 8])],
    build: ([x]) => pad(x!, 0, 0, 1, -100),
    symbolic: false,
    expected: [7, 8, -100],
  },
  { inputs: [random([3, 5])], build: ([x]) => pad(x!, 1, -1, 0), throws: /not a dimension: got -1/ },
]);
