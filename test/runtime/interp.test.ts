/** The interpreter as a device: what it shares with the others. */
import assert from "node:assert/strict";
import test from "node:test";
import { EngineError, ShapeError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { float32 } from "../support/run.ts";

function doubling(): Graph {
  const graph = new Graph();
  const p = graph.state("p", { dtype: "float32", shape: shapeOf([2]) });
  graph.update(p, mul(p, scalar(graph, 2)));
  graph.output("sum", add(p, graph.feed("x", { dtype: "float32", shape: shapeOf([2]) })));
  return graph;
}

test("states keep float64 between runs, and results are those before the update", async () => {
  const device = interpDevice();
  await device.write("p", float32([2], [1, 1 / 3]));
  const executable = await device.compile(doubling());
  const x = float32([2], [0, 1]);
  assert.deepEqual([...(await executable.run({ x }))["sum"]!.data], [1, Math.fround(Math.fround(1 / 3) + 1)]);
  await executable.run({ x });
  assert.deepEqual([...(await device.read("p")).data], [4, 4 * Math.fround(1 / 3)]);
});

test("16-bit floats come and go as bit patterns", async () => {
  const device = interpDevice();
  for (const [dtype, one] of [
    ["float16", 0x3c00],
    ["bfloat16", 0x3f80],
  ] as const) {
    const graph = new Graph();
    const x = graph.feed("x", { dtype, shape: shapeOf([1]) });
    graph.output("y", mul(x, scalar(graph, -1, dtype)));
    const executable = await device.compile(graph);
    const { y } = await executable.run({ x: { dtype, shape: [1], data: Uint16Array.of(one) } });
    assert.deepEqual([...y!.data], [one | 0x8000]);
  }
});

test("feeds and states that are missing or do not fit, and a disposed device, are errors", async () => {
  const device = interpDevice();
  const is =
    (type: typeof ShapeError | typeof EngineError, message: RegExp) =>
    (error: unknown): boolean => {
      assert.ok(error instanceof type);
      assert.match(error.message, message);
      return true;
    };
  await assert.rejects(device.compile(doubling()), is(EngineError, /^p: there is no such state/));
  await assert.rejects(device.write("p", float32([3], [1])), is(ShapeError, /^p: data does not fill the tensor/));
  await device.write("p", float32([2], [1, 2]));
  const executable = await device.compile(doubling());
  await assert.rejects(executable.run({}), is(ShapeError, /^x: input is missing/));
  const wrong = { dtype: "int32" as const, shape: [2], data: new Int32Array(2) };
  await assert.rejects(executable.run({ x: wrong }), is(ShapeError, /^x: input does not fit: got int32\[2\]/));
  await executable.dispose();
  await assert.rejects(executable.run({ x: float32([2], [1, 2]) }), is(EngineError, /disposed/));
  await device.dispose();
  await assert.rejects(device.read("p"), is(EngineError, /the device has been disposed/));
  await assert.rejects(device.compile(new Graph()), is(EngineError, /the device has been disposed/));
});
