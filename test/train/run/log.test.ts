import assert from "node:assert/strict";
import { appendFile, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { RunLog, timedelta } from "../../../src/train/run/log.ts";
import { metricsOf } from "../../../src/train/run/log-rows.ts";
import { writeResults } from "../../../src/train/run/results.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** A clock that is set by hand. */
function clock(): { now: () => number; ms: number } {
  const at = { ms: 1000, now: () => at.ms };
  return at;
}

async function lines(outputDir: string): Promise<string[]> {
  return (await readFile(join(outputDir, "trainer_log.jsonl"), "utf8")).trimEnd().split("\n");
}

suite("the log of a run", () => {
  test("rows of transformers in memory, lines of LLaMA-Factory on the disk", async (context) => {
    const outputDir = join(await temporaryFolder(context), "out");
    const time = clock();
    const log = await RunLog.open({ outputDir, totalSteps: 40, now: time.now });
    time.ms += 10_000;
    const train = { step: 10, epoch: 0.5, loss: 2.125, learningRate: 5e-5, gradNorm: 1.5, tokensSeen: 1234 };
    assert.deepEqual(await log.train(train), {
      epoch: 0.5,
      grad_norm: 1.5,
      learning_rate: 5e-5,
      loss: 2.125,
      step: 10,
    });
    // The line is there before the next one is due.
    assert.equal((await lines(outputDir)).length, 1);
    time.ms += 2500;
    const speed = { runtimeMs: 2500, samples: 10, steps: 5 };
    await log.evaluate({ step: 10, epoch: 0.5, loss: 2, speed, metrics: { accuracy: 0.75 } });
    time.ms += 30_000;
    await log.train({ step: 40, epoch: 2, loss: 1, learningRate: 0, tokensSeen: 5000 });
    await log.finish({ step: 40, epoch: 2, loss: 1.5, speed: { samples: 85, steps: 40 }, tokensSeen: 5000 });
    assert.deepEqual(await lines(outputDir), [
      '{"current_steps": 10, "total_steps": 40, "loss": 2.125, "lr": 5e-05, "epoch": 0.5, "percentage": 25.0, "elapsed_time": "0:00:10", "remaining_time": "0:00:30", "throughput": 123.4, "total_tokens": 1234}',
      '{"current_steps": 10, "total_steps": 40, "eval_loss": 2.0, "accuracy": 0.75, "epoch": 0.5, "percentage": 25.0, "elapsed_time": "0:00:12", "remaining_time": "0:00:37"}',
      '{"current_steps": 40, "total_steps": 40, "loss": 1.0, "lr": 0.0, "epoch": 2.0, "percentage": 100.0, "elapsed_time": "0:00:42", "remaining_time": "0:00:00", "throughput": 117.65, "total_tokens": 5000}',
      '{"current_steps": 40, "total_steps": 40, "epoch": 2.0, "percentage": 100.0, "elapsed_time": "0:00:42", "remaining_time": "0:00:00", "throughput": 117.65, "total_tokens": 5000}',
    ]);
    assert.deepEqual(log.history[1], {
      epoch: 0.5,
      eval_loss: 2,
      eval_perplexity: Math.exp(2),
      eval_accuracy: 0.75,
      eval_runtime: 2.5,
      eval_samples_per_second: 4,
      eval_steps_per_second: 2,
      step: 10,
    });
    assert.deepEqual(log.history[3], {
      epoch: 2,
      step: 40,
      total_flos: 0,
      train_loss: 1.5,
      train_runtime: 42.5,
      train_samples_per_second: 2,
      train_steps_per_second: 0.941,
    });
  });

  test("a resumed run drops later rows and half a line, and counts speed from where it is", async (context) => {
    const outputDir = await temporaryFolder(context);
    const time = clock();
    const first = await RunLog.open({ outputDir, totalSteps: 40, now: time.now });
    for (const step of [10, 20, 30]) await first.train({ step, epoch: step / 20, loss: 1, learningRate: 1e-3 });
    await appendFile(join(outputDir, "trainer_log.jsonl"), '{"current_steps": 1');
    const resume = { step: 20, history: first.history.slice(0, 2), tokensSeen: 2000, elapsedMs: 60_000 };
    const second = await RunLog.open({ outputDir, totalSteps: 40, resume, now: time.now });
    time.ms += 5000;
    await second.train({ step: 30, epoch: 1.5, loss: 0.5, learningRate: 1e-3, tokensSeen: 3000 });
    const rows = (await lines(outputDir)).map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      rows.map((row) => row["current_steps"]),
      [10, 20, 30],
    );
    assert.equal(rows[2]?.["elapsed_time"], "0:01:05");
    // 10 steps in 5 s, 10 to go.
    assert.equal(rows[2]?.["remaining_time"], "0:00:05");
    assert.equal(rows[2]?.["throughput"], 200);
    assert.deepEqual(
      second.history.map(({ step }) => step),
      [10, 20, 30],
    );
    assert.equal(second.elapsedMs, 65_000);
  });

  test("a new run starts the file anew", async (context) => {
    const outputDir = await temporaryFolder(context);
    for (const loss of [1, 2]) {
      const log = await RunLog.open({ outputDir, totalSteps: 1 });
      await log.train({ step: 1, epoch: 1, loss, learningRate: 0 });
    }
    assert.equal((await lines(outputDir)).length, 1);
    assert.deepEqual(await readdir(outputDir), ["trainer_log.jsonl"]);
  });

  test("times look like Python's", () => {
    // Each as printed by str(timedelta(seconds=...)).
    const expected = ["0:00:10", "0:00:59", "1:00:00", "23:59:59", "1 day, 0:00:00", "2 days, 1:02:03"];
    assert.deepEqual([10.9, 59, 3600, 86_399, 86_400, 2 * 86_400 + 3723].map(timedelta), expected);
  });
});

suite("result files", () => {
  test("each split has its own, and all_results.json has them all", async (context) => {
    const outputDir = await temporaryFolder(context);
    await writeResults(outputDir, "train", metricsOf({ step: 4, epoch: 1, train_loss: 0.5, total_flos: 0 }));
    await writeResults(outputDir, "eval", metricsOf({ step: 4, epoch: 1, eval_loss: 2, eval_perplexity: Math.exp(2) }));
    assert.equal(
      await readFile(join(outputDir, "train_results.json"), "utf8"),
      '{\n    "epoch": 1.0,\n    "total_flos": 0.0,\n    "train_loss": 0.5\n}\n',
    );
    assert.deepEqual(JSON.parse(await readFile(join(outputDir, "all_results.json"), "utf8")), {
      epoch: 1,
      eval_loss: 2,
      eval_perplexity: Math.exp(2),
      total_flos: 0,
      train_loss: 0.5,
    });
    assert.deepEqual(Object.keys(JSON.parse(await readFile(join(outputDir, "eval_results.json"), "utf8")) as object), [
      "epoch",
      "eval_loss",
      "eval_perplexity",
    ]);
  });
});
