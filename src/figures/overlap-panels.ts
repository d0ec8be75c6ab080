/**
 * Subspace similarity φ(i, j) of pairs of matrices as heat maps (LoRA, arXiv 2106.09685, §7.2, figures 3 and 4), all in the same colours,
 * so that a panel of random matrices shows what no overlap looks like.
 */
import { heatMapSvg } from "./heat-map.ts";
import { unitText } from "./svg.ts";
import { panelsSvg } from "./xy-chart.ts";

export interface OverlapPanel {
  readonly title: string;
  readonly subtitle?: string;
  readonly note?: string;
  /** φ(i, j) in cell [i − 1][j − 1]; null where it is not wanted, as for j < i of a zoomed corner. */
  readonly grid: readonly (readonly (number | null)[])[];
  /** What i and j count. Default: "i: first directions of the one", "j: first directions of the other". */
  readonly rowLabel?: string;
  readonly columnLabel?: string;
}

export interface OverlapOptions {
  /** Pixels of a panel. Default: 460. */
  readonly width?: number;
  /** Largest value of the colours. Default: 1. */
  readonly high?: number;
}

/** One panel. @returns the text of an SVG file @throws ConfigError if there is no cell */
export function overlapSvg(panel: OverlapPanel, { width = 460, high = 1 }: OverlapOptions = {}): string {
  const { title, subtitle, note, grid, rowLabel, columnLabel } = panel;
  return heatMapSvg(grid, {
    title,
    ...(subtitle === undefined ? {} : { subtitle }),
    ...(note === undefined ? {} : { note }),
    width,
    rows: { label: rowLabel ?? "i: first directions of the one" },
    columns: { label: columnLabel ?? "j: first directions of the other" },
    valueLabel: "φ(i, j)",
    range: [0, high],
    numbers: (grid[0]?.length ?? 0) <= 10,
    format: unitText,
  });
}

/** All panels beside each other. @param columns panels in a row. Default: 3 */
export function overlapPanelsSvg(
  panels: readonly OverlapPanel[],
  { columns = 3, ...options }: OverlapOptions & { readonly columns?: number } = {},
): string {
  return panelsSvg(
    panels.map((panel) => overlapSvg(panel, options)),
    columns,
  );
}

/** The zoomed triangle: φ(i, j) for i ≤ j ≤ `size`, without what symmetry makes twice. */
export function lowerTriangle(grid: readonly (readonly number[])[], size: number): (number | null)[][] {
  return grid.slice(0, size).map((row, i) => row.slice(0, size).map((value, j) => (j < i ? null : value)));
}
