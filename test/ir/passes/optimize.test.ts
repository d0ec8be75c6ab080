/** Which passes a graph goes through, by what comes out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph } from "../../../src/ir/graph.ts";
import { add, matmul, mul, scalar, sub } from "../../../src/ir/ops/index.ts";
import { optimize } from "../../../src/ir/passes/index.ts";
import { shapeOf } from "../../../src/ir/shape.ts";

/** A layer with a bias, and an update of its weight that is large enough for tiles. */
function step(): Graph {
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", 520]) });
  const bias = graph.feed("bias", { dtype: "float32", shape: shapeOf([768]) });
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([768, 520]) });
  graph.output("y", add(matmul(x, w, { transB: true }), bias));
  graph.update(w, sub(w, mul(w, scalar(graph, 0.1))));
  return graph;
}

const opsOn = (device: "cpu" | "webgpu" | "cuda") =>
  optimize(step(), { device, typicalSizes: { B: 4 } }).nodes.map((node) => node.op.name);

test("the CPU updates in tiles, after the reader of the old weight", () => {
  const ops = opsOn("cpu");
  for (const name of ["mapRows", "after"]) assert.ok(ops.includes(name), `${name} in ${ops.join(" ")}`);
});

test("a GPU gets neither tiles nor waits; the bias is taken into the product", () => {
  for (const device of ["webgpu", "cuda"] as const) {
    assert.deepEqual(
      opsOn(device)
        .filter((name) => name !== "constant")
        .toSorted(),
      ["gemm", "mul", "sub"],
    );
  }
});
