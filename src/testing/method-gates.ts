/** A method behind a gate: on, off or scaled for each row of a batch. */
import assert from "node:assert/strict";
import { adapterHook } from "../adapters/adapter.ts";
import { Graph } from "../ir/graph.ts";
import { expand } from "../ir/ops/expand.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { dim } from "../ir/shape.ts";
import type { LayerHook } from "../nn/module.ts";
import { type Bench, ROWS, scatter } from "./method-bench.ts";
import { numbersOf, ROUNDING } from "./method-numbers.ts";
import { feedInput, logitsOf, tracingOf } from "./method-rig.ts";

export async function checkGates({ device, rig, adapter, x }: Bench): Promise<void> {
  await scatter({ device, rig, adapter });
  const base = numbersOf(await logitsOf(device, rig, x, []));
  const adapted = numbersOf(await logitsOf(device, rig, x, [adapter]));
  const open = Float32Array.from({ length: ROWS }, (_, row) => row % 3);

  const graph = new Graph();
  const gate = graph.feed("gate", { dtype: "float32", shape: [dim("B")] });
  const perToken = (count: number) => {
    const tokens = expand(reshape(gate, [-1, 1]), [dim("B"), dim(count)]);
    return new Map([[adapter.name, reshape(tokens, [-1, 1])]]);
  };
  const [perRow, perInput] = [perToken(1), perToken(rig.input[0]!)];
  // Embeddings see the tokens of an input one by one, what comes after them a row for all of them.
  const hooks = {
    rows: adapterHook([adapter], { gates: perRow }),
    tokens: adapterHook([adapter], { gates: perInput }),
  };
  const adapt: LayerHook = (call) => hooks[call.layer.kind === "embedding" ? "tokens" : "rows"](call);
  graph.output("logits", rig.model.forward({ ...tracingOf(graph), adapt }, { x: feedInput(graph, rig) }));
  const executable = await device.compile(graph);
  const run = async (data: Float32Array) =>
    numbersOf((await executable.run({ x, gate: { dtype: "float32", shape: [ROWS], data } })).logits!);
  assert.deepEqual(await run(new Float32Array(ROWS)), base);
  const whole = await run(new Float32Array(ROWS).fill(1));
  const mixed = await run(open);
  await executable.dispose();
  const largest = Math.max(...adapted.map(Math.abs));
  whole.forEach((value, i) => assert.ok(Math.abs(value - adapted[i]!) <= ROUNDING * largest));
  mixed.forEach((value, i) => {
    const weight = open[Math.floor(i / rig.classes)]!;
    if (weight === 0) assert.equal(value, base[i]);
    else if (weight === 1) assert.equal(value, whole[i]);
    else if (adapter.method.gated === true) assert.notEqual(value, whole[i]);
    else assert.equal(value, whole[i]);
  });
}
