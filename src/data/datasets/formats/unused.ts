/** Columns that a mapping leaves aside. */
import type { ColumnTable } from "./column-table.ts";
import type { Detected } from "./format.ts";

/**
 * Says which columns are not read: what a person took for input must not vanish silently.
 * @param used default: those of the mapping
 */
export function withUnused(
  found: Detected,
  table: ColumnTable,
  used: readonly string[] = Object.values(found.columns) as string[],
): Detected {
  const unused = table.unused(used);
  if (unused.length === 0) return found;
  const names = unused.slice(0, 5).map((name) => `"${name}"`);
  const more = unused.length > 5 ? ` and ${unused.length - 5} more` : "";
  return { ...found, why: `${found.why}; not used: ${names.join(", ")}${more}` };
}
