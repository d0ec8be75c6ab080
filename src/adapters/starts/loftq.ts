/**
 * LoftQ: a quantised weight Q and a start for A and B that makes up for what quantisation lost. T times: Q = q(W − s·B A), then
 * s·B A = the best approximation of W − Q of rank r.
 *
 * Source: Li et al. 2023, arXiv 2310.08659, algorithm 1. On a base that is stored in few bits, q is that storage and W the
 * weight before; with T = 1, Q is what is stored already. On a float32 base q is simulated: NF4 in blocks of 64, or 8 bits with a
 * scale per row, as PEFT's `loftq_config` has it, and the layer gets Q in the place of its weight.
 *
 * PEFT does not divide by s, so that its adapters start off the mark where alpha ≠ r. The file is the same.
 */
import { float16ToFloat32, float32ToFloat16 } from "../../half.ts";
import { type Matrix, svd } from "../../linear-algebra/svd.ts";
import { nf4 } from "../../quant/nf4.ts";
import { expectDecomposable, splitFactors } from "./singular.ts";
import { DEFAULT_DRAWS, type FactorsCall, type LoraStart, type StartFactors } from "./start.ts";

const LARGEST = 127;

export const loftq: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "loftq",
  about: "A and B make up for what quantisation of the weight loses",
  // What the first iteration quantises is the weight itself: a stored base has it.
  replacesWeight: ({ loftqConfig }, isStored) => !isStored || loftqConfig.iterations > 1,
  async factors(call) {
    const { config, scaling, stored } = call;
    expectDecomposable(call);
    const W = await (stored === undefined ? call.weight() : call.original());
    const quantize = stored ?? (config.loftqConfig.bits === 4 ? inNf4 : inRows8);
    let target = W;
    for (let step = 1; ; step++) {
      const Q = quantize(target);
      const found = residual(W, Q, config.r, scaling);
      if (step === config.loftqConfig.iterations) return { ...found, weight: Q };
      const rest = (value: number, i: number) => value - productAt(found, call, i, config.r, scaling);
      target = { ...W, data: Float32Array.from(W.data, rest) };
    }
  },
};

function residual(W: Matrix, Q: Matrix, r: number, s: number): StartFactors {
  return splitFactors(svd({ ...W, data: Float64Array.from(W.data, (value, i) => value - Q.data[i]!) }, r), r, s);
}

/** Element i of s·B A. */
function productAt({ A, B }: StartFactors, { layer }: FactorsCall, i: number, r: number, s: number): number {
  const [row, column] = [Math.floor(i / layer.inFeatures), i % layer.inFeatures];
  let sum = 0;
  for (let k = 0; k < r; k++) sum += B[row * r + k]! * A[k * layer.inFeatures + column]!;
  return s * sum;
}

function inNf4({ rows, columns, data }: Matrix): Matrix {
  const shape = [rows, columns];
  const options = { doubleQuantization: false };
  const values = nf4.decode(nf4.encode(Float32Array.from(data), shape, options), shape, options);
  return { rows, columns, data: values };
}

/** bitsandbytes' Int8Params: of the weight in float16, round(127 w / largest of the row). */
function inRows8({ rows, columns, data }: Matrix): Matrix {
  const values = float16ToFloat32(float32ToFloat16(Float32Array.from(data)));
  for (let i = 0; i < rows; i++) {
    const row = values.subarray(i * columns, (i + 1) * columns);
    const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest === 0) continue;
    const perStep = Math.fround(LARGEST / largest);
    for (const [j, value] of row.entries()) {
      row[j] = Math.fround(halfToEven(Math.fround(value * perStep)) * largest) * Math.fround(1 / LARGEST);
    }
  }
  return { rows, columns, data: values };
}

function halfToEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}
