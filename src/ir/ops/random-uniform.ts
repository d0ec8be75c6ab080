/**
 * Numbers from [0, 1), uniformly: multiples of 2⁻²⁴, a function of (seed, stream, position) and of nothing else. The
 * same bits on every device and in the interpreter, in any order, and again when a checkpointed region is recomputed.
 *
 * Counter-based (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). The mixing step is that of RC6
 * (Rivest et al. 1998): x → x (2x + 1) mod 2³², a permutation whose high bits depend on every bit of x, then a rotation
 * by half a word. It needs no exclusive or, which WebGPU has no kernel for, and computes in uint32, where products wrap
 * by definition.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { ndarray, sizeOfShape } from "../ndarray.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { Op, OnnxEmitter } from "../op.ts";
import { type DimLike, printShape, type Shape, shapeOf } from "../shape.ts";
import { expectArity } from "./elementwise.ts";

type RandomUniformAttrs = { readonly stream: number; readonly shape: Shape };

/** 2³² divided by the golden ratio: neighbouring positions start far apart. */
const POSITION_STEP = 0x9e3779b9;
const SEED_STEP = 0x9e3779b9;
/** Arbitrary odd numbers, to tell streams and keys from each other. */
const STREAM_STEP = 0x85ebca6b;
const STREAM_OFFSET = 0xd35a2d97;
const KEY_OFFSET = 0xc2b2ae35;
const HALF_WORD = 65536;
/** A float32 holds 24 bits exactly: the upper ones, which are mixed best. */
const DROPPED = 256;
const UNIT = 2 ** -24;

export const randomUniformOp: Op<RandomUniformAttrs> = {
  name: "randomUniform",
  infer(inputs, { stream, shape }) {
    expectArity("randomUniform", inputs, 1);
    const [seed] = inputs;
    if (seed!.dtype !== "int32" || seed!.shape.length > 0) {
      const got = `${seed!.dtype}${printShape(seed!.shape)}`;
      throw new ShapeError({ where: "randomUniform", what: "wrong seed", got, expected: "an int32 scalar" });
    }
    if (!Number.isInteger(stream)) {
      throw new ShapeError({ where: "randomUniform", what: "wrong stream", got: stream, expected: "a whole number" });
    }
    return [{ dtype: "float32", shape }];
  },
  evaluate([seed], { stream }, [shape]) {
    const keys = keysOf(seed!.data[0]!, stream);
    const data = new Float64Array(sizeOfShape(shape!));
    for (let i = 0; i < data.length; i++) data[i] = numberAt(keys, i);
    return [ndarray(shape!, data)];
  },
  onnx(emit, node) {
    const { stream, shape } = node.attrs;
    const number = (value: number) => emit.constant("uint32", value);
    const toWords = (x: string) => emit.node("Cast", [x], { to: onnxElementType("uint32") });
    const seed = emit.node("Mul", [toWords(node.inputs[0]!), number(SEED_STEP)]);
    const key = emitMix(emit, emit.node("Add", [seed, number(streamKey(stream))]));
    const secondKey = emitMix(emit, emit.node("Add", [key, number(KEY_OFFSET)]));

    const [zero, one] = [emit.constant("int32", 0), emit.constant("int32", 1)];
    const positions = emit.node("Range", [zero, emit.count(shape), one]);
    const start = emit.node("Add", [emit.node("Mul", [toWords(positions), number(POSITION_STEP)]), key]);
    const mixed = emitMix(emit, emit.node("Add", [emitMix(emit, start), secondKey]));
    const bits = emit.node("Div", [emitSpread(emit, mixed), number(DROPPED)]);
    const whole = emit.node("Cast", [bits], { to: onnxElementType("float32") });
    const flat = emit.node("Mul", [whole, emit.constant("float32", UNIT)]);
    emit.node("Reshape", [flat, emit.shape(shape)], { allowzero: 1 }, node.outputs[0]);
  },
  vjp: "zero",
};

/**
 * @param seed int32 scalar; another one at every step gives other numbers
 * @param options.stream a whole number; places in a model that use one seed take different ones
 * @param options.shape of the result, less than 2³¹ elements
 * @returns float32
 * @throws ShapeError if the seed is not an int32 scalar
 */
export function randomUniform(
  seed: Value,
  options: { readonly stream: number; readonly shape: readonly DimLike[] },
): Value {
  return apply(randomUniformOp, [seed], { stream: options.stream, shape: shapeOf(options.shape) });
}

/** One of the numbers, on the host. @param position counted through the shape, row by row */
export function uniformAt(seed: number, stream: number, position: number): number {
  return numberAt(keysOf(seed, stream), position);
}

function keysOf(seed: number, stream: number): readonly [number, number] {
  const key = mix((Math.imul(seed, SEED_STEP) + streamKey(stream)) >>> 0);
  return [key, mix((key + KEY_OFFSET) >>> 0)];
}

function numberAt([key, secondKey]: readonly [number, number], position: number): number {
  const x = mix((Math.imul(position, POSITION_STEP) + key) >>> 0);
  return (spread(mix((x + secondKey) >>> 0)) >>> 8) * UNIT;
}

/** x (2x + 1) mod 2³². */
function spread(x: number): number {
  return Math.imul(x, 2 * x + 1) >>> 0;
}

function mix(x: number): number {
  const y = spread(x);
  return ((y << 16) | (y >>> 16)) >>> 0;
}

function streamKey(stream: number): number {
  return mix((mix(Math.imul(stream + 1, STREAM_STEP) >>> 0) + STREAM_OFFSET) >>> 0);
}

function emitSpread(emit: OnnxEmitter, x: string): string {
  const twice = emit.node("Mul", [x, emit.constant("uint32", 2)]);
  return emit.node("Mul", [x, emit.node("Add", [twice, emit.constant("uint32", 1)])]);
}

/** Shifts are products and quotients, which every device has. */
function emitMix(emit: OnnxEmitter, x: string): string {
  const y = emitSpread(emit, x);
  const half = emit.constant("uint32", HALF_WORD);
  return emit.node("Add", [emit.node("Mul", [y, half]), emit.node("Div", [y, half])]);
}
