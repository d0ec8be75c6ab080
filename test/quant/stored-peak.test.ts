/** No float32 weight lives from the forward to the backward pass, or before its turn. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Graph } from "../../src/ir/graph.ts";
import { bfloat16 } from "../../src/quant/bfloat16.ts";
import { storedModel } from "../../src/quant/stored-model.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";

const WIDTH = 1024;
const LAYERS = 24;
/** A weight in float32. */
const WEIGHT = 4 * WIDTH * WIDTH;

for (const storage of ["bfloat16", "float16", "int4", "fp4", "nf4", "nf4-double"]) {
  test(
    `${storage}: a training step of ${LAYERS} layers takes the memory of a few weights`,
    { skip: process.platform !== "linux" && "the peak is measured with glibc's settings" },
    () => {
      const script = fileURLToPath(new URL("stored-peak.js", import.meta.url));
      const rise = (kept: string) =>
        Number(
          execFileSync(process.execPath, [script, storage, kept, String(WIDTH), String(LAYERS)], {
            encoding: "utf8",
            // glibc keeps freed blocks of this size for later ones; at a fixed limit it gives them back.
            env: { ...process.env, MALLOC_MMAP_THRESHOLD_: String(1 << 16) },
          }),
        );
      // Stored tensors that are read for the first time are in it, and making a weight takes two or three arrays of its size.
      // Kept weights would be 96 MiB; 31 MiB were seen for nf4, 56 for the 16-bit floats, and 112 where they are kept.
      const tensors = (storage.endsWith("16") ? 0.5 : 0.15) * WEIGHT * LAYERS;
      const [products, kept] = [rise("products"), storage === "nf4" ? rise("kept") : Infinity];
      assert.ok(products < tensors + 6 * WEIGHT, `the peak rises by ${products >> 20} MiB`);
      assert.ok(kept > LAYERS * WEIGHT, `with weights that are kept it rises by ${kept >> 20} MiB`);
    },
  );
}

test("the engine does not compute a weight's float32 values at load", async () => {
  const dir = await mkdtemp(join(tmpdir(), "lowrank-folded-"));
  const device = await ortDevice({ threads: 1 });
  try {
    const shape = [512, 512];
    const [path, optimized] = [join(dir, "w"), join(dir, "optimized.onnx")];
    await writeFile(path, new Uint8Array(2 * 512 * 512));
    await device.map("w.values", { dtype: "bfloat16", shape, path, byteOffset: 0 });
    const options = { doubleQuantization: false };
    const model = storedModel(new Map([["w", { storage: bfloat16, options, shape }]]));
    const graph = new Graph();
    graph.output("w", model.in(graph, "w")!.value());
    await device.compile(graph, { frozen: [...model.states], optimizedModelPath: optimized });
    const { size } = await stat(optimized);
    assert.ok(size < 4 * 512 * 512, `the model has ${size} bytes`);
  } finally {
    await device.dispose();
    await rm(dir, { recursive: true });
  }
});
