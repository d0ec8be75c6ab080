/**
 * Measures of a sequence of tasks (Lopez-Paz and Ranzato 2017, arXiv 1706.08840; forgetting: Chaudhry et al. 2018, arXiv
 * 1801.10112). R[i][j] is the accuracy on task j after training on tasks 0 to i, in any unit in which more is better.
 */
import { ConfigError } from "../../errors.ts";

export interface TaskSequence {
  /** Mean over the tasks after the last one: mean_j R[T−1][j]. */
  readonly averageAccuracy: number;
  /** mean_{j<T−1} (R[T−1][j] − R[j][j]): below 0 where later tasks harm earlier ones. Null for one task. */
  readonly backwardTransfer: number | null;
  /** mean_{j<T−1} (max_{i<T−1} R[i][j] − R[T−1][j]): best in the past less final. Null for one task. */
  readonly forgetting: number | null;
  /** mean_{j>0} (R[j−1][j] − baseline[j]): what earlier tasks do for one that comes. Null without a baseline. */
  readonly forwardTransfer: number | null;
  /** The same for each task; the last one has been trained on last, and forgets nothing. */
  readonly perTask: readonly {
    readonly final: number;
    readonly backwardTransfer: number;
    readonly forgetting: number;
  }[];
}

/**
 * @param accuracies R [T, T]; a task that was not tested before it was trained on is null there (j > i)
 * @param baseline accuracy of the base on each task, for forward transfer
 * @throws ConfigError if it is not square, or a value that is needed is missing
 */
export function taskSequence(
  accuracies: readonly (readonly (number | null)[])[],
  baseline?: readonly number[],
): TaskSequence {
  const T = accuracies.length;
  const problem = problemWith(accuracies, baseline);
  if (problem !== undefined) throw new ConfigError({ where: "task sequence", what: problem });
  const last = accuracies[T - 1]!;
  const perTask = last.map((value, j) => {
    const final = value!;
    // Those before the last task: the best of the past cannot be the present.
    const past = accuracies.slice(0, T - 1).flatMap((row) => row[j] ?? []);
    const best = j === T - 1 ? final : Math.max(...past);
    return {
      final,
      backwardTransfer: final - accuracies[j]![j]!,
      forgetting: best - final,
    };
  });
  const earlier = perTask.slice(0, -1);
  const forward = accuracies.slice(1).flatMap((_, j) => accuracies[j]![j + 1] ?? []);
  return {
    averageAccuracy: mean(perTask.map(({ final }) => final)),
    backwardTransfer: T === 1 ? null : mean(earlier.map(({ backwardTransfer }) => backwardTransfer)),
    forgetting: T === 1 ? null : mean(earlier.map(({ forgetting }) => forgetting)),
    forwardTransfer:
      baseline === undefined || T === 1 || forward.length < T - 1
        ? null
        : mean(forward.map((value, j) => value - baseline[j + 1]!)),
    perTask,
  };
}

function problemWith(R: readonly (readonly (number | null)[])[], baseline?: readonly number[]): string | undefined {
  const T = R.length;
  if (T === 0) return "has no tasks";
  const ragged = R.findIndex((row) => row.length !== T);
  if (ragged >= 0) return `row ${ragged} has ${R[ragged]!.length} accuracies for ${T} tasks`;
  for (const [i, row] of R.entries()) {
    for (const [j, value] of row.entries()) {
      if (value !== null && !Number.isFinite(value)) return `accuracy [${i}][${j}] is ${value}`;
      if (value === null && j <= i) return `accuracy [${i}][${j}] is missing: the task was trained on by then`;
    }
  }
  if (baseline !== undefined && baseline.length !== T) return `${baseline.length} baselines for ${T} tasks`;
  return undefined;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
