import { floor, floorOp } from "../../../src/ir/ops/floor.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { apart, integers, tensor } from "../../../src/testing/tensors.ts";

describeOp(floorOp, [
  { inputs: [apart([3, 5])], build: ([x]) => floor(x!) },
  { name: "a scalar", inputs: [apart([])], build: ([x]) => floor(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -2.5])],
    build: ([x]) => floor(x!),
    smooth: false,
    expected: [0, -0, Infinity, -Infinity, NaN, -3],
  },
  { name: "no elements", inputs: [apart([0, 3])], build: ([x]) => floor(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => floor(x!),
    throws: "floor: input 0 has the wrong type: got int32",
  },
]);
