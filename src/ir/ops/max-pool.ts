/**
 * Largest element of windows of [N, C, H, W]. Among equals, the first in row-major order gets the derivative, as in
 * PyTorch.
 *
 * The positions of the largest elements are an operation of their own, for the backward pass only: the engine's pooling
 * is faster without them, and on WebGPU does not give them.
 */
import { ShapeError } from "../../errors.ts";
import { isFloat } from "../dtype.ts";
import { apply, type Value } from "../graph.ts";
import { type NdArray, sizeOfShape } from "../ndarray.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { OnnxEmitter, OnnxNode, Op, Type } from "../op.ts";
import { mulDim, type Shape } from "../shape.ts";
import { forEachPool, inferPool, poolAttrs, type PoolOptions, poolWindow } from "./pool.ts";
import { reshape } from "./reshape.ts";
import { scatterElementsAdd } from "./scatter-elements-add.ts";
import { imageSizes, type Pair, type Window } from "./window.ts";

export const maxPoolOp: Op<Window> = {
  name: "maxPool",
  infer: ([x], window) => [inferMax("maxPool", x!, window)],
  evaluate: ([x], window, [shape]) => [evaluateMax(x!, window, shape!).largest],
  onnx(emit, node) {
    emit.node("MaxPool", node.inputs, poolAttrs(node.attrs), node.outputs[0]);
  },
  vjp({ inputs: [x], cotangents: [dy], attrs }) {
    const shape = x!.type.shape;
    const positions = apply(maxPoolPositionsOp, [x!], attrs);
    // One line per image and channel.
    const lines = ([batch, channels, height, width]: Shape) => [mulDim(batch!, channels!), mulDim(height!, width!)];
    const flat = (value: Value) => reshape(value, lines(value.type.shape));
    return [reshape(scatterElementsAdd(flat(dy!), flat(positions), lines(shape), 1), shape)];
  },
};

/** For every window, row · W + column of its largest element, int32. */
export const maxPoolPositionsOp: Op<Window> = {
  name: "maxPoolPositions",
  infer: ([x], window) => [{ ...inferMax("maxPoolPositions", x!, window), dtype: "int32" }],
  evaluate: ([x], window, [shape]) => [evaluateMax(x!, window, shape!).positions],
  onnx(emit, node) {
    if (emit.device === "webgpu") {
      compareTaps(emit, node);
      return;
    }
    const [largest, flat] = [`${node.outputs[0]!}/largest`, `${node.outputs[0]!}/flat`];
    emit.nodes("MaxPool", node.inputs, [largest, flat], poolAttrs(node.attrs));
    // The engine counts through all images and channels.
    const [height, width] = imageSizes("maxPoolPositions", node.inputTypes[0]!.shape);
    const position = emit.node("Mod", [flat, emit.constant("int64", height * width)]);
    emit.node("Cast", [position], { to: onnxElementType("int32") }, node.outputs[0]);
  },
  vjp: "zero",
};

/** @param kernel height and width of a window: one number, or [vertical, horizontal] @throws ShapeError */
export function maxPool(x: Value, kernel: number | Pair, options: PoolOptions = {}): Value {
  return apply(maxPoolOp, [x], poolWindow("maxPool", kernel, options));
}

function inferMax(where: string, x: Type, window: Window): Type {
  if (!isFloat(x.dtype)) {
    throw new ShapeError({ where, what: "wrong type", got: x.dtype, expected: "a floating-point type" });
  }
  return inferPool(where, x, window);
}

function evaluateMax(x: NdArray, window: Window, shape: readonly number[]): { largest: NdArray; positions: NdArray } {
  const largest = new Float64Array(sizeOfShape(shape)).fill(-Infinity);
  const positions = new Float64Array(largest.length);
  const area = x.shape[2]! * x.shape[3]!;
  forEachPool(x.shape, shape, window, (from, to) => {
    if (x.data[from]! <= largest[to]!) return;
    largest[to] = x.data[from]!;
    positions[to] = from % area;
  });
  return { largest: { shape, data: largest }, positions: { shape, data: positions } };
}

/** Compares the maximum with each element of the window in turn. */
function compareTaps(emit: OnnxEmitter, node: OnnxNode<Window>): void {
  const { kernel, strides, pads } = node.attrs;
  const [dtype, x] = [node.inputTypes[0]!.dtype, node.inputs[0]!];
  const [, width] = imageSizes("maxPoolPositions", node.inputTypes[0]!.shape);
  const slid = imageSizes("maxPoolPositions", node.outputTypes[0]!.shape);
  const largest = emit.node("MaxPool", [x], poolAttrs(node.attrs));
  const lowest = emit.constant(dtype, dtype === "float16" ? -65504 : -3.4028234663852886e38);
  const sides = emit.constant("int64", [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]]);
  const padded = emit.node("Pad", [x, sides, lowest], { mode: "constant" });
  const [axes, steps] = [emit.constant("int64", [2, 3]), emit.constant("int64", strides)];

  let offset = emit.constant("int32", 0);
  // Backwards, so that the first among equals is written last.
  for (let tap = kernel[0] * kernel[1] - 1; tap >= 0; tap--) {
    const start = [Math.floor(tap / kernel[1]), tap % kernel[1]] as const;
    const end = [start[0] + (slid[0] - 1) * strides[0] + 1, start[1] + (slid[1] - 1) * strides[1] + 1];
    const bounds = [emit.constant("int64", start), emit.constant("int64", end)];
    const element = emit.node("Slice", [padded, ...bounds, axes, steps]);
    const here = emit.constant("int32", start[0] * width + start[1]);
    offset = emit.node("Where", [emit.node("Equal", [element, largest]), here, offset]);
  }
  const corner = (i: number, j: number) => (i * strides[0] - pads[0]) * width + j * strides[1] - pads[1];
  const corners = Array.from({ length: slid[0] * slid[1] }, (_, at) => corner(Math.floor(at / slid[1]), at % slid[1]));
  emit.node("Add", [emit.constant("int32", corners, slid), offset], {}, node.outputs[0]);
}
