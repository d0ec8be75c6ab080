/** What callers give as rows of token ids, and what is wrong with it. */
import { ConfigError, listed } from "../errors.ts";
import { distance, nearest } from "../nearest.ts";

/** [B][T] Arrays of numbers, plain or typed: what a tokenizer gives is a row. */
export type TokenRows = readonly ArrayLike<number>[];

/** All values, row by row. */
export function flat(rows: TokenRows): number[] {
  return rows.flatMap((row) => Array.from(row));
}

/**
 * Callers in plain JavaScript have nobody else to tell them.
 * @throws ConfigError naming every option that does not exist, with the nearest one that does; or if `inputIds` is not rows
 *   of numbers
 */
export function checkInput(
  where: string,
  input: { readonly inputIds: TokenRows },
  options: Readonly<Record<string, true>>,
): void {
  checkOptions(where, input, options);
  const rows: unknown = input.inputIds;
  const isRow = (row: unknown) => Array.isArray(row) || ArrayBuffer.isView(row);
  if (Array.isArray(rows) && rows.every(isRow)) return;
  throw new ConfigError({
    where,
    what: rows === undefined ? "inputIds is missing" : "inputIds is not an array of rows",
    expected: "rows of token ids: [[1, 2, 3], [4, 5, 6]]",
    ...(isRow(rows) ? { hint: "put brackets around a single row" } : {}),
  });
}

/** @throws ConfigError naming every option that does not exist, with the nearest one that does */
export function checkOptions(where: string, given: object, options: Readonly<Record<string, true>>): void {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(options, name));
  if (unknown.length === 0) return;
  const hints = unknown.map((name) => {
    const closest = nearest(name, Object.keys(options))!;
    return distance(name, closest) <= Math.max(2, name.length / 3)
      ? `${name}: the nearest one is ${closest}`
      : `${name}: there are ${Object.keys(options).join(", ")}`;
  });
  throw new ConfigError({ where, what: "there are no such options", got: listed(unknown), hint: hints.join("; ") });
}
