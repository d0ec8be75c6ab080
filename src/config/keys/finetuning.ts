/** What is trained: the stage, the method and its settings. */
import { folded, honoured, inert, refused } from "../key.ts";
import { FINETUNING_TYPES } from "../methods.ts";
import { bool, choice, float, int, maybe, names, namesOrAll, record, text } from "../type.ts";

const OFT = "it goes with finetuning_type: oft, which is refused";
const LATER = "not there yet";
const WITHOUT = "remove the line";
const NO_TASK = "texts go on or have one class; this task is not there yet";
const TEXT_ONLY = "it is about models that see images; only text models are trained";

export const FINETUNING = {
  stage: honoured(
    choice(["sft", "pt", "cls"], {
      rm: "reward models are not trained yet",
      ppo: "reinforcement learning is not there yet",
      dpo: "preference training is not there yet",
      kto: "preference training is not there yet",
    }),
    "sft",
    "sft: answers to prompts; pt: plain text; cls: classes of texts (docs/classification.md)",
  ),
  task_type: folded(
    maybe(choice(["CAUSAL_LM", "SEQ_CLS"], { TOKEN_CLS: NO_TASK, SEQ_2_SEQ_LM: NO_TASK, QUESTION_ANS: NO_TASK })),
    null,
    "PEFT's name of the task: SEQ_CLS is stage: cls",
    "stage",
  ),
  finetuning_type: honoured(
    {
      ...choice<string>(FINETUNING_TYPES, { oft: "OFT is not there yet" }),
      expected: '"lora", "full", "freeze" or another name in the table of `lowrank methods`',
    },
    "lora",
    "lora: adapters; full: every weight; freeze: the weights of some layers; others: `lowrank methods`",
  ),
  peft_config: honoured(
    maybe(record),
    null,
    "settings of the method by their names in PEFT's adapter_config.json; they win over lora_*",
  ),
  lora_rank: honoured(int({ min: 1 }), 8, "rank of the adapters"),
  lora_alpha: honoured(maybe(float({ above: 0 })), null, "their scale is alpha / rank; null: alpha = 2 rank"),
  lora_dropout: honoured(float({ min: 0, below: 1 }), 0, "probability of dropping an element of an adapter's input"),
  lora_target: honoured(namesOrAll, "all", "modules with adapters; all: every linear layer but the head"),
  additional_target: honoured(maybe(names), null, "modules trained and saved whole, PEFT's modules_to_save"),
  use_rslora: honoured(bool, false, "scale alpha / √rank"),
  use_dora: honoured(bool, false, "DoRA: weights in direction and size; the same as finetuning_type: dora"),
  loraplus_lr_ratio: honoured(maybe(float({ above: 0 })), null, "LoRA+: learning rate of B over that of A, such as 16"),
  loraplus_lr_embedding: honoured(float({ min: 0 }), 1e-6, "LoRA+: learning rate of adapters of embeddings"),
  pissa_init: honoured(bool, false, "PiSSA: adapters start from the largest singular values"),
  pissa_iter: honoured(int({ min: -1 }), 16, "PiSSA: steps that approximate the decomposition; -1: the exact one"),
  pissa_convert: honoured(bool, false, "PiSSA: saves a plain LoRA of twice the rank, which is done in any case"),
  freeze_trainable_layers: honoured(int(), 2, "freeze: the last n layers are trained; negative: the first n"),
  freeze_trainable_modules: honoured(namesOrAll, "all", "freeze: names of their modules that are trained"),
  freeze_extra_modules: honoured(maybe(names), null, "freeze: modules outside the layers that are trained too"),

  create_new_adapter: refused(
    bool,
    false,
    "merges the given adapter and trains a new one",
    LATER,
    "merge with `lowrank export`, then train on the merged model",
  ),
  pure_bf16: inert(bool, false, "trains bfloat16 weights", "weights are trained in float32 here, which is more exact"),
  oft_rank: inert(int(), 0, "OFT: rank", OFT),
  oft_block_size: inert(int(), 32, "OFT: size of a block", OFT),
  oft_target: inert(namesOrAll, "all", "OFT: modules", OFT),
  module_dropout: inert(float(), 0, "OFT: dropout", OFT),
  use_llama_pro: refused(bool, false, "LLaMA Pro: trains added blocks", LATER, WITHOUT),
  use_dft_loss: refused(bool, false, "DFT loss", LATER, WITHOUT),
  use_asft_loss: refused(bool, false, "ASFT loss", LATER, WITHOUT),
  asft_alpha: inert(float(), 0.1, "ASFT: weight", "it goes with use_asft_loss"),
  use_eaft_loss: refused(bool, false, "EAFT loss", LATER, WITHOUT),
  eaft_alpha: inert(float(), 1, "EAFT: exponent", "it goes with use_eaft_loss"),
  freeze_vision_tower: inert(bool, true, "the part for images is not trained", TEXT_ONLY),
  freeze_multi_modal_projector: inert(bool, true, "nor is what connects it", TEXT_ONLY),
  freeze_language_model: refused(
    bool,
    false,
    "the language model is not trained",
    "there would be nothing to train",
    WITHOUT,
  ),
  compute_accuracy: refused(
    bool,
    false,
    "accuracy over tokens in evaluations",
    LATER,
    "remove the line: loss and perplexity are reported, and in stage: cls accuracy and F1 always are",
  ),
  use_mca: refused(bool, false, "Megatron", "training runs in one process, on one machine", WITHOUT),
  use_megatron_bridge: refused(bool, false, "Megatron", "training runs in one process, on one machine", WITHOUT),
  use_hyper_parallel: refused(bool, false, "HyperParallel", "training runs in one process, on one machine", WITHOUT),

  pref_beta: inert(float(), 0.1, "dpo: strength", "it goes with stage: dpo"),
  pref_ftx: inert(float(), 0, "dpo: weight of the loss of sft", "it goes with stage: dpo"),
  pref_bco_weight: inert(float(), 0, "dpo: weight of BCO", "it goes with stage: dpo"),
  pref_loss: inert(text, "sigmoid", "dpo: loss", "it goes with stage: dpo"),
  dpo_label_smoothing: inert(float(), 0, "dpo: smoothing", "it goes with stage: dpo"),
  simpo_gamma: inert(float(), 0.5, "dpo: margin of SimPO", "it goes with stage: dpo"),
  ld_alpha: inert(maybe(float()), null, "dpo: weight of long answers", "it goes with stage: dpo"),
  kto_chosen_weight: inert(float(), 1, "kto: weight of good answers", "it goes with stage: kto"),
  kto_rejected_weight: inert(float(), 1, "kto: weight of bad answers", "it goes with stage: kto"),
  ppo_buffer_size: inert(int(), 1, "ppo: batches of experience", "it goes with stage: ppo"),
  ppo_epochs: inert(int(), 4, "ppo: passes over them", "it goes with stage: ppo"),
  ppo_score_norm: inert(bool, false, "ppo: scores are normalised", "it goes with stage: ppo"),
  ppo_target: inert(float(), 6, "ppo: target of KL", "it goes with stage: ppo"),
  ppo_whiten_rewards: inert(bool, false, "ppo: rewards are whitened", "it goes with stage: ppo"),
  ref_model: inert(maybe(text), null, "dpo, ppo: reference model", "it goes with stage: dpo or ppo"),
  ref_model_adapters: inert(maybe(names), null, "its adapters", "it goes with stage: dpo or ppo"),
  ref_model_quantization_bit: inert(maybe(int()), null, "its bits", "it goes with stage: dpo or ppo"),
  reward_model: inert(maybe(text), null, "ppo: reward model", "it goes with stage: ppo"),
  reward_model_adapters: inert(maybe(names), null, "its adapters", "it goes with stage: ppo"),
  reward_model_quantization_bit: inert(maybe(int()), null, "its bits", "it goes with stage: ppo"),
  reward_model_type: inert(text, "lora", "its kind", "it goes with stage: ppo"),
};
