import assert from "node:assert/strict";
import test from "node:test";
import { Graph } from "../../../src/ir/graph.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { tanh } from "../../../src/ir/ops/tanh.ts";
import { removeDeadCode } from "../../../src/ir/passes/dead-code.ts";
import { shapeOf } from "../../../src/ir/shape.ts";

test("nodes that nothing depends on go; inputs, outputs and updates stay", () => {
  const graph = new Graph();
  const type = { dtype: "float32" as const, shape: shapeOf([3]) };
  const [x, unused, w] = [graph.feed("x", type), graph.feed("unused", type), graph.state("w", type)];
  tanh(tanh(unused));
  graph.output(
    "y",
    graph.scope("layer", () => mul(x, x)),
  );
  graph.update(w, tanh(w));
  const after = removeDeadCode(graph);
  assert.deepEqual(
    after.nodes.map(({ op, scope }) => [op.name, scope]),
    [
      ["mul", "layer"],
      ["tanh", ""],
    ],
  );
  assert.deepEqual(
    after.inputs.map(({ kind, value }) => [kind, value.name]),
    [
      ["feed", "x"],
      ["feed", "unused"],
      ["state", "w"],
    ],
  );
  assert.deepEqual([...after.outputs.keys()], ["y"]);
  assert.deepEqual(
    [...after.updates.keys()].map(({ name }) => name),
    ["w"],
  );
});
