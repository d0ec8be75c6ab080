/** Which evaluation was the best: `metric_for_best_model` and `greater_is_better` as transformers means them. */
import { ConfigError } from "../../errors.ts";

export interface MetricChoice {
  /** A metric of the evaluation, with or without `eval_`. Default: `loss`. */
  readonly metric?: string;
  /** Default: false for a metric whose name ends in "loss" or "perplexity", otherwise true. */
  readonly greaterIsBetter?: boolean;
}

/** The best so far, as it stands in `trainer_state.json`. */
export interface Best {
  readonly value: number;
  readonly step: number;
}

export class BestMetric {
  /** Name in the rows of the log. */
  readonly metric: string;
  readonly greaterIsBetter: boolean;
  #best: Best | undefined;

  /** @param best of the part of the run before; default: none */
  constructor({ metric = "loss", greaterIsBetter }: MetricChoice = {}, best?: Best) {
    this.metric = metric.startsWith("eval_") ? metric : `eval_${metric}`;
    this.greaterIsBetter = greaterIsBetter ?? !/(loss|perplexity)$/.test(metric);
    this.#best = best;
  }

  get best(): Best | undefined {
    return this.#best;
  }

  /**
   * The value of the metric in an evaluation.
   * @throws ConfigError if the evaluation has no such metric
   */
  valueIn(metrics: Readonly<Record<string, number>>): number {
    const value = metrics[this.metric];
    if (value !== undefined) return value;
    throw new ConfigError({
      where: "metric_for_best_model",
      what: "the evaluation has no such metric",
      got: this.metric,
      expected: Object.keys(metrics)
        .filter((name) => name.startsWith("eval_"))
        .join(", "),
    });
  }

  /** How much better `value` is than the best so far: infinitely if there is none, below 0 if it is worse. */
  gain(value: number): number {
    if (this.#best === undefined) return Number.isNaN(value) ? -Infinity : Infinity;
    return this.greaterIsBetter ? value - this.#best.value : this.#best.value - value;
  }

  /** Takes the value if it is the best. A value that is not a number never is. */
  offer(value: number, step: number): boolean {
    if (!(this.gain(value) > 0)) return false;
    this.#best = { value, step };
    return true;
  }
}
