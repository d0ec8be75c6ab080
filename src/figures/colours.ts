/** Colours that people with any colour vision tell apart (Okabe and Ito 2008), those with enough contrast on white. */
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07d00", "#56b4e9", "#333333"] as const;

/** Of the i-th series; they begin anew after the last one. */
export function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}
