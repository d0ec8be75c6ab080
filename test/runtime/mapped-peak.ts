/**
 * Started by cpu.test.ts in a process of its own: prints the bytes by which the process grows when a weight of a file is
 * compiled in, when a graph reads a few of its rows, and when it is a state that graphs may change.
 */
import { Graph } from "../../src/ir/graph.ts";
import { gather } from "../../src/ir/ops/gather.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";

const [path, rows, width] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])];
const device = await ortDevice({ threads: 1 });
await device.map("w", { dtype: "float32", shape: [rows, width], path, byteOffset: 0 });
const graph = new Graph();
const w = graph.state("w", { dtype: "float32", shape: shapeOf([rows, width]) });
graph.output("y", gather(w, graph.feed("rows", { dtype: "int32", shape: shapeOf(["N"]) })));
const feeds = { rows: { dtype: "int32" as const, shape: [3], data: Int32Array.of(0, 5, rows - 1) } };

const start = process.memoryUsage.rss();
const grown = () => process.memoryUsage.rss() - start;
const frozen = await device.compile(graph, { frozen: ["w"] });
const compiled = grown();
await frozen.run(feeds);
const used = grown();
await frozen.dispose();
const changeable = await device.compile(graph);
await changeable.run(feeds);
console.log(JSON.stringify({ compiled, used, changeable: grown() }));
await device.dispose();
