/**
 * Learning-rate schedules by the names of transformers' `SchedulerType`: factors on the learning rate.
 *
 * A schedule is a pure function of the step, so that a resumed run needs nothing but the step's number.
 */
import { ConfigError } from "../errors.ts";

export interface ScheduleOptions {
  /** Steps of the whole run. */
  readonly totalSteps: number;
  /** Steps of linear growth from 0. Default: 0. */
  readonly warmupSteps?: number;
  /** Cycles of `cosine_with_restarts` (default 1), or half-cycles times two of `cosine` (default 0.5). */
  readonly cycles?: number;
  /** Exponent of `polynomial`. Default: 1. */
  readonly power?: number;
}

/** Factor at a step counted from 0, as transformers counts. */
export type Schedule = (step: number) => number;

type Decay = (progress: number, options: ScheduleOptions, step: number) => number;

/** Factor after warm-up; `progress` runs from 0 to 1. */
const DECAYS = {
  constant: () => 1,
  constant_with_warmup: () => 1,
  linear: (progress) => 1 - progress,
  cosine: (progress, { cycles = 0.5 }) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * 2 * cycles * progress))),
  cosine_with_restarts: (progress, { cycles = 1 }) =>
    progress >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((cycles * progress) % 1)))),
  polynomial: (progress, { power = 1 }) => (1 - progress) ** power,
  inverse_sqrt: (_progress, { warmupSteps = 0 }, step) => {
    const timescale = warmupSteps > 0 ? warmupSteps : 10_000;
    return 1 / Math.sqrt((step + timescale - warmupSteps) / timescale);
  },
} satisfies Record<string, Decay>;

export type ScheduleName = keyof typeof DECAYS;

export const SCHEDULES = Object.keys(DECAYS) as ScheduleName[];

/** @throws ConfigError if there is no schedule of that name */
export function schedule(name: ScheduleName, options: ScheduleOptions): Schedule {
  const decay: Decay | undefined = DECAYS[name];
  if (decay === undefined) {
    throw new ConfigError({
      where: "lr_scheduler_type",
      what: "no such schedule",
      got: name,
      expected: SCHEDULES.join(", "),
    });
  }
  const { totalSteps, warmupSteps = 0 } = options;
  const warms = name !== "constant";
  return (step) => {
    if (warms && step < warmupSteps) return step / Math.max(1, warmupSteps);
    const progress = Math.min(1, Math.max(0, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps)));
    return decay(progress, options, step);
  };
}
