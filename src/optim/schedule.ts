/**
 * Learning-rate schedules by the names of transformers' `SchedulerType`: factors on the learning rate, the same numbers as
 * its `get_scheduler` up to the last step of the run. Beyond it, where transformers' cosines rise again, they stay.
 *
 * A schedule is a pure function of the step, so that a resumed run needs nothing but the step's number.
 */
import { ConfigError } from "../errors.ts";

export interface ScheduleOptions {
  /** Steps of the whole run, at least 1. */
  readonly totalSteps: number;
  /** Steps of linear growth from 0, at least 0. Default: 0. `constant` does without. */
  readonly warmupSteps?: number;
  /** Cycles of `cosine_with_restarts` (default 1), or half-cycles times two of the other cosines (default 0.5). */
  readonly cycles?: number;
  /** Exponent of `polynomial`. Default: 1. */
  readonly power?: number;
  /** The learning rate that the factors are for. Needed by schedules with an `endLearningRate`. */
  readonly learningRate?: number;
  /**
   * Where `polynomial` (default 1e-7, as in transformers) and `cosine_with_min_lr` (no default) end: transformers' `lr_end`
   * and `min_lr`.
   */
  readonly endLearningRate?: number;
}

/** Factor at a step counted from 0, as transformers counts. */
export type Schedule = (step: number) => number;

/** A step after warm-up. */
interface Moment {
  readonly step: number;
  /** From 0 at the end of warm-up to 1 at the end of the run. */
  readonly progress: number;
  /** Steps left, of those after warm-up: 1 to 0. */
  readonly rest: number;
}

interface Shape {
  /** Factor after warm-up. `end` is the end learning rate as a factor. */
  readonly decay: (moment: Moment, options: ScheduleOptions, end: number) => number;
  /** Default: true. */
  readonly warms?: boolean;
  /** Present if the schedule has an end learning rate, which is this by default. */
  readonly ends?: { readonly byDefault: number | undefined };
}

const SHAPES = {
  constant: { decay: () => 1, warms: false },
  constant_with_warmup: { decay: () => 1 },
  linear: { decay: ({ rest }) => rest },
  cosine: { decay: ({ progress }, { cycles = 0.5 }) => cosine(2 * cycles * progress) },
  cosine_with_restarts: {
    decay: ({ progress }, { cycles = 1 }) => (progress >= 1 ? 0 : cosine((cycles * progress) % 1)),
  },
  cosine_with_min_lr: {
    decay: ({ progress }, { cycles = 0.5 }, end) => cosine(2 * cycles * progress) * (1 - end) + end,
    ends: { byDefault: undefined },
  },
  polynomial: {
    decay: ({ progress }, { power = 1 }, end) => (1 - end) * (1 - progress) ** power + end,
    ends: { byDefault: 1e-7 },
  },
  inverse_sqrt: {
    decay({ step }, { warmupSteps = 0 }) {
      const timescale = warmupSteps > 0 ? warmupSteps : 10_000;
      return 1 / Math.sqrt((step + timescale - warmupSteps) / timescale);
    },
  },
} satisfies Record<string, Shape>;

export type ScheduleName = keyof typeof SHAPES;

export const SCHEDULES = Object.keys(SHAPES) as ScheduleName[];

/** @throws ConfigError if there is no schedule of that name, or an option is out of its range or missing */
export function schedule(name: ScheduleName, options: ScheduleOptions): Schedule {
  if (!Object.hasOwn(SHAPES, name)) {
    throw new ConfigError({
      where: "lr_scheduler_type",
      what: "no such schedule",
      got: name,
      expected: SCHEDULES.join(", "),
    });
  }
  const { decay, warms = true, ends }: Shape = SHAPES[name];
  const { totalSteps, warmupSteps = 0, cycles = 1, power = 1 } = options;
  expect("totalSteps", totalSteps, Number.isInteger(totalSteps) && totalSteps >= 1, "an integer >= 1");
  expect("warmupSteps", warmupSteps, Number.isInteger(warmupSteps) && warmupSteps >= 0, "an integer >= 0");
  expect("cycles", cycles, Number.isFinite(cycles) && cycles > 0, "a number > 0");
  expect("power", power, Number.isFinite(power) && power > 0, "a number > 0");
  const end = ends === undefined ? 0 : endFactor(name, options, ends.byDefault);
  const span = Math.max(1, totalSteps - warmupSteps);
  return (step) => {
    if (warms && step < warmupSteps) return step / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / span);
    const rest = Math.max(0, totalSteps - step) / span;
    return decay({ step, progress, rest }, options, end);
  };
}

/** ½ (1 + cos πx), and never a rounding error below 0. */
function cosine(x: number): number {
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * x)));
}

function endFactor(name: ScheduleName, options: ScheduleOptions, byDefault: number | undefined): number {
  const { learningRate, endLearningRate = byDefault } = options;
  if (learningRate === undefined || endLearningRate === undefined) {
    const missing = learningRate === undefined ? "learningRate" : "endLearningRate";
    throw new ConfigError({
      where: `schedule: ${missing}`,
      what: `${name} needs it`,
      hint: "a schedule that ends at a learning rate has to know where it starts and where it ends",
    });
  }
  expect("learningRate", learningRate, Number.isFinite(learningRate) && learningRate > 0, "a number > 0");
  const within = endLearningRate >= 0 && endLearningRate < learningRate;
  expect("endLearningRate", endLearningRate, within, `at least 0, and below the learning rate ${learningRate}`);
  return endLearningRate / learningRate;
}

function expect(option: string, got: number, holds: boolean, expected: string): void {
  if (!holds) throw new ConfigError({ where: `schedule: ${option}`, what: "out of range", got, expected });
}
