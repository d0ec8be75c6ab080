/**
 * Frozen weights in 8 bits: W ≈ q · s, with q int8 from −127 to 127 and one float32 factor s per row, max |row| / 127.
 *
 * Products are products of integers, forward and backward (ir/ops/integer-matmul.ts): rows of x, and of dY, are quantised as
 * they come, W is read as it lies for dY W and turned for x Wᵀ. Nothing of W's size is made in float32, for an embedding
 * neither. What the integers do not touch stays float32: adapters, norms, attention, the loss.
 *
 * Source: LLM.int8(), Dettmers et al. 2022, arXiv 2208.07339, §3: vector-wise quantisation, and a few columns of x in float32
 * (its mixed-precision decomposition; there as many as have an element beyond 6, here a fixed number). The backward pass is
 * the row-wise one of SwitchBack (Wortsman et al. 2023, arXiv 2304.13013, §2.1), for x alone.
 */
import { cast } from "../ir/ops/cast.ts";
import { gather } from "../ir/ops/gather.ts";
import { integerMatmul } from "../ir/ops/integer-matmul.ts";
import { mul } from "../ir/ops/mul.ts";
import { reshape } from "../ir/ops/reshape.ts";
import type { Storage } from "./storage.ts";

const LARGEST = 127;
/**
 * Columns of x that are multiplied in float32, those with the largest elements: models of up to 13 billion parameters have
 * large elements in at most 7 (arXiv 2208.07339, §3.2).
 */
const WIDE_COLUMNS = 8;
/** Narrow matrices have fewer: one in so many columns. */
const FEWEST = 16;
const CODES = "codes";
const SCALES = "scales";

export const int8: Storage = {
  name: "int8",
  source: "LLM.int8(), Dettmers et al. 2022, arXiv 2208.07339, §3",
  summary: "a byte for each weight, products of integers",
  covers: "all",
  hasConstants: false,

  tensors: (shape) => [
    { name: CODES, dtype: "int8", shape },
    { name: SCALES, dtype: "float32", shape: [shape[0]!] },
  ],

  encode(values, shape) {
    const rows = shape[0]!;
    const width = rows === 0 ? 0 : values.length / rows;
    const codes = new Int8Array(values.length);
    const scales = new Float32Array(rows);
    for (let row = 0, at = 0; row < rows; row++) {
      let largest = 0;
      for (let i = 0; i < width; i++) largest = Math.max(largest, Math.abs(values[at + i]!));
      scales[row] = largest / LARGEST;
      // What is smaller than a row's smallest step is zero; a row of zeros has no step.
      const steps = scales[row]! > 0 ? 1 / scales[row]! : 0;
      const perStep = Number.isFinite(steps) ? steps : 0;
      for (let i = 0; i < width; i++, at++)
        codes[at] = Math.max(-LARGEST, Math.min(LARGEST, Math.round(values[at]! * perStep)));
    }
    return { [CODES]: codes, [SCALES]: scales };
  },

  decode(tensors, shape) {
    const [codes, scales] = [tensors[CODES]!, tensors[SCALES]!];
    const width = codes.length / shape[0]!;
    return Float32Array.from(
      { length: codes.length },
      (_, i) => Number(codes[i]) * Number(scales[Math.floor(i / width)]),
    );
  },

  read(call) {
    const { shape } = call;
    const tensor = (name: string) => call.tensor(name);
    return {
      value() {
        const perRow = reshape(tensor(SCALES), [shape[0]!, ...shape.slice(1).map(() => 1)]);
        return mul(cast(tensor(CODES), "float32"), perRow);
      },
      multiply(x, fanInFanOut, options) {
        // Factors of rows are factors of outputs, or of inputs where W is stored as [in, out].
        const inFeatures = shape[fanInFanOut ? 0 : 1]!;
        const wideColumns = Math.min(WIDE_COLUMNS, Math.floor(inFeatures / FEWEST));
        if (fanInFanOut) return integerMatmul(mul(x, tensor(SCALES)), tensor(CODES), { transB: false, wideColumns });
        const derivativeTerms = options?.peaked === true ? 2 : 1;
        return integerMatmul(x, tensor(CODES), {
          transB: true,
          factors: tensor(SCALES),
          derivativeTerms,
          wideColumns,
        });
      },
      rows(tokens) {
        const scales = gather(tensor(SCALES), tokens);
        return mul(cast(gather(tensor(CODES), tokens), "float32"), reshape(scales, [...tokens.type.shape, 1]));
      },
    };
  },
};
