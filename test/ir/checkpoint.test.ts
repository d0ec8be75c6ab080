/** Checkpointed regions: the same gradients, computed again when the backward pass needs them, and less memory. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { GraphError } from "../../src/errors.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph, type Node, reachable, results, type Value } from "../../src/ir/graph.ts";
import { cast } from "../../src/ir/ops/cast.ts";
import { gather } from "../../src/ir/ops/gather.ts";
import { less } from "../../src/ir/ops/less.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { randomUniform } from "../../src/ir/ops/random-uniform.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { sin } from "../../src/ir/ops/sin.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { optimize } from "../../src/ir/passes/index.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { assertClose } from "../support/close.ts";
import { deepMlp, deepMlpStates } from "../support/deep-mlp.ts";
import { modelNodes } from "../support/onnx-file.ts";
import { noise, runGraph } from "../support/run.ts";

const SMALL = { width: 5, layers: 7 };

async function onEach(use: (device: Device, tolerance: number) => Promise<void>): Promise<void> {
  await use(interpDevice(), 1e-12);
  const device = await ortDevice({ threads: 1 });
  // float32: recomputed values are the same bits; sums over the batch may be split among kernels in other ways.
  await use(device, 1e-5);
  await device.dispose();
}

test("the numbers are those without regions", async () => {
  await onEach(async (device, ofLargest) => {
    const feeds = [1, 2, 3].map((seed) => ({ x: noise([4, 5], seed) }));
    const plain = await runGraph(device, deepMlp(SMALL), deepMlpStates(SMALL), feeds);
    for (const region of [1, 2, 3, 7]) {
      const got = await runGraph(device, deepMlp({ ...SMALL, region }), deepMlpStates(SMALL), feeds);
      for (const [name, { data }] of Object.entries(plain.states)) {
        assertClose(got.states[name]!.data, data, { ofLargest }, `${device.kind}, region ${region}: ${name}`);
      }
    }
  });
});

test("random numbers of a region are the same the second time, and whole numbers can be its inputs", async () => {
  const build = (inRegion: boolean) => {
    const graph = new Graph();
    const tokens = graph.feed("tokens", { dtype: "int64", shape: shapeOf(["T"]) });
    const seed = graph.feed("seed", { dtype: "int32", shape: [] });
    const table = graph.state("table", { dtype: "float32", shape: shapeOf([9, 5]) });
    const w = graph.state("w", { dtype: "float32", shape: shapeOf([5, 5]) });
    const run = () => {
      const embedded = gather(table, tokens);
      const u = randomUniform(seed, { stream: 3, shape: ["T", 5] });
      return tanh(matmul(mul(tanh(embedded), cast(less(u, scalar(graph, 0.5)), "float32")), w));
    };
    const y = inRegion ? graph.checkpoint(run) : run();
    const loss = reduceSum(mul(y, y));
    const [dTable, dW] = grad(loss, [table, w]);
    graph.output("dTable", dTable!);
    graph.output("dW", dW!);
    return graph;
  };
  const states = { table: noise([9, 5], 1), w: noise([5, 5], 2) };
  const tokens = { dtype: "int64" as const, shape: [6], data: BigInt64Array.of(3n, 8n, 3n, 0n, 1n, 8n) };
  const feeds = [{ tokens, seed: { dtype: "int32" as const, shape: [], data: Int32Array.of(99) } }];
  await onEach(async (device, ofLargest) => {
    const plain = await runGraph(device, build(false), states, feeds);
    const again = await runGraph(device, build(true), states, feeds);
    for (const name of ["dTable", "dW"]) {
      assertClose(again.results[0]![name]!.data, plain.results[0]![name]!.data, { ofLargest }, name);
    }
  });
});

test("after all passes, regions are computed twice and the backward pass reads nothing of the first time", () => {
  const optimized = optimize(deepMlp({ ...SMALL, region: 3 }), { device: "cpu", typicalSizes: { B: 4096 } });
  const live = reachable(optimized, results(optimized));
  const isBackward = ({ scope }: Node) => scope.startsWith("backward");
  const activations = live.filter(({ op }) => op.name === "tanh");
  // Of each region, the last output is not needed again: its own value is kept, as the input of the next one.
  assert.equal(activations.filter((node) => !isBackward(node)).length, 7);
  assert.ok(activations.filter(isBackward).length >= 4, `${activations.filter(isBackward).length} recomputed`);
  const inner = new Set<Value>();
  for (const node of live) {
    if (node.region === undefined || isBackward(node)) continue;
    for (const output of node.outputs) {
      const readBy = live.filter((reader) => reader.inputs.includes(output) && !isBackward(reader));
      if (readBy.every(({ region }) => region === node.region)) inner.add(output);
    }
  }
  assert.ok(inner.size >= 8);
  const kept = live.filter((node) => isBackward(node) && node.inputs.some((input) => inner.has(input)));
  assert.deepEqual(
    kept.map(({ op, scope }) => `${scope}/${op.name}`),
    [],
  );
});

test("recomputation waits for the backward pass, from the first region on", () => {
  const optimized = optimize(deepMlp({ ...SMALL, region: 3 }), { device: "cpu", typicalSizes: { B: 4096 } });
  const loss = optimized.outputs.get("loss")!.producer!;
  const recomputed = optimized.nodes.filter(({ recomputes, op }) => recomputes !== undefined && op.name !== "constant");
  assert.ok(recomputed.length >= 12, `${recomputed.length} nodes`);
  const lossInputs = new Set(reachable(optimized, loss.inputs));
  for (const node of recomputed) {
    const depends = reachable(optimized, node.inputs);
    // All of them come after the last forward activation, which the first cotangent is made of.
    const lastForward = [...lossInputs].findLast(({ op }) => op.name === "tanh")!;
    assert.ok(depends.includes(lastForward), `${node.outputs[0]!.name} could run at once`);
  }
});

test("the engine's own optimizer does not merge what is computed again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lowrank-checkpoint-"));
  try {
    const device = await ortDevice({ threads: 1 });
    const sinesOf = async (region: number | undefined) => {
      // An activation that the engine does not fuse into the product before it.
      const options = { ...SMALL, ...(region === undefined ? {} : { region }), activation: sin };
      for (const [name, tensor] of Object.entries(deepMlpStates(options))) await device.write(name, tensor);
      const path = join(folder, `optimized-${region}.onnx`);
      const executable = await device.compile(deepMlp(options), { optimizedModelPath: path });
      await executable.dispose();
      return modelNodes(readFileSync(path)).filter(({ opType }) => opType === "Sin").length;
    };
    assert.equal(await sinesOf(undefined), 7);
    // The last activation of each region is not needed again: it is kept, or read by nothing.
    assert.equal(await sinesOf(7), 7 + 6);
    assert.equal(await sinesOf(3), 7 + 2 + 2);
    await device.dispose();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test(
  "peak memory falls",
  { skip: process.platform !== "linux" && "the peak is measured with glibc's settings" },
  () => {
    const script = fileURLToPath(new URL("checkpoint-peak.js", import.meta.url));
    // glibc keeps freed blocks of this size for later ones, as it raises this limit by itself; at a fixed one it gives them
    // back, and the peak is that of what is alive.
    const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: String(1 << 20) };
    const peak = (region: number) => {
      const args = [script, ...[8192, 256, 24, region].map(String)];
      return Number(execFileSync(process.execPath, args, { encoding: "utf8", env }));
    };
    const [plain, regions] = [peak(0), peak(4)];
    // One activation is 8 MiB. Kept for 24 layers that is 192 MiB; with regions of 4, the inputs of 6 regions and the 4
    // activations of one region are 80 MiB. Both need some more for what is being computed: 241 and 114 MiB were seen.
    assert.ok(plain > 192 << 20, `without regions the peak rises by ${plain >> 20} MiB`);
    assert.ok(regions < 0.65 * plain, `${regions >> 20} MiB with regions, ${plain >> 20} MiB without`);
  },
);

test("regions do not nest", () => {
  const graph = new Graph();
  assert.throws(
    () => graph.checkpoint(() => graph.checkpoint(() => undefined)),
    (error) => error instanceof GraphError && error.message === "checkpointed regions do not nest",
  );
  // And the graph is as before.
  graph.checkpoint(() => undefined);
});
