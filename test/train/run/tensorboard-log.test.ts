import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { emit, type StartEvent } from "../../../src/train/run/events.ts";
import { curveName, tensorboardLog } from "../../../src/train/run/tensorboard-log.ts";
import { temporaryFolder } from "./temporary-folder.ts";

suite("TensorBoard log", () => {
  test("curves have the names of transformers' callback", () => {
    assert.deepEqual(["loss", "eval_loss", "test_x", "train_loss", "analysis_intruders"].map(curveName), [
      "train/loss",
      "eval/loss",
      "test/x",
      "train/train_loss",
      "analysis/intruders",
    ]);
  });

  test("a run leaves one event file in runs/<time>_<host>, with its settings and its rows", async (context) => {
    const outputDir = await temporaryFolder(context);
    const callbacks = [tensorboardLog({ now: () => new Date(2024, 5, 3, 14, 5, 9).getTime() })];
    await emit(callbacks, "onStart", { ...START, outputDir });
    const rows = [
      { step: 10, epoch: 0.5, loss: 2, learning_rate: 1e-4, grad_norm: 1 },
      { step: 10, epoch: 0.5, eval_loss: 3 },
    ];
    for (const row of rows) await emit(callbacks, "onLog", { row, tokensSeen: 0 });
    await emit(callbacks, "onEnd", { reason: "finished", step: 10, elapsedMs: 1 });
    const [run = "", ...otherRuns] = await readdir(join(outputDir, "runs"));
    assert.match(run, /^Jun03_14-05-09_./);
    assert.deepEqual(otherRuns, []);
    const [file = ""] = await readdir(join(outputDir, "runs", run));
    const text = await readFile(join(outputDir, "runs", run, file), "latin1");
    const tags = ["train/epoch", "train/loss", "train/learning_rate", "train/grad_norm", "eval/loss"];
    for (const tag of [...tags, "args/text_summary", '"lora_rank": 8']) assert.ok(text.includes(tag), tag);
  });

  test("a run with a folder of its own, resumed, hides the steps that it takes again", async (context) => {
    const loggingDir = join(await temporaryFolder(context), "logs");
    const callbacks = [tensorboardLog({ loggingDir })];
    await emit(callbacks, "onStart", { ...START, startStep: 40 });
    await emit(callbacks, "onEnd", { reason: "interrupted", step: 40, elapsedMs: 1 });
    const [file = ""] = await readdir(loggingDir);
    // step: 41, session_log { status: START }
    assert.ok((await readFile(join(loggingDir, file))).toString("hex").includes("1029" + "3a020801"));
  });
});

const START: StartEvent = {
  outputDir: "unused",
  totalSteps: 20,
  totalEpochs: 1,
  startStep: 0,
  startTokens: 0,
  trainableParameters: 1,
  allParameters: 2,
  settings: { lora_rank: 8 },
};
