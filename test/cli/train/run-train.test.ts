/** Whole runs, from a configuration to the files that a person finds afterwards. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Interrupted } from "../../../src/cli/interrupt.ts";
import { runTrain } from "../../../src/cli/train/run-train.ts";
import type { TrainerCallback } from "../../../src/train/run/events.ts";
import type { LogRow } from "../../../src/train/run/log-rows.ts";

const DATA = process.env["LOWRANK_TEST_DATA"] ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url));
const MODEL = join(DATA, "tinystories-656k");
const skip = existsSync(join(MODEL, "model.safetensors")) ? false : `${MODEL} is not there`;

suite("lowrank train", { skip }, () => {
  let dir: string;
  let text: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-run-"));
    text = join(dir, "text.jsonl");
    const rows = Array.from({ length: 12 }, (_, i) => ({
      text: `Tom has ${i} red balls. He likes to play with ${i} of them.`,
    }));
    await writeFile(text, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  const said: string[] = [];
  const log = { write: (line: string) => (said.push(line), true) };
  const run = (out: string, overrides: string[], signal?: AbortSignal, callbacks: TrainerCallback[] = []) => {
    said.length = 0;
    const common = [`model_name_or_path=${MODEL}`, `dataset=${text}`, "stage=pt", `output_dir=${join(dir, out)}`];
    const all = [
      ...common,
      "per_device_train_batch_size=2",
      "logging_steps=1",
      "val_size=4",
      "threads=1",
      ...overrides,
    ];
    return runTrain(undefined, all, { log, callbacks, ...(signal === undefined ? {} : { signal }) });
  };
  const json = async (out: string, file: string) =>
    JSON.parse(await readFile(join(dir, out, file), "utf8")) as Record<string, number> & { log_history: LogRow[] };

  test("with load_best_model_at_end, results and model card are those of the weights that are saved", async () => {
    const best = ["max_steps=4", "eval_strategy=steps", "eval_steps=1", "save_steps=1", "learning_rate=0.3"];
    const { weightsOfStep, globalStep } = await run("best", [...best, "load_best_model_at_end=true"]);
    assert.ok(weightsOfStep < globalStep, "the last evaluation was the best: the test needs another learning rate");
    const { log_history: history } = await json("best", "trainer_state.json");
    const row = history.find((one) => one.step === weightsOfStep && one["eval_loss"] !== undefined);
    const { eval_loss: loss, eval_perplexity: perplexity } = await json("best", "all_results.json");
    assert.equal(loss, row?.["eval_loss"]);
    assert.equal(perplexity, Math.exp(loss!));
    assert.match(await readFile(join(dir, "best", "README.md"), "utf8"), new RegExp(`- Loss: ${loss!.toFixed(4)}`));
    assert.match(said.join(""), new RegExp(`took the best weights: those of step ${weightsOfStep}`));
  });

  test("an evaluation is made at the end where the last one was of earlier weights", async () => {
    await run("late", ["max_steps=3", "eval_strategy=steps", "eval_steps=2"]);
    const { log_history: history } = await json("late", "trainer_state.json");
    const { eval_loss: loss } = await json("late", "eval_results.json");
    assert.ok(
      history.every((row) => row["eval_loss"] !== loss),
      "the loss is that of step 2",
    );
  });

  test("speeds are those of the steps that were taken, also when it was not all of them", async () => {
    const out = "stopped";
    const stopping = ["max_steps=40", "eval_strategy=steps", "eval_steps=1", "learning_rate=0.3"];
    const { globalStep, reason } = await run(out, [...stopping, "early_stopping_steps=1"]);
    assert.equal(reason, "early-stopping");
    const results = await json(out, "train_results.json");
    const { num_input_tokens_seen: tokens, total_flos: flos } = await json(out, "trainer_state.json");
    assert.equal(results["total_flos"], flos);
    // 6 for each token and parameter outside of the table: between those of the adapter alone and of the whole model.
    assert.ok(flos! > 6 * tokens! * 1e4 && flos! < 6 * tokens! * 656e3, `${flos} for ${tokens} tokens`);
    const steps = results["train_steps_per_second"]! * results["train_runtime"]!;
    assert.ok(Math.abs(steps - globalStep) < 0.1 * globalStep, `${steps} steps instead of ${globalStep}`);
  });

  test("save_only_model: what is saved when the run is stopped can be gone on with, other checkpoints say why not", async () => {
    const only = ["max_steps=3", "save_steps=1", "val_size=0", "save_only_model=true"];
    const controller = new AbortController();
    const stop: TrainerCallback = {
      onStep: ({ step }) => (step === 2 ? controller.abort(new Interrupted()) : undefined),
    };
    await assert.rejects(run("only", only, controller.signal, [stop]), Interrupted);
    const { globalStep } = await run("only", [...only, "resume_from_checkpoint=true"]);
    assert.equal(globalStep, 3);
    assert.match(said.join(""), /resumed from .*checkpoint-2/);
    await assert.rejects(
      run("only", [...only, "resume_from_checkpoint=true"]),
      /has the weights only.*save_only_model/,
    );
  });

  test("stopped in an evaluation, a run makes it when it goes on, and ends as one that was not stopped", async () => {
    const evaluating = ["max_steps=4", "eval_strategy=steps", "eval_steps=2", "save_steps=10"];
    await run("whole", [...evaluating, "lora_target=[q_proj, v_proj]"]);
    const controller = new AbortController();
    // The evaluation of a step follows its row of the log.
    const stop: TrainerCallback = {
      onLog: ({ row }) => (row.step === 2 ? controller.abort(new Interrupted()) : undefined),
    };
    const parts = [...evaluating, "per_device_eval_batch_size=1", "lora_target=[q_proj, v_proj]"];
    await assert.rejects(run("parts", parts, controller.signal, [stop]), Interrupted);
    assert.ok((await json("parts", "trainer_state.json")).log_history.every((row) => row["eval_loss"] === undefined));
    assert.match(
      said.join(""),
      /to go on: lowrank train .* 'lora_target=\[q_proj, v_proj\]' resume_from_checkpoint=true\n/,
    );
    await run("parts", [...evaluating, "lora_target=[q_proj, v_proj]"]);
    const losses = async (out: string) =>
      (await json(out, "trainer_state.json")).log_history.map(({ step, loss, eval_loss }) => [step, loss, eval_loss]);
    assert.deepEqual(await losses("parts"), await losses("whole"));
    const weights = (out: string) => readFile(join(dir, out, "adapter_model.safetensors"));
    assert.ok((await weights("parts")).equals(await weights("whole")));
  });
});
