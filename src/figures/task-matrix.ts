/** Accuracies of a sequence of tasks: a row after each task that was learned, a column for each task that is tested. */
import type { ChartTexts } from "./chart-size.ts";
import { heatMapSvg } from "./heat-map.ts";

export interface TaskMatrix extends ChartTexts {
  /** In the order in which they are learned. */
  readonly tasks: readonly string[];
  /** accuracies[i][j], 0 to 1: task j after learning task i; null: not measured. */
  readonly accuracies: readonly (readonly (number | null)[])[];
  /** Of the model before the first task. */
  readonly baseline?: readonly (number | null)[];
  /** What the numbers are. Default: "accuracy (%)". */
  readonly valueLabel?: string;
}

/** @returns the text of an SVG file @throws ConfigError if there is no task; ShapeError if sizes differ */
export function taskMatrixSvg({ tasks, accuracies, baseline, valueLabel, ...texts }: TaskMatrix): string {
  const above = baseline === undefined ? 0 : 1;
  const rows = [...(baseline === undefined ? [] : [baseline]), ...accuracies];
  const percent = rows.map((row) => row.map((value) => (value === null ? null : 100 * value)));
  const known = percent.flat().filter((value) => value !== null && !Number.isNaN(value)) as number[];
  const low = Math.floor(Math.min(100, ...known) / 10) * 10;
  const high = Math.max(low + 10, Math.ceil(Math.max(0, ...known) / 10) * 10);
  return heatMapSvg(percent, {
    ...texts,
    rows: {
      label: "after learning",
      names: [
        ...(above === 1 ? ["(nothing yet)"] : []),
        ...tasks.slice(0, accuracies.length).map((name, i) => `${i + 1}. ${name}`),
      ],
    },
    columns: { label: "tested on", names: tasks },
    valueLabel: valueLabel ?? "accuracy (%)",
    range: [low, high],
    numbers: true,
    format: (value) => value.toFixed(1),
    outlinedCells: accuracies.map((_, i) => [i + above, i] as const),
    outlineLabel: "the task just learned",
    ...(above === 1 ? { gapBelow: 0 } : {}),
  });
}
