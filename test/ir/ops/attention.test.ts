import assert from "node:assert/strict";
import { test } from "node:test";
import { grad } from "../../../src/ir/grad.ts";
import { Graph } from "../../../src/ir/graph.ts";
import { attention, attentionOp } from "../../../src/ir/ops/attention.ts";
import { dim, shapeOf } from "../../../src/ir/shape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { random, tensor } from "../../../src/testing/tensors.ts";

// Numbers of PyTorch 2.15: softmax(0.5 q kᵀ + bias) v with its derivatives are in golden/attention.json, see test/nn.
describeOp(attentionOp, [
  {
    name: "one head, values wider than keys",
    inputs: [random([2, 1, 3, 4]), random([2, 1, 5, 4]), random([2, 1, 5, 6])],
    build: ([q, k, v]) => attention(q!, k!, v!, 0.7),
  },
  {
    name: "grouped heads, a bias per query and key",
    inputs: [random([5, 6, 3, 4]), random([5, 2, 7, 4]), random([5, 2, 7, 4]), random([3, 7])],
    build: ([q, k, v, bias]) => attention(q!, k!, v!, 0.5, bias),
  },
  {
    name: "as many key heads, a bias per head",
    inputs: [random([3, 2, 4, 5]), random([3, 2, 4, 5]), random([3, 2, 4, 5]), random([1, 2, 1, 4])],
    build: ([q, k, v, bias]) => attention(q!, k!, v!, 1, bias),
  },
  {
    name: "tokens whose number is known when it runs",
    inputs: [random([3, 4, 2, 6]), random([3, 2, 3, 6]), random([3, 2, 3, 6])],
    build: ([q, k, v]) => attention(q!, k!, v!, 0.4),
  },
  {
    name: "a key that is masked",
    inputs: [
      tensor("float32", [1, 1, 1, 1], [2]),
      tensor("float32", [1, 1, 3, 1], [1, 1, 5]),
      tensor("float32", [1, 1, 3, 1], [2, 4, 9]),
      tensor("float32", [1, 3], [0, 0, -3e38]),
    ],
    build: ([q, k, v, bias]) => attention(q!, k!, v!, 1, bias),
    expected: [3],
    smooth: false,
    expectedGradients: [[0], [-1, 1, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]],
  },
  {
    name: "a bias that does not fit",
    inputs: [random([1, 2, 3, 4]), random([1, 2, 5, 4]), random([1, 2, 5, 4]), random([2, 3, 1, 5])],
    build: ([q, k, v, bias]) => attention(q!, k!, v!, 1, bias),
    throws: /attention: .*\[2, 3, 1, 5\]/,
  },
  {
    name: "heads that do not divide",
    inputs: [random([1, 5, 3, 4]), random([1, 2, 5, 4]), random([1, 2, 5, 4])],
    build: ([q, k, v]) => attention(q!, k!, v!, 1),
    throws: /query heads do not divide among the key and value heads: got 5 and 2, expected a multiple/,
  },
  {
    name: "another width",
    inputs: [random([1, 2, 3, 4]), random([1, 2, 5, 3]), random([1, 2, 5, 4])],
    build: ([q, k, v]) => attention(q!, k!, v!, 1),
    throws: /queries and keys differ in batch or width: got \[1, 2, 3, 4\] and \[1, 2, 5, 3\]/,
  },
]);

test("the derivative passes once over what is as large as the scores", () => {
  const graph = new Graph();
  const feed = (name: string, shape: readonly (number | string)[]) =>
    graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
  const [q, k, v] = [feed("q", ["B", 6, "T", 8]), feed("k", ["B", 2, "T", 8]), feed("v", ["B", 2, "T", 8])];
  const y = attention(q, k, v, 1);
  const before = graph.nodes.length;
  grad(y, [q, k, v], feed("dY", ["B", 6, "T", 8]));
  const passes = graph.nodes.slice(before).filter(({ op, outputs }) => {
    const { shape } = outputs[0]!.type;
    return op.elementwise === true && shape.at(-1)!.name === dim("T").name;
  });
  assert.deepEqual(
    passes.map(({ op }) => op.name),
    ["mul"],
  );
});
