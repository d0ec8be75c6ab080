/** Weights that were mapped from a file, after something has trained them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add, mul, scalar } from "../../src/ir/ops/index.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";

test("a graph that freezes a mapped weight sees what an update made of it, not the file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lowrank-frozen-"));
  const path = join(folder, "w.safetensors");
  await writeSafetensors(path, [{ name: "w", dtype: "F32", shape: [3], data: Float32Array.of(1, 2, 3) }]);
  const file = await openSafetensors(path);
  const { byteOffset } = file.tensors.get("w")!;
  const type = { dtype: "float32", shape: shapeOf([3]) } as const;
  const training = new Graph();
  const w = training.state("w", type);
  training.update(w, add(w, scalar(training, 10)));
  const reading = new Graph();
  reading.output("y", mul(reading.state("w", type), scalar(reading, 2)));
  const device = await ortDevice({ threads: 1 });
  try {
    await device.map("w", { dtype: "float32", shape: [3], path: file.path, byteOffset });
    const before = await device.compile(reading, { frozen: ["w"] });
    await (await device.compile(training)).run({});
    const after = await device.compile(reading, { frozen: ["w"] });
    assert.deepEqual([...(await before.run({})).y!.data], [2, 4, 6], "compiled in before the update");
    assert.deepEqual([...(await after.run({})).y!.data], [22, 24, 26]);
  } finally {
    await device.dispose();
    await file.close();
    rmSync(folder, { recursive: true });
  }
});
