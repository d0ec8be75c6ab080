import { concat } from "../../../src/ir/ops/concat.ts";
import { slice, sliceOp } from "../../../src/ir/ops/slice.ts";
import { addDim, dim } from "../../../src/ir/shape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

const x = random([3, 7, 2]);

describeOp(sliceOp, [
  {
    name: "counts from the end",
    inputs: [tensor("float32", [5], [1, 2, 3, 4, 5])],
    build: ([x]) => slice(x!, 0, -4, -1),
    expected: [2, 3, 4],
    expectedGradients: [[0, 1, 1, 1, 0]],
  },
  { name: "a middle part", inputs: [x], build: ([x]) => slice(x!, 1, 2, 6) },
  { name: "negative axis, from a position on", inputs: [x], build: ([x]) => slice(x!, -2, 5) },
  { name: "nothing", inputs: [x], build: ([x]) => slice(x!, 1, 4, 4) },
  {
    name: "steps that end before the end",
    inputs: [tensor("float32", [7], [1, 2, 3, 4, 5, 6, 7])],
    symbolic: false,
    build: ([x]) => slice(x!, 0, 1, 6, 4),
    expected: [2, 6],
    expectedGradients: [[0, 1, 0, 0, 0, 1, 0]],
  },
  {
    name: "steps whose last zeros lie beyond the end",
    inputs: [random([2, 8])],
    build: ([x]) => slice(x!, 1, 1, undefined, 3),
  },
  {
    name: "every other element of a doubled size",
    inputs: [random([3, 5])],
    build: ([x]) => slice(concat([x!, x!], 0), 0, 0, undefined, 2),
  },
  {
    name: "bounds that are sizes of another value",
    inputs: [integers([2], 0, 1), random([11, 3])],
    build: ([p, x]) => {
      const P = p!.type.shape[0]!;
      return slice(x!, 0, P, addDim(P, dim(4)));
    },
  },
  {
    name: "int64",
    inputs: [tensor("int64", [4], [3, 1, 4, 1])],
    symbolic: false,
    build: ([x]) => slice(x!, 0, 1, 3),
    expected: [1, 4],
  },
  {
    inputs: [random([3, 5])],
    build: ([x]) => slice(x!, 1, 2, 6),
    throws: "slice: range leaves axis 1 of [3, 5]: got 2 to 6, expected a range within 0 to 5",
  },
  { name: "backwards", inputs: [random([3, 5])], build: ([x]) => slice(x!, 1, 4, 2), throws: /got 4 to 2/ },
  { name: "start before 0", inputs: [random([3, 5])], build: ([x]) => slice(x!, 0, -4), throws: /got -1 to 3/ },
  { name: "step 0", inputs: [random([3, 5])], build: ([x]) => slice(x!, 0, 0, 3, 0), throws: /not a step: got 0/ },
  { name: "no such axis", inputs: [random([3, 5])], build: ([x]) => slice(x!, 2, 1), throws: /no such axis: got 2/ },
]);
