/** Pictures of methods on a sequence of tasks. */
import type { ExperimentFigure } from "../experiment.ts";
import { panels, type SampledSweep, similarityMap, sweep, taskMatrix } from "../frame/charts.ts";
import { meanOverRuns, type MethodRuns, perSeed } from "./plan.ts";
import type { SequenceResult } from "./sequence.ts";

/** @param what in a few words: model, tasks, seeds */
export function sequenceFigures(all: readonly MethodRuns[], what: string): ExperimentFigure[] {
  const methods = all.filter(({ runs }) => runs.some((run) => run !== undefined));
  const first = methods.flatMap(({ runs }) => runs).find((run) => run !== undefined);
  if (first === undefined) return [];
  const tasks = first.tasks.map(({ name }) => name);
  return [
    ...methods.map((one) => matrix(one, tasks, what)),
    byTask(methods, tasks, what),
    overTasks(methods, tasks, {
      name: "average-accuracy",
      title: "Mean accuracy over all tasks",
      caption: "Heads of all tasks are trained anew on the backbone after each task. At 0: the base.",
      y: { label: "accuracy (%), mean over tasks" },
      subtitle: what,
      of: ({ baseline, stages }) => [baseline, ...stages].map(({ accuracies }) => 100 * mean(accuracies)),
    }),
    overTasks(methods, tasks, {
      name: "intruders",
      title: "Intruder dimensions over the sequence",
      caption:
        "Against the base: among the 10 first left vectors of each matrix, those with no |cosine| of 0.5 or more.",
      y: { label: "intruders, sum over matrices", from: 0 },
      subtitle: what,
      of: ({ stages }) => [0, ...stages.map(({ intruders }) => intruders.left)],
    }),
    ...(first.baseline.pretrainingLoss === null
      ? []
      : [
          overTasks(methods, tasks, {
            name: "pretraining-loss",
            title: "Forgetting of pretraining over the sequence",
            caption: "Loss on texts like those of pretraining that the model has not seen. At 0: the base.",
            y: { label: "loss (nats per token)" },
            subtitle: what,
            of: ({ baseline, stages }) => [baseline, ...stages].map(({ pretrainingLoss }) => pretrainingLoss ?? NaN),
          }),
        ]),
    ...similarity(methods, what),
  ];
}

function matrix(runs: MethodRuns, tasks: readonly string[], what: string): ExperimentFigure {
  const after = tasks.map((_, i) => meanOverRuns(runs, ({ stages }) => stages[i]!.accuracies));
  const title = `${runs.label}: accuracy on each task after each task`;
  return {
    name: `tasks-${fileName(runs.label)}`,
    title,
    caption: "Rows: after learning a task. Only the head of the tested task is trained again. Mean over seeds.",
    chart: taskMatrix({
      title: runs.label,
      subtitle: what,
      tasks,
      accuracies: after,
      baseline: meanOverRuns(runs, ({ baseline }) => baseline.accuracies),
      width: 640,
    }),
  };
}

/** A panel for each task, with the base's accuracy as a line. */
function byTask(methods: readonly MethodRuns[], tasks: readonly string[], what: string): ExperimentFigure {
  const x = tasks.map((_, i) => i + 1);
  const charts = tasks.map((task, j) => {
    const of = ({ stages }: SequenceResult) => stages.map(({ accuracies }) => 100 * accuracies[j]!);
    const base = mean(methods.flatMap((one) => meanOverRuns(one, ({ baseline }) => [100 * baseline.accuracies[j]!])));
    const title = `${j + 1}. ${task}`;
    const chart = sweep(
      methods.map((one) => sampledOf(one, x, of)),
      {
        title,
        subtitle: what,
        x: { label: "tasks learned", ticks: x },
        y: { label: "accuracy (%)" },
        level: { y: base, label: "base, head alone" },
        width: 520,
        height: 360,
      },
    );
    return [title, chart] as const;
  });
  return {
    name: "accuracy-by-task",
    title: "Each task, over the sequence",
    caption:
      "Task j is learned at j; what comes after is what later tasks leave of it. Dashed: a head on the untouched base.",
    chart: panels(charts, 2),
  };
}

/** @param of a number for each x */
function sampledOf(
  runs: MethodRuns,
  x: readonly number[],
  of: (run: SequenceResult) => readonly number[],
): SampledSweep {
  return { name: runs.label, x, samples: x.map((_, i) => perSeed(runs, (run) => of(run)[i] ?? NaN)) };
}

function overTasks(
  methods: readonly MethodRuns[],
  tasks: readonly string[],
  {
    of,
    y,
    subtitle,
    ...texts
  }: Pick<ExperimentFigure, "name" | "title" | "caption"> & {
    readonly of: (run: SequenceResult) => readonly number[];
    readonly y: { readonly label: string; readonly from?: number };
    readonly subtitle: string;
  },
): ExperimentFigure {
  const x = [0, ...tasks.map((_, i) => i + 1)];
  const order = tasks.map((task, i) => `${i + 1} ${task}`).join(", ");
  return {
    ...texts,
    caption: `${texts.caption} Tasks: ${order}. Bars: standard deviation over seeds.`,
    chart: sweep(
      methods.map((one) => sampledOf(one, x, of)),
      {
        title: texts.title,
        subtitle,
        x: { label: "tasks learned", ticks: x, format: (i) => (i === 0 ? "base" : String(i)) },
        y,
      },
    ),
  };
}

/** Of the first seed, for the matrix in which the methods have most intruders at the end: a row for each method. */
function similarity(methods: readonly MethodRuns[], what: string): ExperimentFigure[] {
  const runs = methods.flatMap(({ label, runs: [run] }) => (run === undefined ? [] : [{ label, run }]));
  const counts = new Map<string, number>();
  for (const { run } of runs) {
    const last = run.stages.at(-1)!;
    for (const { name } of last.pictures) {
      counts.set(name, (counts.get(name) ?? 0) + (last.intrudersByMatrix[name]?.[0] ?? 0));
    }
  }
  const [name] = [...counts].toSorted((a, b) => b[1] - a[1])[0] ?? [];
  if (name === undefined) return [];
  const charts = runs.flatMap(({ label, run }) =>
    run.stages.map(({ task, pictures }, i) => {
      const { similarity: values, intruders } = pictures.find((picture) => picture.name === name)!;
      const title = `${label}, after ${i + 1}. ${task}`;
      return [title, similarityMap({ title, values, intruderRanks: intruders, numbers: false, width: 300 })] as const;
    }),
  );
  return [
    {
      name: "similarity",
      title: `|U₀ᵀ U| of ${name} after each task`,
      caption:
        "The ten first left singular vectors, of the matrix with most intruders. Outlined: intruders, which have no |cosine| of " +
        `0.5 or more with any base vector. First seed; ${what}.`,
      chart: panels(charts, runs[0]!.run.stages.length),
    },
  ];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function fileName(label: string): string {
  return label.replaceAll(/[^a-z0-9]+/g, "-");
}
