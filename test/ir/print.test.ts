import assert from "node:assert/strict";
import test from "node:test";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { relu } from "../../src/ir/ops/relu.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { sub } from "../../src/ir/ops/sub.ts";
import { removeDeadCode } from "../../src/ir/passes/dead-code.ts";
import { printGraph } from "../../src/ir/print.ts";
import { dim } from "../../src/ir/shape.ts";

test("a training step as text", () => {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(5, "I")] });
  const w = graph.state("fc1.weight", { dtype: "float32", shape: [dim(3, "O"), dim(5, "I")] });
  const b = graph.state("fc1.bias", { dtype: "float32", shape: [dim(3, "O")] });
  const y = graph.scope("fc1", () => relu(add(matmul(x, w, { transB: true }), b)));
  const loss = reduceSum(mul(y, y));
  const [dW] = grad(loss, [w]);
  graph.update(
    w,
    graph.scope("sgd", () => sub(w, mul(dW!, scalar(graph, 0.1)))),
  );
  graph.output("loss", loss);
  graph.output("flat", reshape(y, [-1]));
  const printed = printGraph(removeDeadCode(graph));
  // The lines of the forward pass and of the update; the backward pass is that of relu.ts and matmul.ts.
  const lines = printed.split("\n").filter((line) => !line.startsWith("backward"));
  assert.equal(
    lines.map((line) => line.replaceAll(/%\d+/g, "%n")).join("\n"),
    `\
feed          x: float32[B, I=5]
state         fc1.weight: float32[O=3, I=5]
state         fc1.bias: float32[O=3]
fc1           %n: float32[B, O=3] = matmul(x, fc1.weight) {transB: true}
fc1           %n: float32[B, O=3] = add(%n, fc1.bias)
fc1           %n: float32[B, O=3] = relu(%n)
              %n: float32[B, O=3] = mul(%n, %n)
              %n: float32[] = reduceSum(%n) {axes: [0,1]}
sgd           %n: float32[] = constant() {values: [0.1]}
sgd           %n: float32[O=3, I=5] = mul(%n, %n)
sgd           %n: float32[O=3, I=5] = sub(fc1.weight, %n)
              %n: float32[3*B] = reshape(%n)
update        fc1.weight <- %n
output        loss = %n
output        flat = %n
`,
  );
  assert.match(printed, /backward\.fc1 {2}%\d+: float32\[O=3, I=5\] = matmul\(%\d+, x\)/);
});
