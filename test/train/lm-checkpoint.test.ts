/** Gradient checkpointing of a language model: the same steps, blocks computed again by the engine, and less memory. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { peakMemory } from "../../src/ir/memory.ts";
import { optimize } from "../../src/ir/passes/index.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { modelNodes } from "../support/onnx-file.ts";
import { smallDecoder } from "../support/small-decoder.ts";

const BLOCKS = 3;
const SMALL = { blocks: BLOCKS, width: 32, tokens: 24 };

test("the steps are the same, and the engine's optimised model computes every block's attention again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lowrank-checkpoint-"));
  try {
    const run = async (checkpoint: boolean) => {
      const device = await ortDevice({ threads: 1 });
      const { createStepper, batch } = smallDecoder({ ...SMALL, checkpoint });
      const path = join(folder, `${checkpoint}.onnx`);
      const stepper = await createStepper(device, { optimizedModelPath: path });
      const steps = [];
      for (let i = 0; i < 3; i++) steps.push(await stepper.step([batch], 1e-2));
      await device.dispose();
      const count = (type: string) => modelNodes(readFileSync(path)).filter(({ opType }) => opType === type).length;
      return { steps, attentions: count("Softmax"), silus: count("QuickGelu") };
    };
    const [plain, checkpointed] = [await run(false), await run(true)];
    // One more is the derivative of the loss.
    assert.equal(plain.attentions, BLOCKS + 1);
    assert.equal(checkpointed.attentions, 2 * BLOCKS + 1);
    // The middle of the MLP is cheap, and computed again in any case.
    assert.equal(plain.silus, 2 * BLOCKS);
    assert.equal(checkpointed.silus, 2 * BLOCKS);
    plain.steps.forEach(({ loss, gradNorm }, i) => {
      const other = checkpointed.steps[i]!;
      assert.ok(Math.abs(other.loss - loss) < 1e-5, `step ${i}: loss ${other.loss}, not ${loss}`);
      assert.ok(Math.abs(other.gradNorm / gradNorm - 1) < 1e-5, `step ${i}: norm ${other.gradNorm}, not ${gradNorm}`);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a block keeps no activation but its input until its backward pass", () => {
  const bytes = (blocks: number, checkpoint: boolean) => {
    const { graphs, typicalSizes } = smallDecoder({ ...SMALL, blocks, checkpoint });
    return peakMemory(optimize(graphs.accumulate, { device: "cpu", typicalSizes }), typicalSizes).bytes;
  };
  const perBlock = (checkpoint: boolean) => (bytes(6, checkpoint) - bytes(4, checkpoint)) / 2;
  const { tokens, width } = SMALL;
  // Gradients wait for the end of the run: A and B of seven layers, r = 4. The peak is in the backward pass of the first
  // block, when the others have left nothing else; or before it, when there are inputs instead.
  const kvWidth = width / 2;
  const gradients = 4 * 4 * (2 * (width + width) + 2 * (width + kvWidth) + 3 * (width + 3 * width));
  assert.equal(perBlock(true), Math.max(gradients, 4 * tokens * width));
  // Gate and up of the MLP, the weights of the attention.
  assert.ok(perBlock(false) > gradients + 4 * (6 * tokens * width + 4 * tokens * tokens));
});

test(
  "peak memory falls",
  { skip: process.platform !== "linux" && "the peak is measured with glibc's settings" },
  () => {
    const script = fileURLToPath(new URL("lm-checkpoint-peak.js", import.meta.url));
    // Freed blocks are given back at once, so that the peak is that of what is alive.
    const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: String(1 << 18) };
    const peak = (kind: string) => Number(execFileSync(process.execPath, [script, kind], { encoding: "utf8", env }));
    const [plain, checkpointed] = [peak("plain"), peak("checkpoint")];
    // Kept per block: weights of 4 heads, 4 MiB, and a dozen activations of 1/4 MiB.
    assert.ok(plain > 70 << 20, `without checkpoints the peak rises by ${plain >> 20} MiB`);
    assert.ok(checkpointed < 0.5 * plain, `${checkpointed >> 20} MiB with checkpoints, ${plain >> 20} MiB without`);
  },
);
