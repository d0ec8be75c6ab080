/** Keys that do not go together, keys that a verb cannot do without, and keys that another one makes idle. */
import { LowrankError } from "../errors.ts";
import { takesLoraKeys, trainsAdapter } from "./methods.ts";
import { type Found, isBetterGreater, type KeyProblem, type Settings } from "./derive.ts";
import { scheduleOf } from "./schedule.ts";
import type { Context, Verb } from "./settings.ts";
import { storageSettings } from "./storage.ts";

interface RuleContext extends Context {
  readonly given: ReadonlySet<string>;
  /** Keys with another value than the default. */
  readonly changed: ReadonlySet<string>;
  /** Keys whose own value is wrong: nothing more is said about them. */
  readonly wrong: ReadonlySet<string>;
}

type Report = (key: string, what: string, more?: Omit<KeyProblem, "key" | "what">) => void;
type Note = (line: string) => void;

const LORA_KEYS = [
  "lora_rank",
  "lora_alpha",
  "lora_dropout",
  "use_rslora",
  "use_dora",
  "loraplus_lr_ratio",
  "loraplus_lr_embedding",
  "pissa_init",
  "pissa_iter",
  "pissa_convert",
];
const ADAPTER_KEYS = ["lora_target", "additional_target", "peft_config"];
const FREEZE_KEYS = ["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"];

/** Of stage cls, which has no conversations; and of the others, which have no classes. */
const CLASS_KEYS = ["labels", "num_labels", "text_column_names", "label_column_name"];
const CHAT_KEYS = "template template_override default_system enable_thinking train_on_prompt mask_history".split(" ");

/** Keys that mean nothing with this way of training. */
export function idleKeys({ finetuningType, stage }: Pick<Settings, "finetuningType" | "stage">): readonly string[] {
  return [...(stage === "cls" ? [] : CLASS_KEYS), ...methodKeys(finetuningType)];
}

function methodKeys(finetuningType: string): readonly string[] {
  return [
    ...(takesLoraKeys(finetuningType) ? [] : LORA_KEYS),
    ...(trainsAdapter(finetuningType) ? [] : ADAPTER_KEYS),
    ...(finetuningType === "freeze" ? [] : FREEZE_KEYS),
  ];
}

export function checkTogether(settings: Settings, context: RuleContext): Found {
  const { verb, given, changed, wrong } = context;
  const problems: KeyProblem[] = [];
  const notes: string[] = [];
  const report: Report = (key, what, more = {}) => {
    if (!wrong.has(key)) problems.push({ key, what, ...more });
  };
  const note: Note = (line) => void notes.push(line);
  const hasEvalData = context.hasEvalData ?? (settings.evalDataset !== null || settings.valSize > 0);

  if (verb !== "trainer") checkRequired(settings, verb, report);
  if (verb === "train" || verb === "data") {
    checkMethod(settings, changed, report, note);
    checkData(settings, hasEvalData, report, note);
    checkStage(settings, changed, report);
  }
  if (verb === "train" || verb === "trainer") {
    if (!hasEvalData) checkNoEvalData(settings, verb, given, report);
    checkRun(settings, verb, given, report, note);
    checkAnalysis(settings, report);
  }
  return { problems, notes };
}

function checkAnalysis({ analysisSteps, analysisTexts, stage }: Settings, report: Report): void {
  if (analysisTexts === null) return;
  if (analysisSteps === null) {
    report("analysis_texts", "nothing looks at them without analysis_steps", { hint: "add `analysis_steps: 0.1`" });
  }
  if (stage === "cls") {
    report("analysis_texts", "their loss is that of predicting tokens, and a model of classes predicts none", {
      hint: "remove it: intruders, ranks and overlaps are measured without",
    });
  }
}

function checkRequired(settings: Settings, verb: Verb, report: Report): void {
  const needs = (key: string, hint: string) => report(key, `\`lowrank ${verb}\` needs it`, { hint });
  if (settings.modelNameOrPath === null) {
    needs("model_name_or_path", "model_name_or_path: a folder, or an id on the Hugging Face hub");
  }
  if (verb === "export" && settings.exportDir === null)
    needs("export_dir", "export_dir: a folder for the merged model");
  if ((verb === "data" || (verb === "train" && settings.doTrain)) && settings.dataset === null) {
    needs(
      "dataset",
      "dataset: a name in dataset_info.json, or the path of a .json, .jsonl, .csv, .parquet or .txt file",
    );
  }
}

function checkMethod(settings: Settings, changed: ReadonlySet<string>, report: Report, note: Note): void {
  const { finetuningType, adapterNameOrPath, trainFromScratch } = settings;
  const idle = methodKeys(finetuningType).filter((key) => changed.has(key));
  if (idle.length > 0) note(`${idle.join(", ")}: no effect with finetuning_type: ${finetuningType}`);
  if (adapterNameOrPath !== null && !trainsAdapter(finetuningType)) {
    report("adapter_name_or_path", "an adapter is not trained with this finetuning_type", {
      got: finetuningType,
      hint: "merge it with `lowrank export`, then train the merged model",
    });
  } else if (adapterNameOrPath !== null && adapterNameOrPath.length > 1) {
    report("adapter_name_or_path", "training goes on with one adapter", {
      got: adapterNameOrPath.join(","),
      hint: "merge the others with `lowrank export`, then train on the merged model",
    });
  }
  checkVariants(settings, changed, report, note);
  checkStorage(settings, report);
  if (trainFromScratch && finetuningType !== "full") {
    report("train_from_scratch", "random weights that are not trained are of no use", {
      got: `finetuning_type: ${finetuningType}`,
      expected: "finetuning_type: full",
    });
  }
}

function checkVariants(settings: Settings, changed: ReadonlySet<string>, report: Report, note: Note): void {
  const { finetuningType, useDora, pissaInit, pissaConvert, loraplusLrRatio } = settings;
  if (!takesLoraKeys(finetuningType)) return;
  if (useDora && finetuningType !== "lora" && finetuningType !== "dora") {
    report("use_dora", "DoRA is a method of its own", {
      got: `finetuning_type: ${finetuningType}`,
      hint: "remove the line, or write finetuning_type: lora",
    });
  }
  if (pissaInit && !pissaConvert) {
    note(
      "pissa_convert: the adapter is saved as a plain LoRA of twice the rank, for the model as it is; no folder pissa_init",
    );
  }
  const idle = [
    ...(pissaInit ? [] : ["pissa_iter", "pissa_convert"]),
    ...(loraplusLrRatio === null ? ["loraplus_lr_embedding"] : []),
  ].filter((key) => changed.has(key));
  if (idle.length > 0)
    note(`${idle.join(", ")}: no effect without ${pissaInit ? "loraplus_lr_ratio" : "pissa_init, loraplus_lr_ratio"}`);
}

function checkStorage(settings: Settings, report: Report): void {
  const { storage, quantizationBit, finetuningType } = settings;
  if (storage !== null && quantizationBit !== null) {
    report("storage", "says in another way what quantization_bit says", {
      got: storage,
      hint: "remove one of the two",
    });
  }
  const name = storageSettings(settings).storage ?? "float32";
  if (name !== "float32" && !trainsAdapter(finetuningType)) {
    report(
      storage === null ? "quantization_bit" : "storage",
      "weights that are stored so cannot be trained themselves",
      {
        got: `finetuning_type: ${finetuningType}`,
        expected: "finetuning_type: lora",
        hint: "remove the line, or train an adapter",
      },
    );
  }
}

function checkData(settings: Settings, hasEvalData: boolean, report: Report, note: Note): void {
  const { dataset, evalDataset, valSize, streaming, maxSteps, mixStrategy, interleaveProbs, stage } = settings;
  if (evalDataset !== null && valSize > 0) {
    report("val_size", "does not go with eval_dataset", { hint: "remove one of the two" });
  }
  if (hasEvalData && !settings.doEval && !settings.evalOnStart) {
    const key = evalDataset === null ? "val_size" : "eval_dataset";
    note(`${key}: nothing evaluates on it: set eval_strategy or do_eval`);
  }
  if (streaming && maxSteps === -1) {
    report("streaming", "needs max_steps, since the samples are not counted", { hint: "max_steps: 1000" });
  }
  if (streaming && settings.groupByLength) {
    report("group_by_length", "does not go with streaming: the rows to choose from are not known");
  }
  if (settings.groupByLength && !settings.shuffle) note("group_by_length: no effect where samples stay in their order");
  if (streaming && valSize > 0 && valSize < 1) {
    report("val_size", "has to be a count when streaming", { got: valSize, expected: "a whole number >= 1" });
  }
  if (interleaveProbs !== null) {
    if (mixStrategy === "concat") {
      report("interleave_probs", "needs a mix_strategy that interleaves", {
        got: "concat",
        expected: "interleave_under, interleave_over or interleave_once",
      });
    }
    if (interleaveProbs.some((p) => p < 0) || !(interleaveProbs.reduce((a, b) => a + b, 0) > 0)) {
      report("interleave_probs", "are not probabilities", { got: interleaveProbs.join(",") });
    }
    if (dataset !== null && dataset.length !== interleaveProbs.length) {
      report("interleave_probs", "needs one probability for each data set", {
        got: `${interleaveProbs.length}`,
        expected: dataset.length,
      });
    }
  }
  if (settings.maskHistory && settings.trainOnPrompt && stage !== "cls") {
    report("mask_history", "does not go with train_on_prompt", { hint: "remove one of the two" });
  }
  if (stage === "pt" && (settings.maskHistory || settings.trainOnPrompt)) {
    report(settings.maskHistory ? "mask_history" : "train_on_prompt", "has no meaning with stage: pt", {
      hint: "there, every token is trained on: remove the line",
    });
  }
}

/** Keys of another stage: whoever writes them expects something. */
function checkStage(settings: Settings, changed: ReadonlySet<string>, report: Report): void {
  const { stage, metricForBestModel: metric, textColumnNames, labels, numLabels } = settings;
  if (stage === "cls") {
    const packing = !settings.packing ? [] : changed.has("neat_packing") ? ["neat_packing"] : ["packing"];
    for (const key of [...CHAT_KEYS.filter((name) => changed.has(name)), ...packing]) {
      report(key, "has no meaning with stage: cls", {
        hint: "texts are read as they are, each in a row of its own, without a chat template: remove the line",
      });
    }
    if (metric === "perplexity") {
      report("metric_for_best_model", "classes have no perplexity", { got: metric, expected: "loss, accuracy or f1" });
    }
    if ((textColumnNames?.length ?? 1) > 2) {
      report("text_column_names", "two texts at most are read together", { got: textColumnNames?.join(",") });
    }
    if (settings.trainFromScratch) {
      report("train_from_scratch", "a classifier starts from a model that knows language", {
        hint: "train one with stage: pt first, then take its folder as model_name_or_path",
      });
    }
    if (labels !== null && labels.length < 2) {
      report("labels", "a classifier needs two classes at least", { got: labels.join(",") });
    }
    if (labels !== null && numLabels !== null && labels.length !== numLabels) {
      report("num_labels", `is not the number of labels`, {
        got: `${numLabels}`,
        expected: labels.length,
        hint: "remove it",
      });
    }
    return;
  }
  for (const key of CLASS_KEYS.filter((name) => changed.has(name))) {
    report(key, "goes with stage: cls", { got: `stage: ${stage}`, hint: "set stage: cls, or remove the line" });
  }
  if (isBetterGreater(metric)) {
    report("metric_for_best_model", "is there in stage: cls only", { got: metric, expected: "loss or perplexity" });
  }
}

function checkNoEvalData(settings: Settings, verb: Verb, given: ReadonlySet<string>, report: Report): void {
  const { evalStrategy, doEval, evalOnStart } = settings;
  if (!doEval && !evalOnStart) return;
  const older = given.has("eval_strategy") ? "eval_strategy" : "evaluation_strategy";
  const key = evalStrategy !== "no" ? older : evalOnStart ? "eval_on_start" : "do_eval";
  const hint = verb === "trainer" ? "give the trainer an evalDataset" : "set eval_dataset, or val_size: 0.1";
  report(key, "there is no data to evaluate on", { hint });
}

function checkRun(settings: Settings, verb: Verb, given: ReadonlySet<string>, report: Report, note: Note): void {
  const { evalStrategy, saveStrategy, saveSteps, evalSteps, loadBestModelAtEnd, earlyStoppingSteps } = settings;
  if (!settings.doTrain && !settings.doEval) {
    report("do_train", "is false, and do_eval too: there is nothing to do", { hint: "remove the line" });
  } else if (!settings.doTrain && verb === "train") {
    report("do_train", "is false, and evaluation alone is not there yet", {
      hint: "remove the line: with do_eval: true what was trained is evaluated at the end",
    });
  }
  if (loadBestModelAtEnd && evalStrategy === "no") {
    report("load_best_model_at_end", "needs evaluations", { hint: `eval_strategy: ${saveStrategy}` });
  } else if (loadBestModelAtEnd && evalStrategy !== saveStrategy) {
    report("load_best_model_at_end", "needs checkpoints where evaluations are", {
      got: `save_strategy: ${saveStrategy} and eval_strategy: ${evalStrategy}`,
      hint: `save_strategy: ${evalStrategy}`,
    });
  } else if (loadBestModelAtEnd && evalStrategy === "steps" && !isMultiple(saveSteps, evalSteps)) {
    report("load_best_model_at_end", "needs an evaluation at each checkpoint", {
      got: `save_steps: ${saveSteps} and eval_steps: ${evalSteps}`,
      expected: "save_steps to be a multiple of eval_steps",
      hint: `save_steps: ${evalSteps}`,
    });
  }
  if (earlyStoppingSteps !== null && evalStrategy === "no") {
    report("early_stopping_steps", "needs evaluations", { hint: "eval_strategy: steps, and eval_steps" });
  } else if (earlyStoppingSteps !== null && !given.has("metric_for_best_model")) {
    note("early_stopping_steps: watches the loss of evaluations, as metric_for_best_model is not given");
  }
  if (settings.greaterIsBetter !== isBetterGreater(settings.metricForBestModel)) {
    const size = settings.greaterIsBetter ? "larger" : "smaller";
    note(`greater_is_better: a ${size} ${settings.metricForBestModel} counts as better, though it means a worse model`);
  }
  if (settings.warmupSteps > 0 && settings.warmupRatio > 0) {
    note(`warmup_ratio: no effect, as warmup_steps: ${settings.warmupSteps} goes before it`);
  }
  if (settings.saveOnlyModel) {
    note("save_only_model: its checkpoints cannot be resumed from");
  }
  try {
    scheduleOf(settings, 1000);
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    const { where, what, ...more } = error.problem;
    const key = "lr_scheduler_kwargs";
    report(key, where === key ? what : `${where}: ${what}`, more);
  }
}

/** Shares of the run are compared with shares only. */
function isMultiple(a: number, b: number): boolean {
  if (a < 1 !== b < 1) return true;
  const ratio = a / b;
  return Math.abs(ratio - Math.round(ratio)) < 1e-9 && ratio >= 1;
}
