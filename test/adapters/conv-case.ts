/** Adapters of PEFT's on a convolution: golden/make/peft_conv_methods.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { adapterHook } from "../../src/adapters/adapter.ts";
import { merge } from "../../src/adapters/merge.ts";
import { loadAdapter, saveAdapter } from "../../src/formats/peft/index.ts";
import { tensorKeys } from "../../src/formats/peft/tensor-keys.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import type { Tensor } from "../../src/runtime/runtime.ts";
import { convRig, logitsOf, lossOf, tracingOf } from "../../src/testing/method-rig.ts";

interface Golden {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Expected {
  readonly base: Readonly<Record<string, Golden>>;
  readonly x: Golden;
  readonly labels: readonly number[];
  readonly logits: Golden;
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Golden>>;
}

/** Both sides compute in float64, from the same float32 numbers; outputs are rounded to float32 here. */
const EXACT = 1e-6;

/** Declares a test. @param name a folder of golden/peft-conv */
export function itComputesOnConvolutions(name: string): void {
  it(`computes on convolutions as PEFT does: ${name}`, async () => {
    const dir = fileURLToPath(new URL(`../../../golden/peft-conv/${name}`, import.meta.url));
    const expected = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as Expected;
    const device = interpDevice();
    const rig = convRig([1, 0]);
    const float = ({ shape, data }: Golden): Tensor => ({ dtype: "float32", shape, data: Float32Array.from(data) });
    for (const [parameter, value] of Object.entries(expected.base)) await device.write(parameter, float(value));
    const { adapter, warnings } = await loadAdapter(device, rig.model, dir);
    assert.deepEqual(warnings, []);
    near(await logitsOf(device, rig, float(expected.x), [adapter]), expected.logits.data, "logits");

    const graph = new Graph();
    const loss = lossOf({ ...tracingOf(graph), adapt: adapterHook([adapter]) }, rig);
    const states = [...tensorKeys(adapter)];
    const values = states.map(([, spec]) => graph.inputs.find(({ value }) => value.name === spec.name)!.value);
    graph.output("loss", loss);
    grad(loss, values).forEach((gradient, i) => graph.output(states[i]![0], gradient));
    const executable = await device.compile(graph);
    const labels = { dtype: "int32", shape: [expected.labels.length], data: Int32Array.from(expected.labels) } as const;
    const results = await executable.run({ x: float(expected.x), labels });
    near(results.loss!, [expected.loss], "loss");
    assert.deepEqual(states.map(([key]) => key).sort(), Object.keys(expected.gradients).sort());
    for (const [key, { data }] of Object.entries(expected.gradients)) near(results[key]!, data, key);

    const out = await mkdtemp(join(tmpdir(), "lowrank-conv-case-"));
    await saveAdapter(device, adapter, out);
    const [ours, theirs] = [await tensorsOf(out), await tensorsOf(dir)];
    await rm(out, { recursive: true });
    assert.deepEqual(ours, theirs);

    await merge(device, adapter);
    near(await logitsOf(device, rig, float(expected.x), []), expected.logits.data, "merged logits");
  });
}

async function tensorsOf(dir: string): Promise<Map<string, readonly number[]>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  const tensors = new Map<string, readonly number[]>();
  for (const key of [...file.tensors.keys()].sort()) {
    tensors.set(key, [...file.tensors.get(key)!.shape, ...(await file.readFloat32(key))]);
  }
  await file.close();
  return tensors;
}

function near({ data }: Tensor, want: readonly number[], what: string): void {
  assert.equal(data.length, want.length, what);
  const largest = Math.max(...want.map(Math.abs));
  want.forEach((value, i) => {
    const error = Math.abs(Number(data[i]) - value) / largest;
    assert.ok(error <= EXACT, `${what}: element ${i} is ${data[i]}, not ${value} (${error.toExponential(1)})`);
  });
}
