/** The data: which sets, what becomes of a sample, how rows are made. */
import { folded, honoured, inert, refused } from "../key.ts";
import { bool, choice, countOrShare, int, maybe, names, numbers, text, type Type, Wrong } from "../type.ts";

/** Empty text says: no system message at all. */
const system: Type<string | null> = {
  expected: "text, or null",
  parse: ({ value }) => (value === null || typeof value === "string" ? value : new Wrong()),
};

export const DATA = {
  dataset: honoured(maybe(names), null, "data sets to train on: names of dataset_info.json, paths, or hub ids"),
  eval_dataset: honoured(maybe(names), null, "data sets to evaluate on"),
  dataset_dir: honoured(text, "data", "folder of dataset_info.json and of its files"),
  template: honoured(maybe(text), null, "LLaMA-Factory's name of the chat template; null: the model's own"),
  template_override: honoured(
    bool,
    false,
    "trains with the named template although the model has another of its own, and saves it with what is trained",
  ),
  default_system: honoured(system, null, "system message where a sample has none; empty: none"),
  enable_thinking: honoured(bool, true, "passed to the chat template: reasoning is on"),
  cutoff_len: honoured(int({ min: 1 }), 2048, "tokens of a row at most"),
  over_length: honoured(
    choice(["error", "drop", "truncate"]),
    "truncate",
    "samples above cutoff_len: stop, leave them out, or cut them (as LLaMA-Factory does). Counted and shown",
  ),
  max_samples: honoured(maybe(int({ min: 1 })), null, "samples of each data set at most"),
  val_size: honoured(countOrShare("the samples", 0), 0, "samples held back for evaluation: a count or a share"),
  labels: honoured(
    maybe(names),
    null,
    "stage cls: names of the classes in their order; null: those of the model, of a labels.json beside the data, or of the data",
  ),
  num_labels: honoured(
    maybe(int({ min: 2 })),
    null,
    "stage cls: number of classes, where the data has numbers for them and not all of them; null: as the data has it",
  ),
  text_column_names: honoured(
    maybe(names),
    null,
    "stage cls: column of the text, or two that are read together; null: found by its name, such as text or sentence1,sentence2",
  ),
  label_column_name: honoured(
    maybe(text),
    null,
    "stage cls: column of the class; null: found by its name, such as label",
  ),
  train_on_prompt: honoured(bool, false, "prompts are trained on too"),
  mask_history: honoured(bool, false, "only the last turn is trained on"),
  packing: honoured(maybe(bool), null, "several samples in a row; null: only in stage pt. They never see each other"),
  neat_packing: folded(bool, false, "packing in which samples do not see each other, as always here", "packing"),
  mix_strategy: honoured(
    choice(["concat", "interleave_under", "interleave_over", "interleave_once"]),
    "concat",
    "how several data sets become one",
  ),
  interleave_probs: honoured(maybe(numbers), null, "probability of each data set, for the interleave strategies"),
  streaming: honoured(bool, false, "reads samples from disk as they are needed; needs max_steps"),
  buffer_size: honoured(int({ min: 1 }), 16384, "samples that are shuffled together when streaming"),
  preprocessing_num_workers: honoured(maybe(int({ min: 1 })), null, "threads that tokenise; null: one per core"),
  overwrite_cache: honoured(bool, false, "tokenises again what is in the token cache"),
  tokenized_path: honoured(maybe(text), null, "folder of the token cache; null: its usual place"),

  preprocessing_batch_size: inert(
    int({ min: 1 }),
    1000,
    "samples in one call of the tokenizer",
    "samples are the same",
  ),
  data_shared_file_system: inert(bool, false, "machines share their files", "there is one machine"),
  media_dir: inert(maybe(text), null, "folder of images, videos and audio", "only text is read"),
  eval_num_beams: inert(maybe(int({ min: 1 })), null, "beams of predictions", "it goes with predict_with_generate"),
  ignore_pad_token_for_loss: refused(
    bool,
    true,
    "padding is not trained on",
    "padding is never trained on",
    "remove the line",
  ),
  eval_on_each_dataset: refused(
    bool,
    false,
    "evaluates data sets one by one",
    "evaluation sets are joined for now",
    "remove the line, or evaluate in runs of their own",
  ),
  preserve_thinking: refused(
    bool,
    false,
    "keeps the reasoning of earlier turns",
    "what becomes of it is the chat template's decision",
    "change the model's chat template",
  ),
  tool_format: refused(
    maybe(text),
    null,
    "form of tool calls",
    "tool calls are written by the model's own chat template",
    "remove the line",
  ),
};
