import { log, logOp } from "../../../src/ir/ops/log.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

/** The function has a pole at 0. */
const positive = (shape: readonly number[]) => random(shape, 0.5, 3);

describeOp(logOp, [
  { inputs: [positive([3, 5])], build: ([x]) => log(x!) },
  { name: "a scalar", inputs: [positive([])], build: ([x]) => log(x!) },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 1])],
    build: ([x]) => log(x!),
    smooth: false,
    expected: [-Infinity, -Infinity, Infinity, NaN, NaN, 0],
  },
  { name: "no elements", inputs: [positive([0, 3])], build: ([x]) => log(x!) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => log(x!),
    throws: "log: input 0 has the wrong type: got int32",
  },
]);
