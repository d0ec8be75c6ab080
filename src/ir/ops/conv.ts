/**
 * Two-dimensional convolution, as machine learning has it (a correlation):
 * y[n, o, i, j] = Σ x[n, c, i·stride - pad + ki·dilation, j·…] · w[o, c, ki, kj].
 *
 * Shapes: x [N, C, H, W], w [O, C/groups, kh, kw], y [N, O, h, w]. With groups, output channel o sees the o-th group of
 * input channels only; groups = C is a depthwise convolution. A bias is added by the caller.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op, Type } from "../op.ts";
import { dim, mulDim, printDim, printShape, sameDim } from "../shape.ts";
import { convTranspose } from "./conv-transpose.ts";
import { expectArity, expectSameDType } from "./elementwise.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";
import { transpose } from "./transpose.ts";
import {
  expectImages,
  forEachTap,
  imageShape,
  imageSizes,
  type Pair,
  slidSizes,
  type Window,
  windowAttrs,
  windowOf,
  type WindowOptions,
} from "./window.ts";

export type ConvAttrs = Window & { readonly groups: number };

export interface ConvOptions extends WindowOptions {
  /** Number of groups that the channels are split into. Default: 1. */
  readonly groups?: number;
}

export const convOp: Op<ConvAttrs> = {
  name: "conv",
  infer(inputs, attrs) {
    expectArity("conv", inputs, 2);
    expectSameDType("conv", inputs);
    const [x, w] = inputs as [Type, Type];
    const sizes = imageSizes("conv", x.shape);
    expectFilters("conv", w, attrs);
    const channels = mulDim(w.shape[1]!, dim(attrs.groups));
    if (!sameDim(x.shape[1]!, channels)) {
      throw new ShapeError({
        where: "conv",
        what: `filters ${printShape(w.shape)} with ${attrs.groups} groups do not fit the channels of ${printShape(x.shape)}`,
        got: printDim(x.shape[1]!),
        expected: printDim(channels),
      });
    }
    return [{ dtype: x.dtype, shape: imageShape(x.shape[0]!, w.shape[0]!, slidSizes("conv", sizes, attrs)) }];
  },
  evaluate([x, w], attrs, [shape]) {
    const data = new Float64Array(sizeOfShape(shape!));
    forEachProduct(x!.shape, shape!, w!.shape, attrs, (from, to, tap) => {
      data[to]! += x!.data[from]! * w!.data[tap]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    emit.node("Conv", node.inputs, { ...windowAttrs(node.attrs), group: node.attrs.groups }, node.outputs[0]);
  },
  vjp({ inputs: [x, w], cotangents: [dy], needs, attrs }) {
    const dX = () => convTranspose(dy!, w!, imageSizes("conv", x!.type.shape), attrs);
    return [needs[0] ? dX() : undefined, needs[1] ? filterGrad(x!, dy!, attrs) : undefined];
  },
};

/** @throws ShapeError if shapes do not fit, or height and width are known by name only */
export function conv(x: Value, w: Value, options: ConvOptions = {}): Value {
  return apply(convOp, [x, w], convAttrs("conv", w, options));
}

export function convAttrs(where: string, w: Value, options: ConvOptions): ConvAttrs {
  const groups = options.groups ?? 1;
  if (!Number.isInteger(groups) || groups < 1) {
    throw new ShapeError({ where, what: "wrong number of groups", got: groups, expected: "an integer >= 1" });
  }
  return { ...windowOf(where, imageSizes(where, w.type.shape), options), groups };
}

/** @throws ShapeError unless the filters are [O, C/groups, kh, kw] with O divisible by the groups */
export function expectFilters(where: string, { shape }: Type, { kernel, groups }: ConvAttrs): void {
  expectImages(where, shape);
  if (shape[2]!.size !== kernel[0] || shape[3]!.size !== kernel[1]) {
    throw new ShapeError({ where, what: "filters have another kernel", got: printShape(shape), expected: kernel });
  }
  if ((shape[0]!.size ?? 0) % groups !== 0) {
    const what = `the filters of ${printShape(shape)} do not divide into groups`;
    throw new ShapeError({ where, what, got: shape[0]!.size, expected: `a multiple of ${groups}` });
  }
}

/**
 * dL/dw: a convolution of x with dy as its filters. Channels and batch change places, and so do strides and dilations:
 * neighbours in w meet elements of x that lie `dilation` apart, and neighbours in dy elements `stride` apart.
 *
 * @param x [N, C, H, W]
 * @param dy [N, O, h, w]
 */
export function filterGrad(x: Value, dy: Value, { kernel, strides, pads, dilations, groups }: ConvAttrs): Value {
  const [batch, , height, width] = x.type.shape;
  // [C/groups, groups · N, H, W]: each group of images keeps to its own group of output channels.
  const perGroup = reshape(x, [batch!, groups, -1, height!, width!]);
  const images = reshape(transpose(perGroup, [2, 1, 0, 3, 4]), [
    perGroup.type.shape[2]!,
    mulDim(dim(groups), batch!),
    height!,
    width!,
  ]);
  const swapped = conv(images, transpose(dy, [1, 0, 2, 3]), {
    strides: dilations,
    dilations: strides,
    pads,
    groups,
  });
  // Rows and columns that no window of the forward pass reached give further taps, which w does not have.
  const taps = slice(slice(swapped, 2, 0, kernel[0]), 3, 0, kernel[1]);
  return transpose(taps, [1, 0, 2, 3]);
}

/** Calls `visit` with flat positions in x, y and w for every product that a convolution sums. */
export function forEachProduct(
  x: readonly number[],
  y: readonly number[],
  w: readonly number[],
  attrs: ConvAttrs,
  visit: (x: number, y: number, w: number) => void,
): void {
  const image: Pair = [x[2]!, x[3]!];
  const slid: Pair = [y[2]!, y[3]!];
  const [filters, perGroup] = [w[0]!, w[1]!];
  const filtersPerGroup = filters / attrs.groups;
  for (let n = 0; n < x[0]!; n++) {
    for (let o = 0; o < filters; o++) {
      for (let c = 0; c < perGroup; c++) {
        const channel = Math.floor(o / filtersPerGroup) * perGroup + c;
        const fromX = (n * x[1]! + channel) * image[0] * image[1];
        const fromY = (n * filters + o) * slid[0] * slid[1];
        const fromW = (o * perGroup + c) * attrs.kernel[0] * attrs.kernel[1];
        forEachTap(attrs, image, slid, (from, to, tap) => visit(fromX + from, fromY + to, fromW + tap));
      }
    }
  }
}
