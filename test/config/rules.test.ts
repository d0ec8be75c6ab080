/** Keys that do not go together, and keys that another one makes idle. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseRunConfig } from "../../src/config/read.ts";
import { scheduleOf, stepsOf } from "../../src/config/schedule.ts";
import { ConfigError } from "../../src/errors.ts";

function read(lines: string) {
  return parseRunConfig(`model_name_or_path: m\ndataset: a,b\n${lines}`, "run.yaml");
}

/** [lines, what is said about them] */
const WRONG: readonly (readonly [string, RegExp])[] = [
  ["eval_strategy: steps", /:3: eval_strategy: there is no data to evaluate on\n.*val_size: 0\.1/],
  ["evaluation_strategy: steps", /:3: evaluation_strategy: there is no data/],
  ["do_eval: true", /:3: do_eval: there is no data/],
  ["eval_on_start: true", /:3: eval_on_start: there is no data/],
  ["val_size: 0.1\neval_dataset: c", /:3: val_size: does not go with eval_dataset/],
  ["val_size: 0.1\neval_strategy: steps\nevaluation_strategy: epoch", /:5: evaluation_strategy: is the older name/],
  ["load_best_model_at_end: true", /:3: load_best_model_at_end: needs evaluations/],
  [
    "val_size: 5\neval_strategy: epoch\nload_best_model_at_end: true",
    /:5: load_best.*got save_strategy: steps and eval_strategy: epoch\n.*save_strategy: epoch/,
  ],
  [
    "val_size: 5\neval_strategy: steps\neval_steps: 30\nsave_steps: 50\nload_best_model_at_end: true",
    /expected save_steps to be a multiple of eval_steps/,
  ],
  ["early_stopping_steps: 3", /:3: early_stopping_steps: needs evaluations/],
  ["streaming: true", /:3: streaming: needs max_steps/],
  ["streaming: true\nmax_steps: 5\nval_size: 0.1", /:5: val_size: has to be a count when streaming/],
  ["interleave_probs: 0.5,0.5", /:3: interleave_probs: needs a mix_strategy/],
  [
    "mix_strategy: interleave_under\ninterleave_probs: [1]",
    /interleave_probs: needs one probability .*got 1, expected 2/,
  ],
  ["mix_strategy: interleave_under\ninterleave_probs: 1,-1", /are not probabilities/],
  ["mask_history: true\ntrain_on_prompt: true", /mask_history: does not go with train_on_prompt/],
  ["stage: pt\ntrain_on_prompt: true", /train_on_prompt: has no meaning with stage: pt/],
  ["gradient_checkpointing: true\ndisable_gradient_checkpointing: true", /contradicts gradient_checkpointing/],
  ["finetuning_type: full\nadapter_name_or_path: x", /adapter_name_or_path: .*not trained with this finetuning_type/],
  ["adapter_name_or_path: x,y", /training goes on with one adapter: got x,y/],
  ["train_from_scratch: true", /expected finetuning_type: full/],
  ["do_train: false", /there is nothing to do/],
  ["do_train: false\ndo_eval: true\nval_size: 0.1", /do_train: is false, and evaluation alone is not there yet/],
  ["lr_scheduler_type: cosine_with_min_lr", /needs min_lr or min_lr_rate/],
  ["lr_scheduler_kwargs: {min_lr: 1e-6}", /linear has no option min_lr/],
  ["lr_scheduler_type: polynomial\nlr_scheduler_kwargs: {power: -1}", /schedule: power: out of range: got -1/],
  ["lr_scheduler_type: polynomial\nlr_scheduler_kwargs: {power: two}", /power is not a number: got two/],
];

/** [lines, a note about them] */
const NOTED: readonly (readonly [string, RegExp])[] = [
  ["finetuning_type: full\nlora_rank: 16", /^lora_rank: no effect with finetuning_type: full/],
  ["freeze_trainable_layers: 3", /^freeze_trainable_layers: no effect with finetuning_type: lora/],
  ["packing: true", /^packing: samples in a row do not see each other/],
  ["disable_gradient_checkpointing: false", /off unless gradient_checkpointing is true/],
  ["val_size: 0.1", /^val_size: nothing evaluates on it/],
  ["val_size: 0.1\neval_strategy: epoch\nearly_stopping_steps: 2", /watches the loss/],
  ["warmup_steps: 10\nwarmup_ratio: 0.1", /^warmup_ratio: no effect/],
  ["save_only_model: true", /cannot be resumed/],
  ["greater_is_better: true", /larger loss counts as better/],
];

suite("keys that do not go together", () => {
  for (const [lines, message] of WRONG) {
    test(lines.replaceAll("\n", "; "), () => assert.throws(() => read(lines), { name: "ConfigError", message }));
  }

  test("a key that has a wrong value of its own is not spoken of twice", () => {
    assert.throws(
      () => read("interleave_probs: often"),
      (error) => error instanceof ConfigError && error.message.startsWith("run.yaml:3: interleave_probs: is not"),
    );
  });
});

suite("keys that go together, and are spoken of", () => {
  for (const [lines, note] of NOTED) {
    test(lines.replaceAll("\n", "; "), () => {
      const { notes } = read(lines);
      assert.equal(notes.length, 1, notes.join("\n"));
      assert.match(notes[0]!, note);
    });
  }

  test("what is the default anyway is not", () => {
    assert.deepEqual(read("finetuning_type: full\nlora_rank: 8\nuse_fast_tokenizer: true\nfsdp: ''\n").notes, []);
  });
});

test("what follows from other keys", () => {
  const { config } = read(
    "val_size: 0.1\neval_strategy: steps\nlogging_steps: 7\nseed: 5\nmetric_for_best_model: eval_perplexity\ninfer_dtype: float16",
  );
  assert.equal(config.evalSteps, 7, "as transformers: logging_steps");
  assert.equal(config.doEval, true);
  assert.equal(config.dataSeed, 5);
  assert.equal(config.metricForBestModel, "perplexity");
  assert.equal(config.greaterIsBetter, false, "by transformers' rule, true: its name does not end in loss");
  assert.equal(config.exportDtype, "float16");
});

suite("the learning rate over the run", () => {
  test("warm-up by share or steps, of which steps go first", () => {
    const factors = (lines: string, total: number) => {
      const factor = scheduleOf(read(lines).config, total);
      return [0, 1, 2, 3, 4].map((step) => Number(factor(step).toFixed(6)));
    };
    assert.deepEqual(
      factors("lr_scheduler_type: constant_with_warmup\nwarmup_ratio: 0.35", 10),
      [0, 0.25, 0.5, 0.75, 1],
    );
    assert.deepEqual(
      factors("lr_scheduler_type: constant_with_warmup\nwarmup_steps: 2\nwarmup_ratio: 0.4", 10),
      [0, 0.5, 1, 1, 1],
    );
    assert.deepEqual(factors("lr_scheduler_type: constant_with_warmup\nwarmup_steps: 0.2", 10), [0, 0.5, 1, 1, 1]);
  });

  test("transformers' options", () => {
    const { config } = read(
      "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 0.1}\nlearning_rate: 1e-3",
    );
    assert.equal(scheduleOf(config, 10)(10).toFixed(6), "0.100000");
  });

  test("intervals below 1 are shares, rounded up", () => {
    assert.deepEqual([stepsOf(0.1, 25), stepsOf(10, 25)], [3, 10]);
  });
});
