import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ProgressView } from "../../../src/cli/train/progress-view.ts";
import { emit, type StartEvent, type StepEvent } from "../../../src/train/run/events.ts";
import { TokenRate } from "../../../src/train/run/progress-line.ts";
import { FakeOutput } from "../terminal/fake-output.ts";

const START: StartEvent = {
  outputDir: "out",
  totalSteps: 300,
  totalEpochs: 3,
  startStep: 0,
  startTokens: 0,
  trainableParameters: 540_672,
  allParameters: 494_573_440,
  settings: {},
};

const STEP: StepEvent = {
  step: 10,
  epoch: 0.1,
  loss: 1.83214,
  learningRate: 9.87e-5,
  tokensSeen: 5120,
  memoryBytes: 2.25 * 2 ** 30,
};

function view(isTTY: boolean, columns = 120): { stream: FakeOutput; callbacks: ProgressView[]; time: { ms: number } } {
  const stream = new FakeOutput({ isTTY, columns, depth: 1 });
  const time = { ms: 0 };
  return { stream, callbacks: [new ProgressView({ stream, env: {}, now: () => time.ms })], time };
}

suite("progress of a training run", () => {
  test("what was found in the weights is a line of its own, on a terminal too", async () => {
    const metrics = {
      analysis_intruders: 16,
      analysis_matrices: 28,
      analysis_effective_rank: 5.9831,
      analysis_overlap: 0.1412,
      analysis_overlap_random: 0.0856,
      analysis_threat: 0,
    };
    const losses = { analysis_loss: 0.65972, analysis_base_loss: 0.36875, analysis_forgetting: 0.78907 };
    for (const isTTY of [false, true]) {
      const { stream, callbacks } = view(isTTY);
      await emit(callbacks, "onStart", START);
      await emit(callbacks, "onLog", { row: { step: 30, epoch: 1, ...metrics }, tokensSeen: 1 });
      const found = "step 30: 16 intruders in 28 matrices, effective rank 5.98, overlap 0.14 (random 0.09)";
      assert.ok(stream.text.includes(found), stream.text);
      await emit(callbacks, "onLog", { row: { step: 30, epoch: 1, ...metrics, ...losses }, tokensSeen: 1 });
      assert.ok(stream.text.includes(`${found}, pretraining loss 0.6597 (+78.9%)`));
      await emit(callbacks, "onEnd", { reason: "failed", step: 30, elapsedMs: 1 });
    }
  });

  test("off a terminal: one line for each log row, and one for each event", async () => {
    const { stream, callbacks, time } = view(false);
    await emit(callbacks, "onStart", START);
    time.ms += 20_000;
    await emit(callbacks, "onStep", STEP);
    const row = { step: 10, epoch: 0.1, loss: 1.83214, learning_rate: 9.87e-5, grad_norm: 1.2345 };
    await emit(callbacks, "onLog", { row, tokensSeen: 5120 });
    const evaluation = { step: 10, epoch: 0.1, eval_loss: 1.5, eval_perplexity: 4.48168, eval_runtime: 3 };
    await emit(callbacks, "onLog", { row: evaluation, tokensSeen: 5120 });
    await emit(callbacks, "onEvaluate", { row: evaluation, best: true });
    await emit(callbacks, "onSave", { step: 10, path: "out/checkpoint-10", removed: ["out/checkpoint-5"] });
    await emit(callbacks, "onEnd", {
      reason: "interrupted",
      step: 10,
      loss: 1.9,
      elapsedMs: 20_000,
      checkpoint: "out/checkpoint-10",
    });
    assert.deepEqual(stream.text.trimEnd().split("\n"), [
      "trainable params: 540,672 || all params: 494,573,440 || trainable%: 0.1093",
      "step 10/300 (3.3%)  epoch 0.10  loss 1.832  lr 9.87e-5  grad_norm 1.23  256 tokens/s  2.3 GiB  0:20, 9:40 left",
      "step 10: eval_loss 1.5, eval_perplexity 4.482 (best so far)",
      "saved out/checkpoint-10, removed checkpoint-5",
      "interrupted after 10 steps in 0:20, mean loss 1.900",
    ]);
  });

  test("on a terminal: a bar with loss, learning rate, tokens/s, memory and the time left", async () => {
    const { stream, callbacks, time } = view(true);
    await emit(callbacks, "onStart", START);
    time.ms += 20_000;
    await emit(callbacks, "onStep", STEP);
    const drawn = stream.visible.split("\r").at(-1) ?? "";
    assert.match(
      drawn,
      /^training ━*─+ +3% +10\/300 .*0:20, 9:40 left loss=1\.832 lr=9\.87e-5 tok\/s=256 mem=2\.3 GiB/,
    );
    await emit(callbacks, "onEnd", { reason: "finished", step: 300, loss: 1, elapsedMs: 60_000 });
    assert.match(stream.visible, /\nfinished after 300 steps in 1:00, mean loss 1\.000\n$/);
    assert.doesNotMatch(stream.visible, /resume_from_checkpoint/);
  });

  test("on a narrow terminal the loss stays", async () => {
    const { stream, callbacks, time } = view(true, 80);
    await emit(callbacks, "onStart", START);
    time.ms += 20_000;
    await emit(callbacks, "onStep", STEP);
    assert.match(stream.visible.split("\r").at(-1) ?? "", /loss=1\.832 lr=9\.87e-5 tok\/s=256 mem=2\.3 GiB/);
  });

  test("paged optimizer states are said", async () => {
    const { stream, callbacks } = view(false);
    const paging = { resident: 5e8, paged: 3_452_000_000, atOnce: 67_108_864 };
    await emit(callbacks, "onStart", { ...START, paging });
    assert.match(
      stream.text,
      /optimizer states: 500\.0 MB in memory, 3\.5 GB paged to the disk, at most 67\.1 MB of it read at a time\n/,
    );
  });

  test("a resumed run says so, and its time left is that of the steps that are left", async () => {
    const { stream, callbacks, time } = view(false);
    await emit(callbacks, "onStart", { ...START, startStep: 200, startTokens: 1e6, resumedFrom: "out/checkpoint-200" });
    time.ms += 10_000;
    await emit(callbacks, "onStep", { ...STEP, step: 250, tokensSeen: 1e6 + 500 });
    const row = { step: 250, epoch: 2.5, loss: 1, learning_rate: 0 };
    await emit(callbacks, "onLog", { row, tokensSeen: 0 });
    assert.match(stream.text, /resumed from out\/checkpoint-200, 200 of 300 steps done\n/);
    assert.match(stream.text, /lr 0 {2}50 tokens\/s .* 0:10, 0:10 left\n/);
  });

  test("skipped samples are named at first, then counted", async () => {
    const { stream, callbacks } = view(false);
    await emit(callbacks, "onStart", START);
    for (let i = 1; i <= 5; i++) {
      const sources = [`data.jsonl:${i}`];
      await emit(callbacks, "onSkip", {
        step: i,
        reason: "no token to train on",
        samples: 1,
        sources,
        totalSkipped: i,
      });
    }
    await emit(callbacks, "onEnd", { reason: "finished", step: 300, elapsedMs: 0 });
    assert.equal([...stream.text.matchAll(/skipped 1 sample \(no token to train on\): data\.jsonl:\d\n/g)].length, 3);
    assert.match(stream.text, /skipped 5 samples in all\n/);
  });

  test("tokens per second are those of the last seconds", () => {
    const rate = new TokenRate(0, 1000);
    assert.equal(rate.update(0, 1000), undefined);
    for (let s = 1; s <= 100; s++) rate.update(s * 1000, 1000 + s * 100);
    // Half as fast from here on.
    let last: number | undefined;
    for (let s = 1; s <= 20; s++) last = rate.update(100_000 + s * 1000, 11_000 + s * 50);
    assert.equal(last, 50);
  });
});
