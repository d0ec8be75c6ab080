/** One task of a sequence: the method's parameters and a new head are trained on its rows. */
import type { Adapter } from "../../adapters/adapter.ts";
import type { Row } from "../../data/row-source.ts";
import { memoryRows } from "../../data/row-source.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import type { Trainable } from "../../lm/trainable.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { initializeParameters } from "../../parameters.ts";
import type { Device } from "../../runtime/runtime.ts";
import { Trainer } from "../../train/trainer.ts";

export interface TaskTraining {
  /** Passes over the rows. */
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  /** Share of the steps in which the learning rate grows; then it falls to 0, linearly. */
  readonly warmupRatio: number;
  readonly seed: number;
}

export interface TrainedTask {
  readonly steps: number;
  /** Mean over all steps, and over the last tenth of them, in nats. */
  readonly meanLoss: number;
  readonly lastLoss: number;
}

/**
 * Without weight decay, as in the paper. The head is drawn from the seed, and is freed afterwards: tests have heads of their own.
 * @throws the signal's reason if it was stopped
 */
export async function trainTask(
  device: Device,
  model: TextModel,
  what: { readonly adapters: readonly Adapter[]; readonly weights: readonly ParameterSpec[] },
  rows: readonly Row[],
  { epochs, batchSize, learningRate, warmupRatio, seed }: TaskTraining,
  { signal, padId, onStep }: { signal: AbortSignal | undefined; padId: number; onStep?: (share: number) => void },
): Promise<TrainedTask> {
  const head = model.parameters.filter(({ name }) => model.newModules?.some((one) => name.startsWith(`${one}.`)));
  await initializeParameters(device, head, seed);
  const language = new LanguageModel(device, model);
  const notSaved = () => Promise.reject(new Error("a task of a sequence is not saved by itself"));
  const trainable: Trainable = {
    language,
    what: "the model",
    trained: [...what.weights, ...what.adapters.flatMap(({ parameters }) => parameters), ...head],
    adapters: what.adapters,
    ready: async () => {},
    save: notSaved,
    restore: notSaved,
  };
  const losses: number[] = [];
  const trainer = new Trainer({
    model: { trainable: () => trainable },
    trainDataset: memoryRows(rows, { seed }),
    padId,
    args: {
      numTrainEpochs: epochs,
      perDeviceTrainBatchSize: batchSize,
      learningRate,
      lrSchedulerType: "linear",
      warmupRatio,
      weightDecay: 0,
      seed,
      saveStrategy: "no",
      loggingStrategy: "no",
    },
    callbacks: [
      {
        onStart: ({ totalSteps }) => void (total = totalSteps),
        onStep({ loss, step }) {
          losses.push(loss);
          onStep?.(step / total);
        },
      },
    ],
  });
  let total = 1;
  try {
    const { reason } = await trainer.train(signal === undefined ? {} : { signal });
    if (reason === "interrupted") throw signal?.reason ?? new Error("stopped");
  } finally {
    await language.dispose();
    for (const { name } of head) await device.free(name);
  }
  const last = losses.slice(-Math.max(1, Math.round(losses.length / 10)));
  return { steps: losses.length, meanLoss: mean(losses), lastLoss: mean(last) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
