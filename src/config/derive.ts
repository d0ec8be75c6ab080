/** What follows from keys: several spellings become one, and defaults that depend on other keys are filled in. */
import type { Problem } from "../errors.ts";
import type { FoldedValues, Values } from "./keys.ts";

interface Derived {
  /** The scale is loraAlpha / loraRank. */
  readonly loraAlpha: number;
  readonly packing: boolean;
  readonly gradientCheckpointing: boolean;
  /** Steps, or below 1 a share of the run's steps. */
  readonly evalSteps: number;
  readonly stage: "sft" | "pt" | "cls";
  readonly metricForBestModel: "loss" | "perplexity" | "accuracy" | "f1";
  readonly greaterIsBetter: boolean;
  /** A folder; true: the latest checkpoint in `outputDir`; null: start anew. */
  readonly resumeFromCheckpoint: string | true | null;
  readonly dataSeed: number;
  /** Bytes of the optimizer's states that stay in memory; null: all. */
  readonly optimizerMemoryBudget: number | null;
}

/** The finished configuration: every honoured key in camelCase, with nothing left open that other keys decide. */
export type Settings = Readonly<Omit<Values, keyof Derived>> & Derived;

/** A problem with a key, whose place is not known yet. */
export interface KeyProblem extends Omit<Problem, "where"> {
  readonly key: string;
}

export interface Found {
  readonly problems: readonly KeyProblem[];
  readonly notes: readonly string[];
}

/** @param given what has the names of the keys that were given */
export function derive(
  values: Values & FoldedValues,
  given: { has: (name: string) => boolean },
): Found & { settings: Settings } {
  const problems: KeyProblem[] = [];
  const notes: string[] = [];
  const {
    disableGradientCheckpointing,
    disableShuffling,
    trainSamplingStrategy,
    neatPacking,
    evaluationStrategy,
    activationCheckpointing,
    taskType,
    ...honoured
  } = values;
  const stage = taskType === "SEQ_CLS" ? "cls" : honoured.stage;
  const contradicts =
    taskType === "SEQ_CLS" ? given.has("stage") && honoured.stage !== "cls" : taskType !== null && stage === "cls";
  if (contradicts) {
    problems.push({
      key: "task_type",
      what: `contradicts stage: ${honoured.stage}`,
      got: taskType,
      hint: "remove one of the two",
    });
  }

  const checkpointing = honoured.gradientCheckpointing ?? activationCheckpointing ?? false;
  if (checkpointing && disableGradientCheckpointing) {
    const key = "disable_gradient_checkpointing";
    problems.push({ key, what: "contradicts gradient_checkpointing: true", hint: "remove one of the two" });
  }
  if (given.has("disable_gradient_checkpointing") && !disableGradientCheckpointing && !checkpointing) {
    notes.push(
      "disable_gradient_checkpointing: false has no effect here: checkpointing is off unless gradient_checkpointing is true",
    );
  }
  if (evaluationStrategy !== null && given.has("eval_strategy") && evaluationStrategy !== honoured.evalStrategy) {
    problems.push({
      key: "evaluation_strategy",
      what: `is the older name of eval_strategy, which says ${honoured.evalStrategy}`,
      got: evaluationStrategy,
      hint: "remove it",
    });
  }
  const evalStrategy = evaluationStrategy ?? honoured.evalStrategy;
  if (honoured.packing === true && !neatPacking && given.has("packing")) {
    notes.push(
      "packing: samples in a row do not see each other here, and their positions start anew (LLaMA-Factory's neat_packing)",
    );
  }
  if (honoured.optim === "sgd" && honoured.optimizerMemoryBudget !== null) {
    notes.push("optimizer_memory_budget: sgd keeps no states, so that there is nothing to page");
  }
  const { exportDtype, inferDtype, metricForBestModel, resumeFromCheckpoint } = honoured;
  const metric = metricOf(metricForBestModel);
  const settings: Settings = {
    ...honoured,
    gradientCheckpointing: checkpointing,
    shuffle: honoured.shuffle && !disableShuffling && trainSamplingStrategy !== "sequential",
    groupByLength: honoured.groupByLength || trainSamplingStrategy === "group_by_length",
    stage,
    packing: neatPacking || (honoured.packing ?? stage === "pt"),
    evalStrategy,
    doEval: honoured.doEval || evalStrategy !== "no",
    loraAlpha: honoured.loraAlpha ?? 2 * honoured.loraRank,
    evalSteps: honoured.evalSteps ?? honoured.loggingSteps,
    metricForBestModel: metric,
    greaterIsBetter: honoured.greaterIsBetter ?? isBetterGreater(metric),
    resumeFromCheckpoint: resumeFromCheckpoint === false ? null : resumeFromCheckpoint,
    dataSeed: honoured.dataSeed ?? honoured.seed,
    optimizerMemoryBudget: honoured.optimizerMemoryBudget ?? (honoured.optim.startsWith("paged_") ? 0 : null),
    exportDtype: exportDtype === "auto" ? inferDtype : exportDtype,
  };
  return { settings, problems, notes };
}

type Metric = Settings["metricForBestModel"];

/** Without `eval_`, which transformers takes or leaves. */
function metricOf(name: Values["metricForBestModel"]): Metric {
  return (name?.replace(/^eval_/, "") ?? "loss") as Metric;
}

/** Of a metric that nothing is said about. */
export function isBetterGreater(metric: Metric): boolean {
  return metric === "accuracy" || metric === "f1";
}
