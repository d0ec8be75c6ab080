/** Whole comparisons on the bundled model: each cell in a process of its own, and nothing that is finished is lost. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { JobMessage } from "../../../src/cli/compare/job-process.ts";
import { runCompare, type CompareOptions } from "../../../src/cli/compare/run-compare.ts";
import { runJob } from "../../../src/cli/compare/run-job.ts";
import { Interrupted } from "../../../src/cli/interrupt.ts";
import { ConfigError } from "../../../src/errors.ts";
import type { Finished, JobResult, Measured } from "../../../src/train/compare/result.ts";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const skip = existsSync(join(ROOT, "bundled/model/model.safetensors")) ? false : "the bundled model is not here";
const VIRTUAL = 3;

const FILE = `base:
  model_name_or_path: ${ROOT}bundled/model
  dataset_dir: ${ROOT}bundled
  dataset: instructions
  eval_dataset: instructions_test
  template: chatml
  max_samples: 24
  per_device_train_batch_size: 4
  learning_rate: 5e-3
  lora_rank: 4
  threads: 1
token_budget: 300
seeds: [5]
forgetting:
  dataset: ${ROOT}bundled/pretraining-held-out.jsonl
  max_samples: 6
cells:
  lora: {}
  still: { learning_rate: 0 }
  wild: { learning_rate: 1e30 }
  prompt:
    finetuning_type: prompt-tuning
    peft_config: { num_virtual_tokens: ${VIRTUAL} }
    learning_rate: 5e-2
`;

suite("lowrank compare", { skip }, () => {
  let dir: string;
  let path: string;
  let said = "";
  let printed = "";
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-compare-"));
    path = join(dir, "tiny.yaml");
    await writeFile(path, FILE);
  });
  after(() => rm(dir, { recursive: true, force: true }));

  const compare = (
    options: CompareOptions = {},
    overrides: string[] = [],
    signal?: AbortSignal,
    heard?: () => void,
  ) => {
    said = printed = "";
    const log = { write: (text: string) => ((said += text), heard?.()) };
    const out = { write: (text: string) => (printed += text) };
    const streams = { log, out, ...(signal === undefined ? {} : { signal }) };
    return runCompare(path, overrides, { out: join(dir, "out"), ...options }, streams);
  };
  const resultOf = (job: string) =>
    JSON.parse(readFileSync(join(dir, "out/cells", `${job}.json`), "utf8")) as JobResult<Measured>;
  const measured = (job: string) => (resultOf(job) as Finished<Measured>).measured;

  test("everything is checked first, whatever else is wrong; a dry run writes nothing", async () => {
    await compare({ dryRun: true });
    assert.match(printed, /lora-float32-s5 +lora +5e-3 +38,912 +\d+ +\d+ +to do/);
    assert.equal(existsSync(join(dir, "out")), false);
    const bad = join(dir, "bad.yaml");
    await writeFile(bad, FILE.replace("lora: {}", "lora: { lora_target: q_prj }").replace("num_virtual", "nm_virtual"));
    await assert.rejects(runCompare(bad, [], { out: join(dir, "out") }, { log: { write() {} } }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /bad\.yaml: 2 problems\n +cell lora: .*q_prj/);
      assert.match(error.message, /cell prompt: .*nm_virtual_tokens/);
      return true;
    });
    assert.equal(existsSync(join(dir, "out")), false);
  });

  test("a cell that fails does not take the others with it", async () => {
    const { failed } = await compare();
    assert.deepEqual(failed, ["wild-float32-s5"]);
    const wild = resultOf("wild-float32-s5");
    assert.ok(wild.status === "failed" && /not finite|NaN|Infinity/.test(wild.reason), JSON.stringify(wild));
    assert.match(said, /\[4\/5\] wild-float32-s5: failed: .*left\)/);

    const lora = measured("lora-float32-s5");
    const prompt = measured("prompt-float32-s5");
    // The same rows for all; virtual tokens are work beside them.
    assert.ok(lora.tokens >= 300 && lora.tokens < 500);
    assert.deepEqual([prompt.tokens, prompt.steps], [lora.tokens, lora.steps]);
    assert.equal(prompt.positions, prompt.tokens + VIRTUAL * 4 * prompt.steps);
    assert.equal(lora.positions, lora.tokens);
    // A rate of 0 trains nothing: before is after, on both texts.
    const base = resultOf("base-float32") as Finished<Measured>;
    const still = measured("still-float32-s5");
    assert.ok(Math.abs(still.task.loss - base.measured.task.loss) < 1e-5);
    assert.ok(Math.abs(still.pretraining!.loss - base.measured.pretraining!.loss) < 1e-5);
    assert.ok(lora.task.loss < base.measured.task.loss - 0.1);
    assert.notEqual(lora.pretraining!.loss, base.measured.pretraining!.loss);
    assert.equal(lora.losses[0], still.losses[0]);
    assert.deepEqual([lora.trainableParameters, lora.losses.length], [38_912, lora.steps]);
    assert.equal(lora.finalLoss, lora.losses.at(-1));
    assert.ok(lora.savedBytes > 4 * 38_912 && lora.tokensPerSecond > 0);
    assert.ok(lora.trainingPeakBytes > 5e7 && lora.peakBytes >= lora.trainingPeakBytes);

    const report = await readFile(join(dir, "out/compare.md"), "utf8");
    assert.match(report, /\| lora \| float32 \| 5e-03 \| 38,912 /);
    assert.match(report, /- wild, float32, seed 5: /);
    const names = await readdir(join(dir, "out"));
    for (const name of ["compare.json", "compare.png", "compare-forgetting.svg"]) assert.ok(names.includes(name), name);
    assert.ok(existsSync(join(dir, "out/cells/lora-float32-s5/run/adapter_config.json")));
  });

  test("the same again runs what failed, and a change runs what it concerns", async () => {
    const text = await readFile(join(dir, "out/cells/lora-float32-s5.json"), "utf8");
    await compare();
    assert.match(said, /4 of 5 are done already/);
    assert.match(said, /\[1\/1\] wild/);
    assert.equal(await readFile(join(dir, "out/cells/lora-float32-s5.json"), "utf8"), text);
    await writeFile(path, FILE.replace("wild: { learning_rate: 1e30 }", "wild: { learning_rate: 1e-3 }"));
    const { failed } = await compare();
    assert.deepEqual(failed, []);
    assert.equal(resultOf("wild-float32-s5").status, "finished");
    await compare({ dryRun: true });
    assert.equal(printed.match(/ done$/gm)?.length, 5);
    await compare({ dryRun: true }, ["per_device_train_batch_size=3"]);
    // What the base is evaluated to does not depend on how cells are trained.
    assert.deepEqual([printed.match(/ done$/gm)?.length, printed.match(/ to do$/gm)?.length], [1, 4]);
  });

  test("stopped, it keeps what is finished and goes on from there", async () => {
    const out = join(dir, "stopped");
    const controller = new AbortController();
    const only = ["lora", "still"];
    const stopping = compare({ out, only }, [], controller.signal, () => {
      if (said.includes("[2/3]")) controller.abort(new Interrupted());
    });
    await assert.rejects(stopping, Interrupted);
    assert.match(said, /2 of 3 are done and kept in .*\nto go on: the same command again/);
    assert.ok(existsSync(join(out, "compare.md")));
    assert.equal(existsSync(join(out, "cells/still-float32-s5.json")), false);
    const { results } = await compare({ out, only });
    assert.match(said, /2 of 3 are done already/);
    assert.deepEqual(
      [...results.values()].map(({ status }) => status),
      ["finished", "finished", "finished"],
    );
  });

  test("a process that is killed, or cannot begin, is a reason and not an end", async () => {
    const request = { configPath: join(dir, "none.yaml"), config: { hfHubToken: null } };
    const message = { kind: "cell", request } as unknown as JobMessage;
    const log = join(dir, "log.txt");
    const wrong = await runJob(message, log);
    assert.ok("reason" in wrong && /none\.yaml: there is no such file/.test(wrong.reason), JSON.stringify(wrong));
    const killed = await runJob(message, log, { onProcess: (pid) => void process.kill(pid, "SIGKILL") });
    assert.ok("reason" in killed, JSON.stringify(killed));
    assert.match(killed.reason, /its process ended by SIGKILL/);
  });
});
