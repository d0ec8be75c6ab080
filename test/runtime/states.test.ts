/** States that are written under another shape or type than a graph has for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EngineError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add, scalar } from "../../src/ir/ops/index.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";

test("a state has to fit the graph when it is compiled, and when it runs", async () => {
  const graph = new Graph();
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([2, 3]) });
  graph.update(w, add(w, scalar(graph, 1)));
  const misfit = (got: string) => (error: unknown) => {
    assert.ok(error instanceof EngineError);
    assert.equal(error.message, `w: the state does not fit the graph: got ${got}, expected float32[2, 3]`);
    return true;
  };
  const device = await ortDevice({ threads: 1 });
  const write = (length: number) =>
    device.write("w", { dtype: "float32", shape: [length], data: new Float32Array(length) });
  try {
    await write(5);
    await assert.rejects(device.compile(graph), misfit("float32[5]"));
    await device.write("w", { dtype: "int32", shape: [2, 3], data: new Int32Array(6) });
    await assert.rejects(device.compile(graph), misfit("int32[2, 3]"));
    await device.write("w", { dtype: "float32", shape: [3, 2], data: new Float32Array(6) });
    await assert.rejects(device.compile(graph), misfit("float32[3, 2]"));
    await device.write("w", { dtype: "float32", shape: [2, 3], data: new Float32Array(6) });
    const executable = await device.compile(graph);
    await executable.run({});
    await write(7);
    await assert.rejects(executable.run({}), misfit("float32[7]"));
  } finally {
    await device.dispose();
  }
});
