/** Parts of a whole as percentages that a person reads: never with an exponent. */

/**
 * `percentText(14.2)` is "1,400 %", `percentText(0.07)` "7 %", `percentText(0.07, { digits: 3, keepZeros: true })` "7.00 %".
 * @param digits significant ones. Default: 2.
 * @param keepZeros "7.0 %" in place of "7 %", for columns. Default: false.
 * @param space between number and sign. Default: one that does not break.
 */
export function percentText(
  part: number,
  { digits = 2, keepZeros = false, space = "\u00a0" }: { digits?: number; keepZeros?: boolean; space?: string } = {},
): string {
  if (!Number.isFinite(part)) return "–";
  const shown = (100 * part).toLocaleString("en-US", {
    maximumSignificantDigits: digits,
    ...(keepZeros ? { minimumSignificantDigits: digits } : {}),
  });
  return `${shown}${space}%`;
}
