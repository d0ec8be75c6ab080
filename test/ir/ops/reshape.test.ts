import { reshape, reshapeOp } from "../../../src/ir/ops/reshape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random } from "../../../src/testing/tensors.ts";

describeOp(reshapeOp, [
  { name: "split and merge", inputs: [random([6, 5])], build: ([x]) => reshape(x!, [3, 2, 5]), symbolic: false },
  { name: "merge with an unknown size", inputs: [random([3, 2, 5])], build: ([x]) => reshape(x!, [-1, 5]) },
  { name: "split beside an unknown size", inputs: [random([3, 10])], build: ([x]) => reshape(x!, [-1, 2, 5]) },
  { name: "to a scalar", inputs: [random([1, 1])], build: ([x]) => reshape(x!, []) },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => reshape(x!, [3, 0]) },
  {
    name: "too many elements",
    inputs: [random([3, 5])],
    build: ([x]) => reshape(x!, [4, 4]),
    throws: "reshape: number of elements changes: got [3, 5] to [4, 4]",
  },
  {
    name: "not divisible",
    inputs: [random([3, 5])],
    build: ([x]) => reshape(x!, [-1, 4]),
    throws: "reshape: elements do not divide evenly: got 15 / 4",
  },
]);
