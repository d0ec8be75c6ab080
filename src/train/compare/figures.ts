/** Pictures of a comparison: all measures by cell, learning against forgetting, loss against memory, and the curves. */
import { type DotColumn, dotRowsSvg, type DotValue } from "../../figures/dot-rows.ts";
import { lineChartSvg } from "../../figures/line-chart.ts";
import { type Point, type PointSeries, xyChartSvg } from "../../figures/xy-chart.ts";
import { emaSmoothed, emaWeight } from "../run/plots.ts";
import { bytesText } from "./markdown.ts";
import { byTask, type Row, type Spread } from "./summary.ts";

/** More curves than this cannot be told apart. */
const MAX_CURVES = 7;

export interface Figure {
  /** Without an ending. */
  readonly name: string;
  readonly svg: string;
}

/** Those that there are numbers for. @param subtitle what was trained, on what, for how long */
export function comparisonFigures(all: readonly Row[], subtitle: string): Figure[] {
  const rows = byTask(all).filter(({ finished }) => finished > 0);
  if (rows.length === 0) return [];
  const hasPretraining = rows.some(({ pretraining }) => pretraining !== undefined);
  return [
    { name: "compare", svg: overview(rows, subtitle, hasPretraining) },
    ...(hasPretraining ? [{ name: "compare-forgetting", svg: forgetting(rows, subtitle) }] : []),
    { name: "compare-memory", svg: memory(rows, subtitle) },
    { name: "compare-loss", svg: curves(rows, subtitle) },
  ];
}

function overview(rows: readonly Row[], subtitle: string, hasPretraining: boolean): string {
  const storages = new Set(rows.map(({ storage }) => storage));
  const columns: readonly (DotColumn & { readonly of: (row: Row) => DotValue | undefined })[] = [
    { title: "task ppl", log: true, format: short, of: ({ task }) => dot(task) },
    ...(hasPretraining
      ? [
          {
            title: "pretraining ppl",
            log: true,
            format: short,
            of: ({ pretraining, pretrainingBefore }: Row) => dot(pretraining, pretrainingBefore?.mean),
          },
        ]
      : []),
    { title: "trainable", log: true, format: shortCount, of: ({ trainableParameters: n }) => one(n) },
    { title: "tokens/s", format: shortCount, of: ({ tokensPerSecond }) => dot(tokensPerSecond) },
    { title: "peak memory", format: bytesText, of: ({ peakBytes }) => dot(peakBytes) },
  ];
  const before = hasPretraining ? " Upright line: before training." : "";
  return dotRowsSvg(
    rows.map((row) => ({
      label: nameOf(row, storages.size > 1),
      group: row.storage,
      values: columns.map(({ of }) => of(row)),
    })),
    columns,
    {
      title: "Methods compared, the best on the task first",
      subtitle,
      note: `ppl: perplexity on samples that were not trained on. Bars: standard deviation over seeds.${before}`,
    },
  );
}

function forgetting(rows: readonly Row[], subtitle: string): string {
  const bases = [...new Map(rows.map((row) => [row.storage, row.pretrainingBefore?.mean]))];
  const known = bases
    .flatMap(([storage, y]) => (y === undefined ? [] : [{ storage, y }]))
    .toSorted((a, b) => b.y - a.y);
  // They lie close together: one label is for all.
  const names = known.length > 1 ? `: ${known.map(({ storage }) => storage).join(", ")}` : "";
  const levels = known.map(({ y }, i) => (i === 0 ? { y, label: `before training${names}` } : { y }));
  return xyChartSvg(
    byStorage(rows, ({ task, pretraining }) =>
      task === undefined || pretraining === undefined
        ? undefined
        : { x: task.mean, y: pretraining.mean, ...spreads(task, pretraining) },
    ),
    {
      title: "Learning against forgetting",
      subtitle,
      x: { label: "perplexity on the task (less is better)", log: true },
      y: { label: "perplexity on the pretraining text (what grows is forgetting)", log: true },
      levels,
    },
  );
}

function memory(rows: readonly Row[], subtitle: string): string {
  return xyChartSvg(
    byStorage(rows, ({ task, peakBytes }) =>
      task === undefined || peakBytes === undefined
        ? undefined
        : { x: peakBytes.mean / 1e6, y: Math.log(task.mean), xSpread: (peakBytes.sd ?? 0) / 1e6 },
    ),
    {
      title: "Loss against memory",
      subtitle,
      x: { label: "peak resident memory while training (MB)" },
      y: { label: "loss on the task (nats per token)" },
      note: "The program and the engine are in it: with a small model they are most of it.",
    },
  );
}

function curves(rows: readonly Row[], subtitle: string): string {
  const drawn = rows.slice(0, MAX_CURVES);
  const storages = new Set(drawn.map(({ storage }) => storage));
  const of = rows.length > drawn.length ? `the ${drawn.length} best of ${rows.length}; ` : "";
  const weight = emaWeight(drawn[0]!.losses.length);
  return lineChartSvg(
    drawn.map((row) => ({
      name: nameOf(row, storages.size > 1),
      x: row.losses.map((_, i) => i + 1),
      y: row.losses,
      smoothed: emaSmoothed(row.losses),
    })),
    {
      title: "Training loss",
      subtitle,
      xLabel: "step",
      yLabel: "loss (nats per token)",
      note: `${of}means over seeds. Bold: exponential moving average, weight ${weight.toFixed(2)}.`,
    },
  );
}

function byStorage(rows: readonly Row[], of: (row: Row) => Point | undefined): PointSeries[] {
  return [...new Set(rows.map(({ storage }) => storage))].map((storage) => ({
    name: storage,
    points: rows
      .filter((row) => row.storage === storage)
      .flatMap((row) => {
        const point = of(row);
        return point === undefined ? [] : [{ ...point, label: row.cell }];
      }),
  }));
}

function nameOf({ cell, storage }: Row, severalStorages: boolean): string {
  return severalStorages ? `${cell}, ${storage}` : cell;
}

function dot(value: Spread | undefined, reference?: number): DotValue | undefined {
  if (value === undefined) return undefined;
  return {
    value: value.mean,
    ...(value.sd === null ? {} : { spread: value.sd }),
    ...(reference === undefined ? {} : { reference }),
  };
}

function one(value: number | undefined): DotValue | undefined {
  return value === undefined ? undefined : { value };
}

function spreads(x: Spread, y: Spread): Pick<Point, "xSpread" | "ySpread"> {
  return { xSpread: x.sd ?? 0, ySpread: y.sd ?? 0 };
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function shortCount(value: number): string {
  if (value >= 1e6) return `${short(value / 1e6)}M`;
  return value >= 1000 ? `${short(value / 1000)}k` : short(value);
}
