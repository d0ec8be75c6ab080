/**
 * Made-up images in the record format of CIFAR-10, for trying the demonstration without the real data: ten classes of
 * simple figures, with random colours, places, sizes and noise. Colour only leans towards the class, so a model has to
 * learn the figures.
 */

import { ConfigError } from "../errors.ts";
import { IMAGE_BYTES, IMAGE_SIDE } from "./image-dataset.ts";
import { Random } from "../random.ts";

/** The names of the ten figures, in the order of their class numbers. */
export const SYNTHETIC_CLASS_NAMES: readonly string[] = [
  "rows",
  "columns",
  "diagonals",
  "checks",
  "disc",
  "ring",
  "square",
  "triangle",
  "cross",
  "dots",
];

/** Distance of a random hue from the hue of its class, in turns: neighbouring classes (0.1 apart) overlap. */
const HUE_SPREAD = 0.15;
/** Largest noise added to or taken from a byte. */
const NOISE = 40;

/** Where and how large a figure is: centre (x, y) in pixels, half size in pixels, shift of a pattern in pixels. */
interface Placement {
  x: number;
  y: number;
  half: number;
  shift: number;
}

/** For each class: whether the pixel at (x, y) belongs to the figure. */
const FIGURES: readonly ((x: number, y: number, at: Placement) => boolean)[] = [
  (_x, y, { shift }) => Math.floor((y + shift) / 4) % 2 === 0,
  (x, _y, { shift }) => Math.floor((x + shift) / 4) % 2 === 0,
  (x, y, { shift }) => Math.floor((x + y + shift) / 5) % 2 === 0,
  (x, y, { shift }) => (Math.floor((x + shift) / 7) + Math.floor((y + shift) / 7)) % 2 === 0,
  (x, y, at) => Math.hypot(x - at.x, y - at.y) <= at.half,
  (x, y, at) => Math.abs(Math.hypot(x - at.x, y - at.y) - at.half + 1.5) <= 2,
  (x, y, at) => Math.max(Math.abs(x - at.x), Math.abs(y - at.y)) <= at.half,
  (x, y, at) => Math.abs(y - at.y) <= at.half && 2 * Math.abs(x - at.x) <= y - at.y + at.half,
  (x, y, at) => Math.min(Math.abs(x - at.x), Math.abs(y - at.y)) <= 2 && Math.hypot(x - at.x, y - at.y) <= at.half + 2,
  (x, y, { shift }) => Math.hypot(((x + shift) % 8) - 3.5, ((y + shift) % 8) - 3.5) <= 2.6,
];

export interface SyntheticOptions {
  /** Which images: another seed gives other ones. Default 0. */
  seed?: number;
  /** Which half: no image of one is in the other. Default "train". */
  split?: "train" | "test";
}

/**
 * `count` records of 3,073 bytes: the label, then 1,024 bytes each of red, green and blue, by rows. Classes come in turn
 * (record i has label i mod 10). Record i depends on the seed, the split and i alone, so fewer records are the first
 * ones of more.
 * @throws ConfigError when `count` is not a whole number, 0 or more
 */
export function syntheticRecords(count: number, { seed = 0, split = "train" }: SyntheticOptions = {}): Uint8Array {
  if (!Number.isInteger(count) || count < 0) {
    throw new ConfigError({ where: "synthetic images", what: "bad count", got: count, expected: "0 or more" });
  }
  const records = new Uint8Array(count * (1 + IMAGE_BYTES));
  for (let i = 0; i < count; i++) {
    const random = new Random(seed, split === "train" ? i + 1 : -(i + 1));
    const label = i % FIGURES.length;
    const record = records.subarray(i * (1 + IMAGE_BYTES), (i + 1) * (1 + IMAGE_BYTES));
    record[0] = label;
    drawFigure(label, random, record.subarray(1));
  }
  return records;
}

function drawFigure(label: number, random: Random, image: Uint8Array): void {
  const hue = label / FIGURES.length + (2 * random.uniform() - 1) * HUE_SPREAD;
  const figureColour = rgb(hue, 0.5 + 0.4 * random.uniform(), 0.65 + 0.3 * random.uniform());
  const groundColour = rgb(random.uniform(), 0.1 + 0.3 * random.uniform(), 0.15 + 0.3 * random.uniform());
  const at: Placement = {
    x: 15.5 + (2 * random.uniform() - 1) * 4,
    y: 15.5 + (2 * random.uniform() - 1) * 4,
    half: 8 + 3 * random.uniform(),
    shift: random.integer(4),
  };
  const inside = FIGURES[label];
  const plane = IMAGE_SIDE * IMAGE_SIDE;
  for (let y = 0; y < IMAGE_SIDE; y++) {
    for (let x = 0; x < IMAGE_SIDE; x++) {
      const colour = inside?.(x, y, at) ? figureColour : groundColour;
      for (let channel = 0; channel < 3; channel++) {
        const noise = (2 * random.uniform() - 1) * NOISE;
        const value = Math.round((colour[channel] ?? 0) + noise);
        image[channel * plane + y * IMAGE_SIDE + x] = Math.min(255, Math.max(0, value));
      }
    }
  }
}

/** Hue in turns, saturation and value in [0, 1], to red, green and blue in [0, 255] (Smith 1978). */
function rgb(hue: number, saturation: number, value: number): [number, number, number] {
  const channel = (offset: number) => {
    const k = (((offset + hue * 6) % 6) + 6) % 6;
    return 255 * (value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1)));
  };
  return [channel(5), channel(3), channel(1)];
}
