/**
 * Windows that slide over the last two axes, as convolutions and pools use them.
 *
 * Output size along an axis: floor((size + pads - dilation · (kernel - 1) - 1) / stride) + 1. Sizes are known when the
 * graph is traced.
 */
import { ShapeError } from "../../errors.ts";
import type { OnnxAttrs } from "../op.ts";
import { dim, type Dim, knownSizes, type Shape } from "../shape.ts";

export type Pair = readonly [vertical: number, horizontal: number];
export type Sides = readonly [top: number, left: number, bottom: number, right: number];

export interface WindowOptions {
  /** Distance between windows: one number, or [vertical, horizontal]. Default: 1; for pools the kernel. */
  readonly strides?: number | Pair;
  /** Elements added at the sides: one number, [vertical, horizontal] or [top, left, bottom, right]. Default: 0. */
  readonly pads?: number | Pair | Sides;
  /** Distance between elements of a window: one number, or [vertical, horizontal]. Default: 1. */
  readonly dilations?: number | Pair;
}

export type Window = {
  readonly kernel: Pair;
  readonly strides: Pair;
  readonly pads: Sides;
  readonly dilations: Pair;
};

/** @throws ShapeError for a kernel, stride or dilation below 1, or a negative pad */
export function windowOf(where: string, kernel: number | Pair, options: WindowOptions): Window {
  const { pads = 0 } = options;
  const [vertical, horizontal, bottom, right] = typeof pads === "number" ? ([pads, pads] as const) : pads;
  const sides: Sides = [vertical, horizontal, bottom ?? vertical, right ?? horizontal];
  const window = {
    kernel: pair(kernel),
    strides: pair(options.strides ?? 1),
    pads: sides,
    dilations: pair(options.dilations ?? 1),
  };
  expectIntegers(where, "kernel", window.kernel, 1);
  expectIntegers(where, "strides", window.strides, 1);
  expectIntegers(where, "dilations", window.dilations, 1);
  expectIntegers(where, "pads", window.pads, 0);
  return window;
}

/** [h, w] of the windows over [H, W]. @throws ShapeError if no window fits */
export function slidSizes(where: string, sizes: readonly number[], window: Window): Pair {
  const along = (axis: 0 | 1) => {
    const padded = sizes[axis]! + window.pads[axis] + window.pads[axis + 2]!;
    const reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1;
    if (reach > padded) {
      throw new ShapeError({
        where,
        what: `the window is ${axis === 0 ? "higher" : "wider"} than its padded input`,
        got: `kernel ${window.kernel[axis]} with dilation ${window.dilations[axis]} reaches over ${reach}`,
        expected: `at most ${padded}`,
        hint: "use a smaller kernel, more padding or larger images",
      });
    }
    return Math.floor((padded - reach) / window.strides[axis]) + 1;
  };
  return [along(0), along(1)];
}

/** Sizes of the last two axes of [N, C, H, W]. @throws ShapeError for other ranks, or sizes known by name only */
export function imageSizes(where: string, shape: Shape): Pair {
  expectImages(where, shape);
  const [height, width] = knownSizes(shape.slice(2), where);
  return [height!, width!];
}

/** [N, C] and the sizes. */
export function imageShape(batch: Dim, channels: Dim, [height, width]: Pair): Shape {
  return [batch, channels, dim(height), dim(width)];
}

export function expectImages(where: string, shape: Shape): void {
  if (shape.length !== 4) {
    throw new ShapeError({ where, what: "needs 4 axes", got: shape.length, expected: "[N, C, H, W]" });
  }
}

/** Attributes of an ONNX node. */
export function windowAttrs({ kernel, strides, pads, dilations }: Window): OnnxAttrs {
  return { kernel_shape: kernel, strides, pads, dilations };
}

/** Calls `visit` with positions in [H, W], [h, w] and the kernel for every window element that is not padding. */
export function forEachTap(
  window: Window,
  [height, width]: Pair,
  slid: Pair,
  visit: (from: number, to: number, tap: number) => void,
): void {
  const { kernel, strides, pads, dilations } = window;
  for (let i = 0; i < slid[0]; i++) {
    for (let j = 0; j < slid[1]; j++) {
      for (let ki = 0; ki < kernel[0]; ki++) {
        for (let kj = 0; kj < kernel[1]; kj++) {
          const row = i * strides[0] - pads[0] + ki * dilations[0];
          const column = j * strides[1] - pads[1] + kj * dilations[1];
          if (row < 0 || row >= height || column < 0 || column >= width) continue;
          visit(row * width + column, i * slid[1] + j, ki * kernel[1] + kj);
        }
      }
    }
  }
}

function pair(value: number | Pair): Pair {
  return typeof value === "number" ? [value, value] : value;
}

function expectIntegers(where: string, what: string, values: readonly number[], least: number): void {
  if (!values.every((value) => Number.isInteger(value) && value >= least)) {
    throw new ShapeError({ where, what: `wrong ${what}`, got: values, expected: `integers >= ${least}` });
  }
}
