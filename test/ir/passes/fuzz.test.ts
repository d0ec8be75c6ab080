/** Passes keep what a graph computes: random graphs before and after each of them, and on the engine. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Graph } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { mergeCommonSubexpressions } from "../../../src/ir/passes/common-subexpressions.ts";
import { removeDeadCode } from "../../../src/ir/passes/dead-code.ts";
import { foldConstants } from "../../../src/ir/passes/fold-constants.ts";
import { orderInPlace } from "../../../src/ir/passes/in-place.ts";
import { optimize } from "../../../src/ir/passes/index.ts";
import { reassociate } from "../../../src/ir/passes/reassociate.ts";
import { tileUpdates } from "../../../src/ir/passes/tile-updates.ts";
import { interpDevice, interpret } from "../../../src/runtime/interp.ts";
import { ortDevice } from "../../../src/runtime/node/device-node.ts";
import type { Device, Tensor } from "../../../src/runtime/runtime.ts";
import { assertClose } from "../../support/close.ts";
import { randomGraph, type RandomGraph } from "../../support/random-graph.ts";
import { runGraph } from "../../support/run.ts";
import { unsafeReads } from "../../support/unsafe-reads.ts";

const PASSES: Readonly<Record<string, (graph: Graph) => Graph>> = {
  removeDeadCode,
  mergeCommonSubexpressions,
  foldConstants,
  reassociate: (graph) => reassociate(graph, { B: 4 }),
  orderInPlace,
  tileUpdates: (graph) => tileUpdates(orderInPlace(graph)),
  optimize: (graph) => optimize(graph, { device: "cpu", typicalSizes: { B: 4 } }),
  "optimize for a GPU": (graph) => optimize(graph, { device: "webgpu", typicalSizes: {} }),
};

for (const [name, pass] of Object.entries(PASSES)) {
  test(`${name} keeps the results of random graphs`, () => {
    for (let seed = 0; seed < 150; seed++) {
      const { graph, states, feeds } = randomGraph(seed, { nodes: 25, updates: true });
      const inputs = Object.fromEntries(
        Object.entries({ ...states, ...feeds[0] }).map(([key, { shape, data }]) => [key, arrayOf({ shape, data })]),
      );
      const wanted = interpret(graph, inputs);
      const passed = pass(graph);
      const got = interpret(passed, inputs);
      // float64; a new order of products rounds in another way.
      for (const [key, { data }] of Object.entries(wanted.outputs)) {
        assertClose(got.outputs[key]!.data, data, { ofLargest: 1e-12 }, `seed ${seed}: ${key}`);
      }
      // A state that keeps its contents needs no update.
      const kept = Object.fromEntries(Object.keys(states).map((key) => [key, inputs[key]!]));
      const [before, now] = [
        { ...kept, ...wanted.updates },
        { ...kept, ...got.updates },
      ];
      for (const [key, { data }] of Object.entries(before)) {
        assertClose(now[key]!.data, data, { ofLargest: 1e-12 }, `seed ${seed}: ${key}`);
      }
    }
  });
}

test("after orderInPlace, every reader of an updated state comes before its writer", () => {
  let reordered = 0;
  for (let seed = 0; seed < 300; seed++) {
    const { graph } = randomGraph(seed, { nodes: 25, updates: true });
    if (unsafeReads(graph).length > 0) reordered++;
    assert.deepEqual(unsafeReads(orderInPlace(graph)), [], `seed ${seed}`);
  }
  assert.ok(reordered > 100, `only ${reordered} of the graphs put the pass to the test`);
});

describe("random graphs on the engine", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 1 });
  });
  after(() => device.dispose());

  test("are those of the interpreter, over two runs that update states in place", async () => {
    for (let seed = 0; seed < 60; seed++) {
      const made = randomGraph(seed + 5000, { nodes: 25, updates: true });
      const wanted = await run(interpDevice(), made);
      const got = await run(device, made);
      for (const [key, { data }] of Object.entries(wanted)) {
        // float32 over a chain of up to 25 operations on numbers near 1, twice.
        assertClose(got[key]!.data, data, { ofLargest: 2e-5, absolute: 1e-6 }, `seed ${seed + 5000}: ${key}`);
      }
    }
  });
});

async function run(on: Device, { graph, states, feeds }: RandomGraph): Promise<Record<string, Tensor>> {
  const { results: all, states: after } = await runGraph(on, graph, states, feeds);
  const outputs = all.flatMap((one, i) =>
    Object.entries(one).map(([key, value]) => [`run ${i} ${key}`, value] as const),
  );
  return { ...Object.fromEntries(outputs), ...after };
}

function arrayOf({ shape, data }: Pick<Tensor, "shape" | "data">) {
  return ndarray(shape, Array.from(data, Number));
}
