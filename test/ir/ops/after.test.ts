import { after, afterOp } from "../../../src/ir/ops/after.ts";
import { constant } from "../../../src/ir/ops/constant.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

describeOp(afterOp, [
  { inputs: [random([3, 5])], build: ([x], graph) => after(x!, constant(graph, "float32", [2], [1, 2])) },
  { name: "a scalar", inputs: [random([])], build: ([x], graph) => after(x!, constant(graph, "float32", [2], [1, 2])) },
  {
    name: "after a value that is not finite",
    inputs: [random([3, 5])],
    build: ([x], graph) => after(x!, constant(graph, "float32", [2], [NaN, Infinity])),
  },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, 1])],
    build: ([x], graph) => after(x!, constant(graph, "float32", [2], [1, 2])),
    smooth: false,
    expected: [0, 0, Infinity, -Infinity, NaN, 1],
  },
  {
    name: "no elements",
    inputs: [random([0, 3])],
    build: ([x], graph) => after(x!, constant(graph, "float32", [2], [1, 2])),
  },
]);
