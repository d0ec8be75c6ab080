/**
 * The adjoint of a convolution: x[n, c, ·] = Σ y[n, o, i, j] · w[o, c, ki, kj] over all products in which the
 * convolution with the same attributes reads that element of x.
 *
 * Shapes: y [N, O, h, w], w [O, C/groups, kh, kw], x [N, C, H, W]. With strides, several sizes [H, W] give the same
 * [h, w]: the wanted one is an attribute.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op, Type } from "../op.ts";
import { dim, mulDim, printDim, printShape, sameDim } from "../shape.ts";
import {
  conv,
  type ConvAttrs,
  convAttrs,
  type ConvOptions,
  expectFilters,
  filterGrad,
  forEachProduct,
} from "./conv.ts";
import { expectArity, expectSameDType } from "./elementwise.ts";
import { imageShape, imageSizes, type Pair, slidSizes, windowAttrs } from "./window.ts";

export type ConvTransposeAttrs = ConvAttrs & { readonly size: Pair };

export const convTransposeOp: Op<ConvTransposeAttrs> = {
  name: "convTranspose",
  infer(inputs, attrs) {
    const where = "convTranspose";
    expectArity(where, inputs, 2);
    expectSameDType(where, inputs);
    const [y, w] = inputs as [Type, Type];
    const sizes = imageSizes(where, y.shape);
    expectFilters(where, w, attrs);
    if (!sameDim(y.shape[1]!, w.shape[0]!)) {
      const what = `channels of ${printShape(y.shape)} are not the filters of ${printShape(w.shape)}`;
      throw new ShapeError({ where, what, got: printDim(y.shape[1]!), expected: printDim(w.shape[0]!) });
    }
    const slid = slidSizes(where, attrs.size, attrs);
    if (slid.join() !== sizes.join()) {
      const what = `a convolution of [${attrs.size.join(", ")}] does not give these sizes`;
      throw new ShapeError({ where, what, got: sizes, expected: slid });
    }
    return [{ dtype: y.dtype, shape: imageShape(y.shape[0]!, mulDim(w.shape[1]!, dim(attrs.groups)), attrs.size) }];
  },
  evaluate([y, w], attrs, [shape]) {
    const data = new Float64Array(sizeOfShape(shape!));
    forEachProduct(shape!, y!.shape, w!.shape, attrs, (to, from, tap) => {
      data[to]! += y!.data[from]! * w!.data[tap]!;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const { kernel, strides, pads, dilations, groups, size } = node.attrs;
    const sizes = imageSizes("convTranspose", node.inputTypes[0]!.shape);
    const missing = ([0, 1] as const).map((axis) => {
      const reach = dilations[axis] * (kernel[axis] - 1) + 1;
      return size[axis] + pads[axis] + pads[axis + 2]! - reach - (sizes[axis] - 1) * strides[axis];
    });
    const attrs = { ...windowAttrs(node.attrs), group: groups, output_padding: missing };
    emit.node("ConvTranspose", node.inputs, attrs, node.outputs[0]);
  },
  vjp({ inputs: [y, w], cotangents: [dx], needs, attrs }) {
    return [needs[0] ? conv(dx!, w!, attrs) : undefined, needs[1] ? filterGrad(dx!, y!, attrs) : undefined];
  },
};

/**
 * @param size [H, W] of the result
 * @param options those of the convolution
 * @throws ShapeError if a convolution of [H, W] would not have y's sizes
 */
export function convTranspose(y: Value, w: Value, size: Pair, options: ConvOptions = {}): Value {
  return apply(convTransposeOp, [y, w], { ...convAttrs("convTranspose", w, options), size });
}
