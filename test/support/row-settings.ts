/** Settings of rows to train on, for tests to change. */
import type { RowSettings } from "../../src/data/rows/settings.ts";

export const ROW_SETTINGS: RowSettings = {
  stage: "sft",
  cutoffLen: 96,
  overLength: "truncate",
  trainOnPrompt: false,
  maskHistory: false,
  defaultSystem: null,
  enableThinking: true,
  packing: false,
  shuffle: true,
  dataSeed: 7,
  groupByLength: false,
  perDeviceTrainBatchSize: 2,
  gradientAccumulationSteps: 1,
  streaming: false,
  bufferSize: 50,
  preprocessingNumWorkers: 1,
  overwriteCache: false,
  tokenizedPath: null,
};
