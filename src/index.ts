/** The public API: a table of contents, one line per thing. */
export * from "./errors.ts";
export { Random, type RandomState } from "./random.ts";

// Language models, by the names of transformers and PEFT
export {
  AutoModelForCausalLM,
  AutoTokenizer,
  CausalLMModel,
  type FromPretrainedOptions,
} from "./lm/causal-lm-model.ts";
export type { ForwardInput, ForwardOutput } from "./lm/forward.ts";
export type { GenerateInput, GenerateResult } from "./lm/generate-input.ts";
export { getPeftModel, type LoadOptions, type LoraConfig, type PeftConfig, PeftModel } from "./lm/peft-model.ts";
export { Trainer, type TrainerOptions } from "./train/trainer.ts";
export type { TrainOutput } from "./train/training-run.ts";
export type { TrainRow } from "./train/train-rows.ts";
export type { TrainerCallback } from "./train/run/events.ts";
export { MODELS } from "./models/index.ts";
export { STORAGES, type Storage } from "./quant/index.ts";
export type { QuantizationConfig, StorageSettings } from "./lm/quantization.ts";
export type { TextModel, ModelFamily } from "./models/text-model.ts";

// Text and data sets
export { type ChatTemplate, loadTokenizer, resolveTemplate, TextStream, type Tokenizer } from "./data/text/index.ts";
export { openDatasets } from "./data/datasets/index.ts";
export { prepareRows } from "./data/rows/index.ts";
export { readRunConfig } from "./config/index.ts";
export { resolveFolder } from "./hub/resolve.ts";

// Graphs
export type { DType, TypedArray } from "./ir/dtype.ts";
export { dim, type Dim, type DimLike, type DimSizes, type Shape } from "./ir/shape.ts";
export { Graph, type Node, type Value } from "./ir/graph.ts";
export type { Op, Type, VjpContext, VjpRule } from "./ir/op.ts";
export { grad } from "./ir/grad.ts";
export { printGraph } from "./ir/print.ts";
export { matmulFlops } from "./ir/cost.ts";
export { peakMemory } from "./ir/memory.ts";
export * as ops from "./ir/ops/index.ts";

// Running them
export type { CompileOptions, Device, Executable, Feeds, FileTensor, Results, Tensor } from "./runtime/runtime.ts";
export { interpDevice, interpret } from "./runtime/interp.ts";
export { ortDevice, type OrtOptions } from "./runtime/node/device-node.ts";

// Models and layers
export { countElements, type Layer, type Model, type ParameterSpec, type Tracing } from "./nn/module.ts";
export { linear } from "./nn/linear.ts";
export { conv2d } from "./nn/conv2d.ts";
export { attention } from "./nn/attention.ts";
export { mlp } from "./models/mlp.ts";

// Adapters
export { METHODS } from "./adapters/index.ts";
export type { Method, RankConfig } from "./adapters/method.ts";
export { lora, type LoraConfig as LoraRankConfig } from "./adapters/lora.ts";
export { type Adapter, adapterHook, attach } from "./adapters/adapter.ts";
export { merge, unmerge } from "./adapters/merge.ts";

// Training
export { OPTIMIZERS, type OptimizerName } from "./optim/index.ts";
export { adam, adamw, type AdamOptions } from "./optim/adam.ts";
export { sgd, type SgdOptions } from "./optim/sgd.ts";
export { schedule, type ScheduleName, SCHEDULES } from "./optim/schedule.ts";
export { trainingGraph, type TrainingGraph, type TrainingGraphOptions } from "./train/training-graph.ts";
export { Stepper, type StepperOptions, type StepResult } from "./train/stepper.ts";
export { freezeByName, initializeParameters } from "./parameters.ts";
export { type D90Options, type D90Result, findD90 } from "./train/d90/find-d90.ts";
export { fitImages, predictImages } from "./train/image-classifier.ts";

// Files and data
export { openCheckpoint, openSafetensors, writeSafetensors, writeSharded } from "./formats/safetensors/index.ts";
export { mapParameters, saveParameters } from "./formats/model/parameters.ts";
export { loadAdapter, saveAdapter } from "./formats/peft/index.ts";
export { type Cifar10, loadCifar10 } from "./data/cifar10.ts";

// Other heads than that of the next token
export {
  AutoModelForSequenceClassification,
  type ClassificationOptions,
  SequenceClassificationModel,
} from "./lm/classification-model.ts";
export { AutoModelForMaskedLM, MaskedLMModel } from "./lm/masked-lm-model.ts";
export { maskedRows, type MaskOptions } from "./data/rows/masked-rows.ts";
export { type PseudoLoss, pseudoLoss, type PseudoLossOptions } from "./lm/pseudo-loss.ts";
export { classTokenAt, type ClassifyInput, type ClassifyOutput } from "./lm/forward-classes.ts";
export {
  type Classified,
  type ClassifierInput,
  TextClassifier,
  type TextClassifierOptions,
} from "./lm/text-classifier.ts";

// What fine-tuning does to weights
export { analyze, type AnalyzeOptions, type AnalyzeProgress } from "./analysis/analyze.ts";
export { type NamedReport, writeReport } from "./analysis/html/write-report.ts";
export { repairAdapter, type RepairOptions, type RepairResult } from "./analysis/repair.ts";
export type { AnalysisReport, CheckpointReport, MatrixReport } from "./analysis/report.ts";
export type { RepairReport } from "./analysis/repair-report.ts";
export * as measures from "./analysis/measures/index.ts";
export * as figures from "./figures/index.ts";
export { analysisCallback, type AnalysisCallbackOptions } from "./analysis/callback.ts";

// Files of PyTorch, without running them
export { openLoralib, openTorch } from "./formats/torch-pickle/index.ts";

// Tasks one after the other
export { runSequence, type SequenceOptions, type SequenceResult } from "./experiments/continual/sequence.ts";
export { type GeneratedTask, TASKS } from "./experiments/tasks/index.ts";

// Decompositions of dense matrices, and of B A
export type { Matrix } from "./linear-algebra/matrix.ts";
export { singularValues, type Svd, svd, truncatedSvd, type TruncatedOptions } from "./linear-algebra/svd.ts";
export { factoredSvd } from "./linear-algebra/factored-svd.ts";
export { innerProducts, multiply, multiplyTransposed } from "./linear-algebra/product.ts";
export { type DecomposerOptions, type DecomposerProgress, openDecomposer } from "./analysis/open-decomposer.ts";
export type { DecomposeOptions, Decomposer } from "./analysis/decomposer.ts";
