/** Numbers of methods on a sequence of tasks, in rows. */
import type { ExperimentTable } from "../experiment.ts";
import { spreadOf } from "../frame/statistics.ts";
import { meanOverRuns, measuresOf, type MethodRuns, perSeed } from "./plan.ts";

export function sequenceTables(all: readonly MethodRuns[]): ExperimentTable[] {
  const methods = all.filter(({ runs }) => runs.some((run) => run !== undefined));
  const first = methods.flatMap(({ runs }) => runs).find((run) => run !== undefined);
  if (first === undefined) return [];
  const tasks = first.tasks.map(({ name }) => name);
  const percent = (values: readonly number[]) =>
    spreadOf(
      values.map((value) => 100 * value),
      1,
    );
  return [
    {
      name: "methods",
      title: "After the last task: mean ± standard deviation over seeds",
      columns: [
        "method",
        "average accuracy (%)",
        "backward transfer (%)",
        "forgetting (%)",
        "forward transfer (%)",
        "intruders, left",
        "intruders, right",
        "‖ΔW‖ / ‖W₀‖",
        "pretraining loss",
        "overlap of A, last task with those before",
      ],
      rows: methods.map((one) => [
        one.label,
        percent(perSeed(one, (run) => measuresOf(run).averageAccuracy)),
        percent(perSeed(one, (run) => measuresOf(run).backwardTransfer ?? NaN)),
        percent(perSeed(one, (run) => measuresOf(run).forgetting ?? NaN)),
        percent(perSeed(one, (run) => measuresOf(run).forwardTransfer ?? NaN)),
        spreadOf(
          perSeed(one, ({ stages }) => stages.at(-1)!.intruders.left),
          1,
        ),
        spreadOf(
          perSeed(one, ({ stages }) => stages.at(-1)!.intruders.right),
          1,
        ),
        spreadOf(
          perSeed(one, ({ stages }) => stages.at(-1)!.change),
          3,
        ),
        spreadOf(
          perSeed(one, ({ stages }) => stages.at(-1)!.pretrainingLoss ?? NaN),
          3,
        ),
        spreadOf(
          perSeed(one, ({ stages }) => stages.at(-1)!.overlap ?? NaN),
          4,
        ),
      ]),
    },
    {
      name: "tasks",
      title: "Tasks: what guessing, a head on the untouched base, and tuning give (%)",
      columns: [
        "task",
        "classes",
        "largest class",
        "base, head alone",
        ...methods.map(({ label }) => `${label}, when learned`),
        ...methods.map(({ label }) => `${label}, at the end`),
      ],
      rows: tasks.map((task, j) => [
        task,
        first.tasks[j]!.labels.length,
        (100 * first.tasks[j]!.majority).toFixed(1),
        percent(perSeed(methods[0]!, ({ baseline }) => baseline.accuracies[j]!)),
        ...methods.map((one) => percent(perSeed(one, ({ stages }) => stages[j]!.accuracies[j]!))),
        ...methods.map((one) => percent(perSeed(one, ({ stages }) => stages.at(-1)!.accuracies[j]!))),
      ]),
    },
    {
      name: "matrix",
      title: "Accuracy (%) on each task after each task, mean over seeds",
      columns: ["method", "after", ...tasks],
      rows: methods.flatMap((one) => [
        [one.label, "base", ...meanOverRuns(one, ({ baseline }) => baseline.accuracies).map(shown)],
        ...tasks.map((task, i) => [
          one.label,
          `${i + 1}. ${task}`,
          ...meanOverRuns(one, ({ stages }) => stages[i]!.accuracies).map(shown),
        ]),
      ]),
    },
    {
      name: "stages",
      title: "After each task, mean over seeds",
      columns: [
        "method",
        "after",
        "intruders, left",
        "intruders, right",
        "pretraining loss",
        "‖ΔW‖ / ‖W₀‖",
        "overlap of A with tasks before",
      ],
      rows: methods.flatMap((one) =>
        tasks.map((task, i) => [
          one.label,
          `${i + 1}. ${task}`,
          spreadOf(
            perSeed(one, ({ stages }) => stages[i]!.intruders.left),
            1,
          ),
          spreadOf(
            perSeed(one, ({ stages }) => stages[i]!.intruders.right),
            1,
          ),
          spreadOf(
            perSeed(one, ({ stages }) => stages[i]!.pretrainingLoss ?? NaN),
            3,
          ),
          spreadOf(
            perSeed(one, ({ stages }) => stages[i]!.change),
            3,
          ),
          spreadOf(
            perSeed(one, ({ stages }) => stages[i]!.overlap ?? NaN),
            4,
          ),
        ]),
      ),
    },
  ];
}

function shown(share: number): string {
  return (100 * share).toFixed(1);
}
