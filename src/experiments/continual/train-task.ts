/** One task of a sequence: the method's parameters and a new head are trained on its rows. */
import type { Adapter } from "../../adapters/adapter.ts";
import { memoryRows, type Row } from "../../data/row-source.ts";
import { LanguageModel } from "../../lm/language-model.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { ParameterSpec } from "../../nn/module.ts";
import { initializeParameters } from "../../parameters.ts";
import type { Device } from "../../runtime/runtime.ts";
import { headParameters } from "../rig/backbone.ts";
import { type RowsTraining, trainRows } from "../rig/train-rows.ts";

export interface TaskTraining extends Omit<RowsTraining, "length" | "padId"> {
  /** Passes over the rows. */
  readonly epochs: number;
}

export interface TrainedTask {
  readonly steps: number;
  /** Mean over all steps, and over the last tenth of them, in nats. */
  readonly meanLoss: number;
  readonly lastLoss: number;
}

/**
 * The head is drawn from the seed, and is freed afterwards: tests have heads of their own.
 * @throws the signal's reason if it was stopped
 */
export async function trainTask(
  device: Device,
  model: TextModel,
  what: { readonly adapters: readonly Adapter[]; readonly weights: readonly ParameterSpec[] },
  rows: readonly Row[],
  { epochs, ...settings }: TaskTraining,
  { signal, padId, onStep }: { signal: AbortSignal | undefined; padId: number; onStep?: (share: number) => void },
): Promise<TrainedTask> {
  const { adapters, weights } = what;
  const head = headParameters(model);
  await initializeParameters(device, head, settings.seed);
  const language = new LanguageModel(device, model);
  try {
    const trained = [...weights, ...adapters.flatMap(({ parameters }) => parameters), ...head];
    const losses = await trainRows(
      { language, what: "the model", trained, adapters },
      memoryRows(rows, { seed: settings.seed }),
      { ...settings, length: { epochs }, padId },
      { signal, onStep: ({ step, total }) => onStep?.(step / total) },
    );
    const last = losses.slice(-Math.max(1, Math.round(losses.length / 10)));
    return { steps: losses.length, meanLoss: mean(losses), lastLoss: mean(last) };
  } finally {
    await language.dispose();
    for (const { name } of head) await device.free(name);
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
