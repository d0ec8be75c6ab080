import { range, rangeOp } from "../../../src/ir/ops/range.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random } from "../../../src/testing/tensors.ts";

const numbers = [...Array(5).keys()];

describeOp(rangeOp, [
  {
    name: "as long as a value",
    inputs: [random([5])],
    build: ([x], graph) => range(graph, x!.type.shape[0]!),
    expected: numbers,
  },
  {
    name: "float32",
    inputs: [random([5])],
    build: ([x], graph) => range(graph, x!.type.shape[0]!, "float32"),
    expected: numbers,
  },
  {
    name: "int64",
    inputs: [random([5])],
    build: ([x], graph) => range(graph, x!.type.shape[0]!, "int64"),
    expected: numbers,
  },
  {
    name: "many",
    inputs: [],
    build: (_values, graph) => range(graph, 1500),
    expected: [...Array(1500).keys()],
  },
  { name: "none", inputs: [], build: (_values, graph) => range(graph, 0), expected: [] },
  {
    name: "bool",
    inputs: [],
    build: (_values, graph) => range(graph, 3, "bool"),
    throws: /range: wrong type: got bool/,
  },
]);
