/** Stops a run whose evaluations no longer get better: transformers' `EarlyStoppingCallback`. */
import { ConfigError } from "../../errors.ts";
import type { BestMetric } from "./best-metric.ts";
import type { Json } from "./python-json.ts";

export interface EarlyStoppingOptions {
  /** Evaluations in a row without a gain that end the run: LLaMA-Factory's `early_stopping_steps`. At least 1. */
  readonly patience: number;
  /** A gain counts only if it is more than this. Default: 0. */
  readonly threshold?: number;
}

export class EarlyStopping {
  readonly patience: number;
  readonly threshold: number;
  #fruitless: number;

  /**
   * @param fruitless evaluations without a gain so far, for a run that was resumed
   * @throws ConfigError if an option is out of its range
   */
  constructor({ patience, threshold = 0 }: EarlyStoppingOptions, fruitless = 0) {
    if (!Number.isInteger(patience) || patience < 1) {
      const expected = "an integer >= 1";
      throw new ConfigError({ where: "early_stopping_steps", what: "out of range", got: patience, expected });
    }
    if (!(threshold >= 0)) {
      const expected = "a number >= 0";
      throw new ConfigError({ where: "early_stopping_threshold", what: "out of range", got: threshold, expected });
    }
    this.patience = patience;
    this.threshold = threshold;
    this.#fruitless = fruitless;
  }

  /** Evaluations in a row without a gain. */
  get fruitless(): number {
    return this.#fruitless;
  }

  /**
   * Looks at an evaluation, before `best` is offered its value.
   * @returns whether the run should stop
   */
  observe(best: BestMetric, value: number): boolean {
    this.#fruitless = best.gain(value) > this.threshold ? 0 : this.#fruitless + 1;
    return this.#fruitless >= this.patience;
  }

  /** As transformers keeps it in `stateful_callbacks`, by the name `EarlyStoppingCallback`. */
  state(): Json {
    return {
      args: { early_stopping_patience: this.patience, early_stopping_threshold: this.threshold },
      attributes: { early_stopping_patience_counter: this.#fruitless },
    };
  }
}
