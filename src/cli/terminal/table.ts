/** A table in plain text, with aligned columns. */

import { ShapeError } from "../../errors.ts";
import { displayWidth, pad } from "./output.ts";

export interface TableOptions {
  /** Names of the columns, with a line below them. Default: none. */
  header?: readonly string[];
  /** By column. Default: right where all cells are numbers (with a unit, a sign or a percent sign too), else left. */
  align?: readonly ("left" | "right")[];
}

/**
 * Rows of cells as lines without a line end behind the last one, columns two spaces apart.
 * @throws ShapeError when the rows and the header do not have the same number of cells
 */
export function table(rows: readonly (readonly (string | number)[])[], { header, align }: TableOptions = {}): string {
  const cells = rows.map((row) => row.map(String));
  const all = header === undefined ? cells : [header, ...cells];
  const count = all[0]?.length ?? 0;
  for (const [i, row] of all.entries()) {
    if (row.length !== count) {
      const where = header !== undefined && i > 0 ? `table row ${i - 1}` : `table row ${i}`;
      throw new ShapeError({ where, what: "wrong number of cells", got: row.length, expected: count });
    }
  }
  const columns = Array.from({ length: count }, (_, c) => ({
    width: Math.max(...all.map((row) => displayWidth(row[c] ?? ""))),
    align: align?.[c] ?? (cells.length > 0 && cells.every((row) => isNumber(row[c] ?? "")) ? "right" : "left"),
  }));
  const lineOf = (row: readonly string[]) =>
    columns
      .map(({ width, align }, c) => pad(row[c] ?? "", width, align))
      .join("  ")
      .trimEnd();
  const rule = columns.map(({ width }) => "─".repeat(width)).join("  ");
  return [...(header === undefined ? [] : [lineOf(header), rule]), ...cells.map(lineOf)].join("\n");
}

/** A number, also with separators, a percent sign or a unit behind it; a dash stands for a missing one. */
function isNumber(text: string): boolean {
  return /^([-+−]?[\d.,]+(e[-+]?\d+)?([ ×]?[a-zA-Z%µ×/]+)?|-|–|—)$/.test(text);
}
