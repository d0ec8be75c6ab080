/**
 * `README.md` of a trained model: the front matter by which the Hub knows it, as PEFT and transformers write it, the
 * settings, the results, and how to use the model.
 */
import { trainsAdapter } from "../../config/methods.ts";
import { join } from "node:path";
import { replaceFile } from "./durable-file.ts";
import { type EvalRow, isEvalRow, isTrainRow, type LogRow } from "./log-rows.ts";
import { numberText, pythonFloat } from "./python-json.ts";

export interface ModelCardOptions {
  /** Title, such as the name of the output folder. */
  readonly name: string;
  /** The model that was trained: a name on the Hub or a path. Default: none, trained from scratch. */
  readonly baseModel?: string;
  /** License of the base model as the Hub abbreviates it, such as `apache-2.0`. Default: not said. */
  readonly license?: string;
  /** Kind of training. An adapter is PEFT's, whole weights are transformers'. */
  readonly finetuningType: string;
  /** Names of the classes that it tells. Default: it goes on with texts. */
  readonly labels?: readonly string[];
  /** Names of the data sets. */
  readonly datasets: readonly string[];
  /** See {@link hyperparameters}. */
  readonly hyperparameters: Readonly<Record<string, string | number>>;
  readonly logHistory: readonly LogRow[];
  /** Versions of what the model was made with, by name: `lowrank`, `onnxruntime-node`. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of the weights that are saved. Default: the last one. */
  readonly evaluation?: EvalRow;
}

/** Writes the card into the folder. @throws FormatError if the disk refuses */
export async function writeModelCard(dir: string, options: ModelCardOptions): Promise<void> {
  await replaceFile(join(dir, "README.md"), modelCard(options));
}

export function modelCard(options: ModelCardOptions): string {
  const { name, baseModel, datasets, logHistory, versions } = options;
  const { rows, final } = trainingResults(logHistory, options.evaluation);
  const origin = baseModel === undefined ? "trained from scratch" : `a fine-tuned version of ${linked(baseModel)}`;
  return [
    frontMatter(options),
    `# ${name}`,
    `This model is ${origin} on ${datasetList(datasets)}.`,
    ...(options.labels === undefined ? [] : [`It tells the class of a text: ${options.labels.join(", ")}.`]),
    ...(final === undefined
      ? []
      : ["It achieves the following results on the evaluation set:", bullets(final.map((pair) => pair.join(": ")))]),
    "## How to use it",
    usage(options),
    "## Training procedure",
    "### Training hyperparameters",
    "The following hyperparameters were used during training:",
    bullets(Object.entries(options.hyperparameters).map(([key, value]) => `${key}: ${shown(key, value)}`)),
    ...(rows.length === 0 ? [] : ["### Training results", markdownTable(rows)]),
    "### Framework versions",
    bullets(Object.entries(versions).map((pair) => pair.join(" "))),
  ]
    .join("\n\n")
    .concat("\n");
}

/** Settings of a run that the card lists. */
export interface CardSettings {
  readonly learningRate: number;
  readonly trainBatchSize: number;
  readonly evalBatchSize: number;
  readonly seed: number;
  readonly gradientAccumulationSteps: number;
  /** In words: `adamw_torch with betas=(0.9,0.999) and epsilon=1e-08`. */
  readonly optimizer: string;
  readonly lrSchedulerType: string;
  /** 0: none. */
  readonly warmupSteps: number;
  readonly numTrainEpochs: number;
  /** Default: as the epochs have it. */
  readonly maxSteps?: number;
  /** Rank, alpha and the like of an adapter, by their names. */
  readonly adapter?: Readonly<Record<string, string | number>>;
}

/** The list of the card with transformers' names, in its order, without what has no effect. */
export function hyperparameters(settings: CardSettings): Record<string, string | number> {
  const { trainBatchSize, gradientAccumulationSteps: accumulated, warmupSteps, maxSteps } = settings;
  return {
    learning_rate: settings.learningRate,
    train_batch_size: trainBatchSize,
    eval_batch_size: settings.evalBatchSize,
    seed: settings.seed,
    ...(accumulated > 1
      ? { gradient_accumulation_steps: accumulated, total_train_batch_size: trainBatchSize * accumulated }
      : {}),
    optimizer: `Use ${settings.optimizer}`,
    lr_scheduler_type: settings.lrSchedulerType,
    ...(warmupSteps > 0 ? { lr_scheduler_warmup_steps: warmupSteps } : {}),
    ...(maxSteps === undefined ? { num_epochs: settings.numTrainEpochs } : { training_steps: maxSteps }),
    ...settings.adapter,
  };
}

function frontMatter({ name, baseModel, license, finetuningType, labels }: ModelCardOptions): string {
  const adapter = trainsAdapter(finetuningType);
  const relation = adapter ? "adapter" : "finetune";
  const tags = [
    ...(baseModel === undefined ? [] : [`base_model:${relation}:${baseModel}`]),
    ...(adapter ? [finetuningType] : []),
    "generated_from_trainer",
    "lowrank",
    "transformers",
  ];
  return [
    "---",
    `library_name: ${adapter ? "peft" : "transformers"}`,
    ...(license === undefined ? [] : [`license: ${yaml(license)}`]),
    ...(baseModel === undefined ? [] : [`base_model: ${yaml(baseModel)}`]),
    "tags:",
    ...tags.toSorted().map((tag) => `- ${yaml(tag)}`),
    `pipeline_tag: text-${labels === undefined ? "generation" : "classification"}`,
    "model-index:",
    `- name: ${yaml(name)}`,
    "  results: []",
    "---",
  ].join("\n");
}

function usage({ finetuningType, baseModel, labels }: ModelCardOptions): string {
  const here = "path/to/this/folder";
  if (labels !== undefined) return classifierUsage(here, labels, trainsAdapter(finetuningType) ? baseModel : undefined);
  if (!trainsAdapter(finetuningType) || baseModel === undefined)
    return fenced("bash", [`npx lowrank chat --model ${here}`]);
  return [
    fenced("bash", [`npx lowrank chat --model ${baseModel} --adapter ${here}`]),
    "The files are PEFT's, so that Python reads them too:",
    fenced("python", [
      "from peft import PeftModel",
      "from transformers import AutoModelForCausalLM",
      "",
      `model = AutoModelForCausalLM.from_pretrained(${JSON.stringify(baseModel)})`,
      `model = PeftModel.from_pretrained(model, ${JSON.stringify(here)})`,
    ]),
  ].join("\n\n");
}

/** @param base of an adapter; undefined: the folder is a whole model */
function classifierUsage(here: string, labels: readonly string[], base: string | undefined): string {
  const loaded =
    base === undefined
      ? [`model = AutoModelForSequenceClassification.from_pretrained(${JSON.stringify(here)})`]
      : [
          `labels = ${JSON.stringify(labels)}`,
          "model = AutoModelForSequenceClassification.from_pretrained(",
          `    ${JSON.stringify(base)}, num_labels=len(labels), id2label=dict(enumerate(labels))`,
          ")",
          `model = PeftModel.from_pretrained(model, ${JSON.stringify(here)})`,
        ];
  return [
    fenced("bash", [`npx lowrank classify ${here} "a text"`]),
    "The files are those of transformers and PEFT, so that Python reads them too:",
    fenced("python", [
      ...(base === undefined ? [] : ["from peft import PeftModel"]),
      "from transformers import AutoModelForSequenceClassification",
      "",
      ...loaded,
    ]),
  ].join("\n\n");
}

/** As transformers' `parse_log_history`: a row for each evaluation, and the metrics of one. */
function trainingResults(
  history: readonly LogRow[],
  evaluation = history.findLast(isEvalRow),
): {
  rows: Record<string, string>[];
  final: [name: string, value: string][] | undefined;
} {
  const rows: Record<string, string>[] = [];
  let trainingLoss = "No log";
  for (const row of history) {
    if (isTrainRow(row)) trainingLoss = shown("loss", row.loss);
    if (!isEvalRow(row)) continue;
    rows.push({
      "Training Loss": trainingLoss,
      Epoch: shown("epoch", row.epoch),
      Step: String(row.step),
      ...Object.fromEntries(evalMetrics(row).map(([key, value]) => [columnName(key), shown(key, value)])),
    });
  }
  const final =
    evaluation && evalMetrics(evaluation).map(([key, value]): [string, string] => [wordsOf(key), shown(key, value)]);
  return { rows, final };
}

function evalMetrics(row: LogRow): [key: string, value: number][] {
  return Object.entries(row).filter(([key]) => key.startsWith("eval_") && !/_(runtime|per_second)$/.test(key));
}

function columnName(key: string): string {
  return key === "eval_loss" ? "Validation Loss" : wordsOf(key);
}

/** `eval_token_accuracy` is `Token Accuracy`. */
function wordsOf(key: string): string {
  const words = key.replace(/^eval_/, "").split("_");
  return words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join(" ");
}

/** As Python shows it, with at most four decimals in a measurement. */
function shown(key: string, value: string | number): string {
  if (typeof value === "string") return value;
  const text = Number.isFinite(value) ? numberText(key, value) : pythonFloat(value);
  const decimals = text.split(".")[1]?.length ?? 0;
  return /loss|perplexity|epoch|accuracy|f1/.test(key) && decimals > 4 ? value.toFixed(4) : text;
}

function markdownTable(rows: readonly Readonly<Record<string, string>>[]): string {
  const columns = Object.keys(rows[0] ?? {}).map((name) => ({
    name,
    width: Math.max(name.length, ...rows.map((row) => row[name]?.length ?? 0)),
  }));
  const line = (cell: (name: string) => string) =>
    columns.map(({ name, width }) => `| ${cell(name).padEnd(width)} `).join("") + "|";
  const rule = columns.map(({ width }) => `|:${"-".repeat(width)}:`).join("") + "|";
  return [line((name) => name), rule, ...rows.map((row) => line((name) => row[name] ?? ""))].join("\n");
}

function datasetList(names: readonly string[]): string {
  if (names.length === 0) return "an unknown dataset";
  const last = names.at(-1) ?? "";
  if (names.length === 1) return `the ${last} dataset`;
  return `${names
    .slice(0, -1)
    .map((name) => `the ${name}`)
    .join(", ")} and the ${last} datasets`;
}

/** A name on the Hub as a link; anything else, such as a path, as it is. */
function linked(model: string): string {
  const onHub = /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(model);
  return onHub ? `[${model}](https://huggingface.co/${model})` : `\`${model}\``;
}

function bullets(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join("\n");
}

function fenced(language: string, lines: readonly string[]): string {
  return ["```" + language, ...lines, "```"].join("\n");
}

/** A string of YAML: plain where nothing in it can mean something else, otherwise quoted as JSON, which is YAML. */
function yaml(text: string): string {
  const plain = /^[A-Za-z][\w./-]*(:[\w./-]+)*$/.test(text) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}
