/**
 * What an optimizer is: for one parameter, new contents from old contents and a gradient, as nodes of the graph.
 *
 * Numbers that change from step to step (learning rate, bias corrections) are computed outside, in float64, and enter as
 * scalars: the graph is the same for every step.
 */
import { ConfigError } from "../errors.ts";
import type { Value } from "../ir/graph.ts";

export interface Optimizer {
  /** Wire name, as in `optim:` of a configuration. */
  readonly name: string;
  /** Arrays kept for every parameter, shaped like it and zero at the start; PyTorch's names. */
  readonly slots: readonly string[];
  /** Names of the scalars that `update` uses. */
  readonly scalars: readonly string[];
  /**
   * Values of the scalars.
   * @param step number of this step, from 1
   * @param learningRate of this step
   */
  scalarsAt(step: number, learningRate: number): Readonly<Record<string, number>>;
  /** Adds the nodes of one parameter's update. All values have the parameter's shape, scalars have none. */
  update(inputs: UpdateInputs): UpdateOutputs;
}

export interface UpdateInputs {
  readonly parameter: Value;
  readonly gradient: Value;
  readonly slots: Readonly<Record<string, Value>>;
  readonly scalars: Readonly<Record<string, Value>>;
}

export interface UpdateOutputs {
  readonly parameter: Value;
  readonly slots: Readonly<Record<string, Value>>;
}

/** @throws ConfigError naming the option, unless `low <= got < below` */
export function expectRange(optimizer: string, option: string, got: number, low: number, below = Infinity): void {
  if (got >= low && got < below) return;
  const expected = below === Infinity ? `a finite number >= ${low}` : `${low} <= ${option} < ${below}`;
  throw new ConfigError({ where: `${optimizer}: ${option}`, what: "out of range", got, expected });
}
