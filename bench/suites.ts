/** The benchmarks, in the order in which they run. */
import { gradientOrderSuite } from "./gradient-order-suite.ts";
import { graphOverhead } from "./graph-overhead.ts";
import { lmStep } from "./lm-step.ts";
import { mlpSteps } from "./mlp-steps.ts";
import { svdSuite } from "./svd.ts";

export interface SuiteResult {
  readonly header: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  /** What the results file holds besides the machine. */
  readonly figures: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
  /** Whether bench/results/NAME.md is written, too. Default: false. */
  readonly document?: boolean;
}

export interface Suite {
  readonly name: string;
  readonly title: string;
  run(threads: number): Promise<SuiteResult>;
}

export const SUITES: readonly Suite[] = [mlpSteps, graphOverhead, gradientOrderSuite, lmStep, svdSuite];
