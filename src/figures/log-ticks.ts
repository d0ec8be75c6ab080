/** Ticks of logarithmic scales. */

/** Most of the ticks that d3 gives such a scale are too many: the powers of ten if there are three, else 1, 2 and 5 of each. */
export function readableTicks(ticks: readonly number[]): readonly number[] {
  if (ticks.length <= 8) return ticks;
  const leading = (tick: number) => Math.round(tick / 10 ** Math.floor(Math.log10(tick) + 1e-9));
  const powers = ticks.filter((tick) => leading(tick) === 1);
  if (powers.length >= 3) return powers;
  const some = ticks.filter((tick) => [1, 2, 5].includes(leading(tick)));
  // Within less than a decade there may be none of them.
  const every = Math.ceil(ticks.length / 6);
  return some.length >= 2 ? some : ticks.filter((_, i) => i % every === 0);
}
