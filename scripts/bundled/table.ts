/**
 * Reads a table of words: one row per line, cells apart by `|`.
 * @throws Error when a row has another number of cells: a mistake in the table
 */
export function table<const Column extends string>(
  columns: readonly Column[],
  text: string,
): Readonly<Record<Column, string>>[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const cells = line.split("|").map((cell) => cell.trim());
      if (cells.length !== columns.length || cells.includes("")) {
        throw new Error(`row of ${cells.length} cells, expected ${columns.join(", ")}: ${line}`);
      }
      return Object.fromEntries(columns.map((column, i) => [column, cells[i]!])) as Record<Column, string>;
    });
}
