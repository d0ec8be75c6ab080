/** Mean over windows of [N, C, H, W]. Zeros at the sides count, as in PyTorch. */
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op } from "../op.ts";
import { elementCount } from "../shape.ts";
import { constant } from "./constant.ts";
import { convTranspose } from "./conv-transpose.ts";
import { reshape } from "./reshape.ts";
import { forEachPool, inferPool, poolAttrs, type PoolOptions, poolWindow } from "./pool.ts";
import { imageSizes, type Pair, type Window } from "./window.ts";

export const avgPoolOp: Op<Window> = {
  name: "avgPool",
  infer: ([x], window) => [inferPool("avgPool", x!, window)],
  evaluate([x], window, [shape]) {
    const area = window.kernel[0] * window.kernel[1];
    const data = new Float64Array(sizeOfShape(shape!));
    forEachPool(x!.shape, shape!, window, (from, to) => {
      data[to]! += x!.data[from]! / area;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    emit.node("AveragePool", node.inputs, { ...poolAttrs(node.attrs), count_include_pad: 1 }, node.outputs[0]);
  },
  vjp({ inputs: [x], cotangents: [dy], attrs }) {
    // Channels are pooled alike: they become images of one channel.
    const [batch, channels, height, width] = dy!.type.shape;
    const images = reshape(dy!, [elementCount([batch!, channels!]), 1, height!, width!]);
    const area = attrs.kernel[0] * attrs.kernel[1];
    const mean = constant(x!.graph, x!.type.dtype, [1, 1, ...attrs.kernel], Array<number>(area).fill(1 / area));
    return [reshape(convTranspose(images, mean, imageSizes("avgPool", x!.type.shape), attrs), x!.type.shape)];
  },
};

/** @param kernel height and width of a window: one number, or [vertical, horizontal] @throws ShapeError */
export function avgPool(x: Value, kernel: number | Pair, options: PoolOptions = {}): Value {
  return apply(avgPoolOp, [x], poolWindow("avgPool", kernel, options));
}
