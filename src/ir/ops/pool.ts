/** What pools share: one window per position and channel of [N, C, H, W]. */
import { ShapeError } from "../../errors.ts";
import type { OnnxAttrs, Type } from "../op.ts";
import {
  forEachTap,
  imageShape,
  imageSizes,
  type Pair,
  slidSizes,
  type Window,
  windowOf,
  type WindowOptions,
} from "./window.ts";

export type PoolOptions = Pick<WindowOptions, "strides" | "pads">;

/** Strides default to the kernel. @throws ShapeError for pads that a window would fit into */
export function poolWindow(where: string, kernel: number | Pair, options: PoolOptions): Window {
  const window = windowOf(where, kernel, { strides: kernel, ...options });
  if (window.pads.some((pad, side) => pad >= window.kernel[side % 2]!)) {
    throw new ShapeError({
      where,
      what: "pads must be smaller than the kernel",
      got: window.pads,
      expected: window.kernel,
    });
  }
  return window;
}

export function inferPool(where: string, x: Type, window: Window): Type {
  const sizes = slidSizes(where, imageSizes(where, x.shape), window);
  return { dtype: x.dtype, shape: imageShape(x.shape[0]!, x.shape[1]!, sizes) };
}

/** Attributes of an ONNX node: those of a window without dilations, which some pooling kernels do not know. */
export function poolAttrs({ kernel, strides, pads }: Window): OnnxAttrs {
  return { kernel_shape: kernel, strides, pads };
}

/** Calls `visit` with flat positions in x and in the result for every element of every window. */
export function forEachPool(
  x: readonly number[],
  y: readonly number[],
  window: Window,
  visit: (from: number, to: number) => void,
): void {
  const image: Pair = [x[2]!, x[3]!];
  const slid: Pair = [y[2]!, y[3]!];
  for (let channel = 0; channel < x[0]! * x[1]!; channel++) {
    const fromX = channel * image[0] * image[1];
    const fromY = channel * slid[0] * slid[1];
    forEachTap(window, image, slid, (from, to) => visit(fromX + from, fromY + to));
  }
}
