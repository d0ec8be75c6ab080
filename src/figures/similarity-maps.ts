/**
 * |U₀ᵀ U|: how similar each tuned singular vector is to each of the base's (arXiv 2410.21228, figures 1 and 3). A vector that fine-tuning
 * kept is a light cell on the diagonal; an intruder is a dark column, and moves the diagonal after it one place to the right.
 */
import type { ChartTexts } from "./chart-size.ts";
import { heatMapSvg } from "./heat-map.ts";
import { unitText } from "./svg.ts";

export interface SimilarityMap extends ChartTexts {
  /** Rows: base vectors, columns: tuned ones, both by rank. Cells of a pooled map: the largest of those that they stand for. */
  readonly values: readonly (readonly number[])[];
  /** Ranks of the intruders, from 1. Their columns are outlined, if each column is one vector. */
  readonly intruderRanks?: readonly number[];
  /** Vectors of the whole matrix, where `values` is pooled. */
  readonly pooledFrom?: { readonly rows: number; readonly columns: number };
  /** Whether cells carry their numbers. Default: up to 12 columns. */
  readonly numbers?: boolean;
}

/** @returns the text of an SVG file @throws ConfigError if there is no cell */
export function similarityMapSvg({ values, intruderRanks = [], pooledFrom, numbers, ...texts }: SimilarityMap): string {
  const [rows, columns] = [values.length, values[0]?.length ?? 0];
  const [rowStep, columnStep] = [(pooledFrom?.rows ?? rows) / rows, (pooledFrom?.columns ?? columns) / columns];
  const outlined = columnStep > 1 ? [] : intruderRanks.filter((rank) => rank <= columns).map((rank) => rank - 1);
  return heatMapSvg(values, {
    ...texts,
    rows: { label: "base vectors by rank", step: rowStep },
    columns: { label: "tuned vectors by rank", step: columnStep },
    valueLabel: rowStep > 1 || columnStep > 1 ? "largest |cosine|" : "|cosine|",
    numbers: numbers ?? columns <= 12,
    format: unitText,
    outlinedColumns: outlined,
    ...(outlined.length === 0 ? {} : { outlineLabel: "intruder" }),
  });
}
