/** The learning rate over a run, and numbers of steps, as the configuration gives them. */
import { ConfigError } from "../errors.ts";
import { type Schedule, schedule, type ScheduleName, type ScheduleOptions } from "../optim/schedule.ts";
import type { Settings } from "./derive.ts";

type SchedulePart = Pick<
  Settings,
  "lrSchedulerType" | "lrSchedulerKwargs" | "learningRate" | "warmupRatio" | "warmupSteps"
>;

/** transformers' names of options, by schedule. `min_lr_rate` is a factor on the learning rate. */
const OPTIONS: Partial<Record<ScheduleName, readonly string[]>> = {
  cosine: ["num_cycles"],
  cosine_with_restarts: ["num_cycles"],
  cosine_with_min_lr: ["num_cycles", "min_lr", "min_lr_rate"],
  polynomial: ["power", "lr_end"],
};

/**
 * Factor on the learning rate at a step counted from 0.
 * @param totalSteps steps of the whole run, at least 1
 * @throws ConfigError if an option is unknown, missing or out of range
 */
export function scheduleOf(settings: SchedulePart, totalSteps: number): Schedule {
  const { lrSchedulerType: name, lrSchedulerKwargs, learningRate, warmupRatio, warmupSteps } = settings;
  const known = OPTIONS[name] ?? [];
  const found = new Map<string, number>();
  for (const [option, value] of Object.entries(lrSchedulerKwargs ?? {})) {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    if (!known.includes(option) || typeof number !== "number" || !Number.isFinite(number)) {
      throw new ConfigError({
        where: "lr_scheduler_kwargs",
        what: known.includes(option) ? `${option} is not a number` : `${name} has no option ${option}`,
        ...(known.includes(option) ? { got: value } : {}),
        hint: known.length === 0 ? `${name} has no options: remove them` : `its options: ${known.join(", ")}`,
      });
    }
    found.set(option, number);
  }
  const rate = found.get("min_lr_rate");
  const end = found.get("lr_end") ?? found.get("min_lr") ?? (rate === undefined ? undefined : rate * learningRate);
  if (name === "cosine_with_min_lr" && end === undefined) {
    const hint = "lr_scheduler_kwargs: {min_lr_rate: 0.1}";
    throw new ConfigError({ where: "lr_scheduler_kwargs", what: `${name} needs min_lr or min_lr_rate`, hint });
  }
  const options: ScheduleOptions = {
    totalSteps,
    learningRate,
    warmupSteps: warmupSteps > 0 ? stepsOf(warmupSteps, totalSteps) : Math.ceil(warmupRatio * totalSteps),
    ...optional("cycles", found.get("num_cycles")),
    ...optional("power", found.get("power")),
    ...optional("endLearningRate", end),
  };
  return schedule(name, options);
}

/** Steps of an interval such as `saveSteps`: below 1 it is a share of the run, rounded up as in transformers. */
export function stepsOf(interval: number, totalSteps: number): number {
  return interval < 1 ? Math.ceil(interval * totalSteps) : interval;
}

function optional<K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> {
  const part: Partial<Record<K, number>> = {};
  if (value !== undefined) part[key] = value;
  return part;
}
