/**
 * Training on rows as the experiments do it (Shuttleworth et al. 2024, arXiv 2410.21228, appendix B.3): AdamW without weight decay,
 * a linear schedule with warm-up. Nothing is saved or logged.
 */
import type { RowSource } from "../../data/row-source.ts";
import type { Trainable } from "../../lm/trainable.ts";
import { Trainer } from "../../train/trainer.ts";

export interface RowsTraining {
  /** Passes over the rows, or steps. */
  readonly length: { readonly epochs: number } | { readonly steps: number };
  readonly batchSize: number;
  /** The largest one. */
  readonly learningRate: number;
  /** Share of the steps in which the learning rate grows; then it falls to 0, linearly. */
  readonly warmupRatio: number;
  readonly seed: number;
  readonly padId: number;
}

export interface TakenStep {
  /** From 1. */
  readonly step: number;
  /** Steps of the whole training. */
  readonly total: number;
  /** Of this step, in nats. */
  readonly loss: number;
}

/**
 * @returns the loss of each step
 * @throws the signal's reason if it was stopped; NumericError if a loss is not finite
 */
export async function trainRows(
  model: Pick<Trainable, "language" | "what" | "trained" | "adapters">,
  rows: RowSource,
  { length, batchSize, learningRate, warmupRatio, seed, padId }: RowsTraining,
  { signal, onStep }: { signal?: AbortSignal | undefined; onStep?: (taken: TakenStep) => void | Promise<void> } = {},
): Promise<number[]> {
  const notSaved = () => Promise.reject(new Error("what an experiment trains is not saved by the trainer"));
  const trainable: Trainable = { ...model, ready: async () => {}, save: notSaved, restore: notSaved };
  const losses: number[] = [];
  let total = 1;
  const trainer = new Trainer({
    model: { trainable: () => trainable },
    trainDataset: rows,
    padId,
    args: {
      ...("steps" in length ? { maxSteps: length.steps } : { numTrainEpochs: length.epochs }),
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
        async onStep({ step, loss }) {
          losses.push(loss);
          await onStep?.({ step, total, loss });
        },
      },
    ],
  });
  const { reason } = await trainer.train(signal === undefined ? {} : { signal });
  signal?.throwIfAborted();
  if (reason !== "finished") throw new Error(`training ended: ${reason}`);
  return losses;
}
