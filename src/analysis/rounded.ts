/** Numbers of a report: enough digits to draw and to compare, and no more. */

const DIGITS = 6;

/** A copy with every number to six significant digits; whole numbers stay as they are. */
export function rounded<T>(value: T): T {
  if (typeof value === "number") {
    return (Number.isInteger(value) || !Number.isFinite(value) ? value : Number(value.toPrecision(DIGITS))) as T;
  }
  if (Array.isArray(value)) return value.map(rounded) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, rounded(own as unknown)])) as T;
}
