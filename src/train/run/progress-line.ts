/** What a person sees of a run while it goes on: a few words for a progress bar, or a line for a log. */
import type { StepEvent } from "./events.ts";
import { type LogRow, round } from "./log-rows.ts";

/** The rate is that of the last so many milliseconds, so that it follows when a run becomes slower. */
const RATE_WINDOW_MS = 10_000;

/** Tokens per second, lately. */
export class TokenRate {
  readonly #samples: { readonly at: number; readonly tokens: number }[];

  /** @param now milliseconds, at the start @param tokens seen before */
  constructor(now: number, tokens = 0) {
    this.#samples = [{ at: now, tokens }];
  }

  /** @returns tokens per second up to now; undefined before any time has passed */
  update(now: number, tokens: number): number | undefined {
    this.#samples.push({ at: now, tokens });
    // The oldest one kept is the last from before the window.
    const inside = this.#samples.findIndex(({ at }) => at > now - RATE_WINDOW_MS);
    if (inside > 1) this.#samples.splice(0, inside - 1);
    const oldest = this.#samples[0]!;
    return now > oldest.at ? ((tokens - oldest.tokens) / (now - oldest.at)) * 1000 : undefined;
  }
}

/** Fields behind the bar, in the order in which they are worth their columns. */
export function progressFields(event: StepEvent, tokensPerSecond: number | undefined): Record<string, string> {
  return {
    loss: event.loss.toPrecision(4),
    lr: rateText(event.learningRate),
    ...(tokensPerSecond === undefined ? {} : { "tok/s": countText(tokensPerSecond) }),
    mem: memoryText(event.memoryBytes),
  };
}

/** A learning rate: `9.87e-5`. */
export function rateText(rate: number): string {
  return rate === 0 ? "0" : rate.toExponential(2);
}

/** A rate or a count of three digits, or whole: `12.3`, `1,234`. */
export function countText(count: number): string {
  return count >= 100 ? Math.round(count).toLocaleString("en-US") : String(Number(count.toPrecision(3)));
}

/** Memory in GiB, as it is bought and as `free` shows it. */
export function memoryText(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** `eval_loss 1.234, eval_perplexity 3.435`: the metrics of an evaluation without those of its speed. */
export function evaluationText(row: LogRow): string {
  return Object.entries(row)
    .filter(([name]) => name.startsWith("eval_") && !/_(runtime|per_second)$/.test(name))
    .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
    .join(", ");
}

/** How far the run is, in percent with one decimal. */
export function percentText(step: number, totalSteps: number): string {
  return `${round(totalSteps === 0 ? 100 : (100 * step) / totalSteps, 1)}%`;
}
