/** States whose sizes are named dimensions: the graph is compiled once, and runs on whatever they hold. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Graph } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { dim } from "../../src/ir/shape.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";

suite("states with named sizes", () => {
  test("one executable follows a state that grows, and updates it in place", async () => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(1)] });
    const cache = graph.state("cache", { dtype: "float32", shape: [dim("B"), dim("S")] });
    const next = add(mul(cache, scalar(graph, 2)), x);
    graph.update(cache, next);
    graph.output("sum", reduceSum(next, [1]));
    const device = await ortDevice({ threads: 1 });
    const feed = { x: { dtype: "float32" as const, shape: [2, 1], data: Float32Array.of(1, 10) } };
    await device.write("cache", { dtype: "float32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
    const executable = await device.compile(graph);
    assert.deepEqual([...(await executable.run(feed)).sum!.data], [15, 60]);
    assert.deepEqual([...(await device.read("cache")).data], [3, 5, 7, 18, 20, 22]);
    await device.write("cache", { dtype: "float32", shape: [2, 1], data: Float32Array.of(5, 7) });
    assert.deepEqual([...(await executable.run(feed)).sum!.data], [11, 24]);
    await device.write("cache", { dtype: "float32", shape: [3, 1], data: Float32Array.of(5, 7, 9) });
    await assert.rejects(executable.run(feed), /B/);
    await device.dispose();
  });
});
