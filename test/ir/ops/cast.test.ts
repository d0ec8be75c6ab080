import { cast, castOp } from "../../../src/ir/ops/cast.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(castOp, [
  { name: "float32 to int32", inputs: [random([3, 5], -9, 9)], build: ([x]) => cast(x!, "int32"), smooth: false },
  { name: "float32 to int64", inputs: [random([3, 5], -9, 9)], build: ([x]) => cast(x!, "int64"), smooth: false },
  {
    name: "float32 to bool",
    inputs: [tensor("float32", [4], [0, -0, 0.25, -3])],
    build: ([x]) => cast(x!, "bool"),
    smooth: false,
    expected: [0, 0, 1, 1],
  },
  { name: "float32 to float64", inputs: [random([3, 5])], build: ([x]) => cast(x!, "float64") },
  { name: "int32 to float32", inputs: [integers([3, 5], -9, 9)], build: ([x]) => cast(x!, "float32") },
  { name: "bool to float32", inputs: [integers([3, 5], 0, 1, "bool")], build: ([x]) => cast(x!, "float32") },
  {
    name: "int32 to uint32 keeps the bits",
    inputs: [tensor("int32", [3], [-1, -2147483648, 7])],
    build: ([x]) => cast(x!, "uint32"),
    expected: [4294967295, 2147483648, 7],
  },
  { name: "uint32 to float32", inputs: [tensor("uint32", [2], [4294967040, 7])], build: ([x]) => cast(x!, "float32") },
  { name: "int64 to int32", inputs: [tensor("int64", [2], [-3, 2147483647])], build: ([x]) => cast(x!, "int32") },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => cast(x!, "int32"), smooth: false },
]);
