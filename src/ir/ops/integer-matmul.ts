/**
 * The product of a matrix with a frozen weight in 8 bits, as a product of integers: y = scale ∘ ((q − zero) Wᵀ) ∘ s
 * (`transB`), or y = scale ∘ ((q − zero) W).
 *
 * Shapes: x [M, K]; q uint8 [M, K] and scale [M, 1], which are x in 8 bits (quantize-rows.ts); W int8 [N, K] with factors
 * s [N] of the columns of y, if there are any, or [K, N]; y [M, N].
 *
 * x itself is there for the derivative, which takes q for x: for dY the weight is read the other way round, dX = (dY ∘ s) W,
 * and the rows of dY ∘ s are quantised as those of x are. That is the row-wise form of 8-bit training with frozen weights
 * (Wortsman et al. 2023, arXiv 2304.13013, §2.1, SwitchBack; Dettmers et al. 2022, arXiv 2208.07339, §2). Sums are exact
 * integers of 32 bits, as long as levels · 127 · K < 2³¹.
 *
 * With `terms` = 2 for dY, what rounding left of it is quantised and multiplied too: about 14 bits altogether. For derivatives with one large element in a row and many small ones that count: those of a vocabulary head.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { OnnxEmitter, Op, Type } from "../op.ts";
import { printShape, sameDim } from "../shape.ts";
import { add } from "./add.ts";
import { cast } from "./cast.ts";
import { emitZeroAfter } from "./encoding.ts";
import { gather } from "./gather.ts";
import { matmul } from "./matmul.ts";
import { mul } from "./mul.ts";
import { BYTE_LEVELS, quantizeRows, type RowLevels } from "./quantize-rows.ts";
import { reshape } from "./reshape.ts";
import { rowRest } from "./row-rest.ts";
import { splitColumns } from "./split-columns.ts";

export type IntegerMatmulAttrs = RowLevels & {
  readonly transB: boolean;
  /** Of the derivative. */
  readonly terms: Terms;
};

export type Terms = 1 | 2;

export const integerMatmulOp: Op<IntegerMatmulAttrs> = {
  name: "integerMatmul",
  infer(inputs, { transB }) {
    const [x, q, scale, W, s] = inputs;
    const dtypes = inputs.map(({ dtype }) => dtype).join();
    const expected = `float32,uint8,float32,int8${s === undefined ? "" : ",float32"}`;
    if (dtypes !== expected) {
      throw new ShapeError({ where: "integerMatmul", what: "wrong types", got: dtypes, expected });
    }
    const matrices = [x, q, scale, W].every((type) => type!.shape.length === 2);
    const [N, K] = transB ? W!.shape : W!.shape.toReversed();
    const fits =
      matrices &&
      sameDim(x!.shape[1]!, K!) &&
      q!.shape.every((d, i) => sameDim(d, x!.shape[i]!)) &&
      (s === undefined || (s.shape.length === 1 && sameDim(s.shape[0]!, N!)));
    if (!fits) {
      throw new ShapeError({
        where: "integerMatmul",
        what: "these cannot be multiplied",
        got: inputs.map(({ shape }) => printShape(shape)).join(", "),
        expected: `[M, K], [M, K], [M, 1], ${transB ? "[N, K]" : "[K, N]"}, [N]`,
      });
    }
    return [{ dtype: "float32", shape: [x!.shape[0]!, N!] }];
  },
  evaluate([, q, scale, W, s], { levels, transB }, [shape]) {
    const [rows, columns] = shape as [number, number];
    const inner = q!.shape[1]!;
    const data = new Float64Array(sizeOfShape(shape!));
    for (let m = 0; m < rows; m++) {
      for (let n = 0; n < columns; n++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) {
          sum += (q!.data[m * inner + k]! - levels - 1) * W!.data[transB ? n * inner + k : k * columns + n]!;
        }
        data[m * columns + n] = sum * scale!.data[m]! * (s === undefined ? 1 : s.data[n]!);
      }
    }
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const [, q, scale, W, s] = node.inputs as [string, string, string, string, string | undefined];
    const { levels, transB } = node.attrs;
    const weight = transB ? turned(emit, W, node.inputTypes[3]!, scale) : W;
    const one = emit.constant("float32", 1);
    const zero = emit.constant("uint8", levels + 1);
    const product = emit.node("MatMulIntegerToFloat", [q, weight, one, s ?? one, zero], {}, undefined, "com.microsoft");
    emit.node("Mul", [product, scale], {}, node.outputs[0]);
  },
  vjp({ inputs: [, , , W, s], cotangents: [dy], needs, attrs: { transB, terms, levels } }) {
    if (!needs[0]) return [];
    const scaled = s === undefined ? dy! : mul(dy!, s);
    return [integerMatmul(scaled, W!, { transB: !transB, terms, levels })];
  },
};

export interface IntegerMatmulOptions {
  /** The product is x Wᵀ, otherwise x W. */
  readonly transB: boolean;
  /** Factors of the columns of the product, float32 [N]. Default: none. */
  readonly factors?: Value | undefined;
  /** In how many terms x is quantised. Default: 1. */
  readonly terms?: Terms;
  /** The same for dY, in the derivative. Default: 1. */
  readonly derivativeTerms?: Terms;
  /** Default: those of whole bytes. */
  readonly levels?: number;
  /** How many columns of x are multiplied in float32, those with the largest elements (split-columns.ts). Default: 0. */
  readonly wideColumns?: number;
}

/** @throws ShapeError if types or shapes do not fit */
export function integerMatmul(x: Value, W: Value, options: IntegerMatmulOptions): Value {
  const { transB, factors, terms = 1, derivativeTerms = 1, levels = BYTE_LEVELS, wideColumns = 0 } = options;
  const attrs = { transB, levels, terms: derivativeTerms };
  const split = wideColumns === 0 ? undefined : splitColumns(x, wideColumns);
  const narrow = split?.rest ?? x;
  const rows = quantizeRows(narrow, levels);
  const tensors = [W, ...(factors === undefined ? [] : [factors])];
  const product = apply(integerMatmulOp, [x, rows.q, rows.scale, ...tensors], attrs);
  const y = split === undefined ? product : add(product, wideProduct(split, W, options));
  return terms === 1 ? y : add(y, integerMatmul(rowRest(narrow, rows, levels), W, { transB, factors, levels }));
}

/** The product of some columns of x, in float32. */
function wideProduct(
  { columns, indices }: { readonly columns: Value; readonly indices: Value },
  W: Value,
  { transB, factors }: IntegerMatmulOptions,
): Value {
  const weight = cast(gather(W, indices, transB ? 1 : 0), "float32"); // [N, k] or [k, N]
  const scaled = factors === undefined ? weight : mul(weight, reshape(factors, transB ? [-1, 1] : [1, -1]));
  return matmul(columns, scaled, { transB });
}

/**
 * W the other way round, as the kernel reads it. Turning bytes costs a twentieth of a product with some hundred rows; a second
 * copy of every weight would cost as much memory as the weights. So it has to wait for the product's rows: the engine runs
 * what it can as early as it can, and would keep all of them.
 */
function turned(emit: OnnxEmitter, W: string, { shape }: Type, scale: string): string {
  const zero = emitZeroAfter(emit, scale);
  const late = emit.node("Reshape", [W, emit.node("Add", [emit.shape(shape), zero])]);
  return emit.node("Transpose", [late], { perm: [1, 0] });
}
