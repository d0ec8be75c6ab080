/** Colours of numbers: equal steps of a number look like equal steps of lightness, with any colour vision and in grey print. */

/** Every fifteenth colour of viridis (Smith and van der Walt 2015, CC0): lightness L* from 15 to 91 in steps of about 4.5. */
const VIRIDIS = [
  [0x44, 0x01, 0x54],
  [0x48, 0x17, 0x69],
  [0x47, 0x2a, 0x7a],
  [0x43, 0x3d, 0x84],
  [0x3d, 0x4e, 0x8a],
  [0x35, 0x5e, 0x8d],
  [0x2e, 0x6d, 0x8e],
  [0x29, 0x7b, 0x8e],
  [0x23, 0x89, 0x8e],
  [0x1f, 0x97, 0x8b],
  [0x21, 0xa5, 0x85],
  [0x2e, 0xb3, 0x7c],
  [0x46, 0xc0, 0x6f],
  [0x65, 0xcb, 0x5e],
  [0x89, 0xd5, 0x48],
  [0xb0, 0xdd, 0x2f],
  [0xd8, 0xe2, 0x19],
  [0xfd, 0xe7, 0x25],
] as const;

export type Rgb = readonly [red: number, green: number, blue: number];

/** Where there is no number. */
export const MISSING: Rgb = [0xe3, 0xe3, 0xe3];

/** @param part 0: darkest, 1: lightest; below and above: the same. NaN: {@link MISSING} @returns bytes */
export function colourAt(part: number): Rgb {
  if (Number.isNaN(part)) return MISSING;
  const at = Math.min(1, Math.max(0, part)) * (VIRIDIS.length - 1);
  const below = VIRIDIS[Math.min(Math.floor(at), VIRIDIS.length - 2)]!;
  const above = VIRIDIS[Math.min(Math.floor(at), VIRIDIS.length - 2) + 1]!;
  const rest = at - Math.min(Math.floor(at), VIRIDIS.length - 2);
  const channel = (i: 0 | 1 | 2) => Math.round(below[i] + rest * (above[i] - below[i]));
  return [channel(0), channel(1), channel(2)];
}

/** As `#rrggbb`. */
export function hex(colour: Rgb): string {
  return `#${colour.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}

/** Relative luminance (WCAG 2), 0 to 1. */
export function luminance(colour: Rgb): number {
  const linear = colour.map((channel) => {
    const value = channel / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!;
}

/** Black or white, whichever stands out more on this ground: never less than 4.5 to 1. */
export function textColourOn(ground: Rgb): "#000" | "#fff" {
  return luminance(ground) > 0.179 ? "#000" : "#fff";
}
