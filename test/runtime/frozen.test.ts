/** Weights that were mapped from a file, after something has trained them. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add, matmul, mul, scalar } from "../../src/ir/ops/index.ts";
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

/** Bytes of this process that no file backs. */
function anonymousBytes(): number {
  return 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]);
}

const noProc = existsSync("/proc/self/status") ? false : "only Linux tells what memory is backed by files";

test("a frozen weight stays in its file, unless it is rearranged for small batches", { skip: noProc }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "lowrank-prepack-"));
  const path = join(folder, "w.safetensors");
  const n = 4096;
  const fileBytes = 4 * n * n;
  await writeSafetensors(path, [{ name: "w", dtype: "F32", shape: [n, n], data: async () => new Float32Array(n * n) }]);
  const file = await openSafetensors(path);
  const { byteOffset } = file.tensors.get("w")!;
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf([4, n]) });
  const w = graph.state("w", { dtype: "float32", shape: shapeOf([n, n]) });
  graph.output("y", matmul(x, w, { transB: true }));
  const device = await ortDevice({ threads: 1 });
  try {
    await device.map("w", { dtype: "float32", shape: [n, n], path: file.path, byteOffset });
    const grownBy = async (prepack: boolean) => {
      const before = anonymousBytes();
      const executable = await device.compile(graph, { frozen: ["w"], prepack });
      await executable.run({ x: { dtype: "float32", shape: [4, n], data: new Float32Array(4 * n).fill(1) } });
      const grown = anonymousBytes() - before;
      await executable.dispose();
      return grown;
    };
    assert.ok((await grownBy(false)) < fileBytes / 2, "mapped");
    assert.ok((await grownBy(true)) > fileBytes / 2, "a copy of its own");
  } finally {
    await device.dispose();
    await file.close();
    rmSync(folder, { recursive: true });
  }
});
