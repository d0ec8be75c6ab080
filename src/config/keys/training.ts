/** `TrainingArguments` of transformers that are honoured, with its defaults. */
import { SCHEDULES } from "../../optim/schedule.ts";
import { folded, honoured } from "../key.ts";
import { bool, choice, countOrShare, either, float, int, limit, mapping, maybe, several, text } from "../type.ts";

const STEPS = "the run's steps";

const NO_OPTIMIZER = "only AdamW and SGD are there yet; adamw_torch is the same rule with 32-bit states";
const NO_8_BIT = "only AdamW and SGD are there yet, with 32-bit states; paged_adamw_32bit keeps them on the disk";
/** AdamW with states in 8 bits, of several libraries. */
const ADAMW_8_BIT = ["adamw_torch_8bit", "adamw_bnb_8bit", "adamw_8bit", "paged_adamw_8bit"];
/** Of transformers' `OptimizerNames`, and names that it had. */
const OTHER_OPTIMIZERS = [
  ..."adamw_hf adamw_torch_xla adamw_torch_npu_fused adamw_apex_fused adafactor adamw_anyprecision".split(" "),
  ..."adamw_torch_4bit adamw_torch_8bit ademamix adagrad adamw_bnb_8bit adamw_8bit ademamix_8bit".split(" "),
  ..."lion_8bit lion_32bit paged_adamw_8bit paged_ademamix_32bit".split(" "),
  ..."paged_ademamix_8bit paged_lion_32bit paged_lion_8bit rmsprop rmsprop_bnb rmsprop_bnb_8bit".split(" "),
  ..."rmsprop_bnb_32bit galore_adamw galore_adamw_8bit galore_adafactor galore_adamw_layerwise".split(" "),
  ..."galore_adamw_8bit_layerwise galore_adafactor_layerwise lomo adalomo grokadamw".split(" "),
  ..."schedule_free_radam schedule_free_adamw schedule_free_sgd apollo_adamw".split(" "),
  ..."apollo_adamw_layerwise stable_adamw".split(" "),
];

const NO_SCHEDULE = "this schedule is not there yet";
const NO_LOGGER = "only TensorBoard files are written; nothing is sent to a service";

const METRICS = ["loss", "perplexity", "accuracy", "f1"] as const;
const INTERVALS = ["no", "steps", "epoch"] as const;

export const TRAINING = {
  output_dir: honoured(text, "trainer_output", "folder for everything that a run writes"),
  overwrite_output_dir: honoured(bool, false, "starts anew although the folder holds a run"),
  do_train: honoured(bool, true, "trains; LLaMA-Factory wants this said, here the command `train` says it"),
  do_eval: honoured(bool, false, "evaluates at the end"),
  per_device_train_batch_size: honoured(int({ min: 1 }), 8, "samples that are computed together"),
  per_device_eval_batch_size: honoured(int({ min: 1 }), 8, "the same in evaluations"),
  gradient_accumulation_steps: honoured(int({ min: 1 }), 1, "batches whose gradients make one step"),
  num_train_epochs: honoured(float({ above: 0 }), 3, "passes over the data"),
  max_steps: honoured(limit, -1, "steps; -1: as many as the epochs have"),
  shift_attn: honoured(
    bool,
    false,
    "LongLoRA's attention: while training tokens attend within groups, a quarter of a row long",
  ),
  learning_rate: honoured(float({ min: 0 }), 5e-5, "largest learning rate"),
  lr_scheduler_type: honoured(
    choice(SCHEDULES, {
      reduce_lr_on_plateau: NO_SCHEDULE,
      warmup_stable_decay: NO_SCHEDULE,
      cosine_warmup_with_min_lr: NO_SCHEDULE,
      greedy: NO_SCHEDULE,
    }),
    "linear",
    "shape of the learning rate over the run",
  ),
  lr_scheduler_kwargs: honoured(maybe(mapping), null, "num_cycles, power, lr_end, min_lr or min_lr_rate"),
  warmup_ratio: honoured(float({ min: 0, max: 1 }), 0, "share of the steps in which the learning rate grows"),
  warmup_steps: honoured(countOrShare(STEPS, 0), 0, "the same as steps; goes before warmup_ratio"),
  optim: honoured(
    choice(
      ["adamw_torch", "adamw_torch_fused", "paged_adamw_32bit", "paged_adamw", "sgd"],
      Object.fromEntries(OTHER_OPTIMIZERS.map((name) => [name, ADAMW_8_BIT.includes(name) ? NO_8_BIT : NO_OPTIMIZER])),
    ),
    "adamw_torch",
    "optimizer; every AdamW is the same rule here, and the paged ones keep its states on the disk",
  ),
  weight_decay: honoured(float({ min: 0 }), 0, "decay of AdamW, not on biases and norms"),
  adam_beta1: honoured(float({ min: 0, below: 1 }), 0.9, "memory of the mean of gradients"),
  adam_beta2: honoured(float({ min: 0, below: 1 }), 0.999, "memory of their squares"),
  adam_epsilon: honoured(float({ above: 0 }), 1e-8, "added to the root of the squares"),
  max_grad_norm: honoured(float({ min: 0 }), 1, "gradients are scaled down to this norm; 0: never"),
  gradient_checkpointing: honoured(
    maybe(bool),
    null,
    "computes activations twice to save memory. Off unless true; LLaMA-Factory's default is on",
  ),
  activation_checkpointing: folded(maybe(bool), null, "newer name of gradient_checkpointing", "gradient_checkpointing"),
  logging_strategy: honoured(choice(INTERVALS), "steps", "when the loss is logged"),
  logging_steps: honoured(countOrShare(STEPS, 1), 500, "steps between entries of the log"),
  logging_first_step: honoured(bool, false, "logs the first step too"),
  logging_dir: honoured(maybe(text), null, "folder of TensorBoard files; null: `runs` in output_dir"),
  report_to: honoured(
    several(["tensorboard"], {
      wandb: NO_LOGGER,
      swanlab: NO_LOGGER,
      mlflow: NO_LOGGER,
      trackio: NO_LOGGER,
      comet_ml: NO_LOGGER,
      clearml: NO_LOGGER,
      neptune: NO_LOGGER,
      all: "say which: tensorboard or none",
    }),
    [],
    "tensorboard, or none",
  ),
  save_strategy: honoured(
    choice(INTERVALS, { best: "not there yet: load_best_model_at_end keeps the best checkpoint" }),
    "steps",
    "when checkpoints are saved",
  ),
  save_steps: honoured(countOrShare(STEPS, 1), 500, "steps between checkpoints"),
  save_total_limit: honoured(maybe(int({ min: 1 })), null, "checkpoints that are kept"),
  save_only_model: honoured(bool, false, "checkpoints without what resuming needs"),
  eval_strategy: honoured(choice(INTERVALS), "no", "when evaluations happen"),
  evaluation_strategy: folded(maybe(choice(INTERVALS)), null, "older name of eval_strategy", "eval_strategy"),
  eval_steps: honoured(maybe(countOrShare(STEPS, 1)), null, "steps between evaluations; null: logging_steps"),
  eval_on_start: honoured(bool, false, "evaluates before the first step"),
  load_best_model_at_end: honoured(bool, false, "ends with the best checkpoint; needs evaluations where it is saved"),
  metric_for_best_model: honoured(
    maybe(choice(METRICS.flatMap((name) => [name, `eval_${name}`] as const))),
    null,
    "what best means; null: the loss. accuracy and f1 (of all classes alike) are there in stage cls, perplexity in others",
  ),
  greater_is_better: honoured(
    maybe(bool),
    null,
    "whether more of it is better; null: more accuracy and f1, less loss and perplexity",
  ),
  resume_from_checkpoint: honoured(
    maybe(either(bool, text)),
    null,
    "folder of a checkpoint to go on from; true: the latest in output_dir",
  ),
  seed: honoured(int({ min: 0 }), 42, "seed of everything random"),
  data_seed: honoured(maybe(int({ min: 0 })), null, "seed of the order of samples; null: seed"),
  group_by_length: honoured(bool, false, "the rows of a step have similar lengths, so that little is padded"),
  train_sampling_strategy: folded(
    choice(["random", "sequential", "group_by_length"]),
    "random",
    "sequential: samples stay in their order; group_by_length: that key",
    "shuffle",
  ),
};
