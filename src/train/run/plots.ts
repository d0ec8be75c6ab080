/** Pictures of a run: `training_loss.svg` and `.png`, and the same of the evaluations, as LLaMA-Factory's `plot_loss`. */
import { basename, join, resolve } from "node:path";
import { lineChartSvg } from "../../figures/line-chart.ts";
import { svgToPng } from "../../figures/png.ts";
import { replaceFile } from "./durable-file.ts";
import type { LogRow } from "./log-rows.ts";

/** Metrics that are drawn, where the log has them, and what they are on the axis. */
const PLOTS: Readonly<Record<string, (unit: string) => string>> = {
  loss: (unit) => `training loss (nats per ${unit})`,
  eval_loss: (unit) => `evaluation loss (nats per ${unit})`,
  eval_accuracy: () => "share of texts whose class is right",
};

/**
 * Draws each of the losses that the log has: `training_<metric>.svg` and `.png`.
 * @returns paths of the files; none for a log without a finite loss
 * @throws FormatError if the disk refuses
 */
export async function writeLossPlots(outputDir: string, history: readonly LogRow[]): Promise<string[]> {
  const written: string[] = [];
  const unit = history.some((row) => row["eval_accuracy"] !== undefined) ? "text" : "token";
  for (const [metric, label] of Object.entries(PLOTS)) {
    const svg = lossPlotSvg(history, metric, label(unit), basename(resolve(outputDir)));
    if (svg === undefined) continue;
    const path = join(outputDir, `training_${metric}`);
    await replaceFile(`${path}.svg`, svg);
    await replaceFile(`${path}.png`, svgToPng(svg));
    written.push(`${path}.svg`, `${path}.png`);
  }
  return written;
}

/** The values of a metric over the steps, faint, under an {@link emaSmoothed} line; undefined if there is none. */
function lossPlotSvg(history: readonly LogRow[], metric: string, yLabel: string, run: string): string | undefined {
  const points = history.filter((row) => Number.isFinite(row[metric]));
  const last = points.at(-1);
  if (last === undefined) return undefined;
  const y = points.map((row) => row[metric] ?? NaN);
  const weight = emaWeight(y.length);
  return lineChartSvg([{ name: metric, x: points.map(({ step }) => step), y, smoothed: emaSmoothed(y) }], {
    title: `${metric} of ${run}`,
    subtitle: `${y.length} values up to step ${last.step}; the last is ${last[metric]?.toPrecision(4)}`,
    xLabel: "step",
    yLabel,
    note: `Bold: exponential moving average, weight ${weight.toFixed(2)}. Faint: the values.`,
  });
}

/** Weight of the past for so many points: 0 for none, towards 0.9 for many (LLaMA-Factory's formula). */
export function emaWeight(points: number): number {
  return 1.8 * (1 / (1 + Math.exp(-0.05 * points)) - 0.5);
}

/** Exponential moving average that starts at the first value. */
export function emaSmoothed(values: readonly number[]): number[] {
  const weight = emaWeight(values.length);
  let last = values[0] ?? 0;
  return values.map((value) => (last = weight * last + (1 - weight) * value));
}
