/**
 * y = x̂ · scale + bias over the last axis, with x̂ = (x - mean) / √(variance + ε) (Ba et al. 2016, arXiv 1607.06450).
 *
 * Shapes: x [..., D], scale and bias [D]. Further outputs, kept for the derivative: mean and 1 / √(variance + ε),
 * float32[..., 1]. On WebGPU the variance is computed as mean(x²) - mean², which loses digits where |mean| ≫ √variance.
 * With g = dy · scale: dx = (g - mean(g) - x̂ · mean(g · x̂)) / √(variance + ε).
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import type { Op, Type } from "../op.ts";
import { dim, printShape, sameShape, type Shape } from "../shape.ts";
import { cast } from "./cast.ts";
import { expectFloat } from "./expect-float.ts";
import { mul } from "./mul.ts";
import { expectNotEmpty } from "./not-empty.ts";
import { reduceMean } from "./reduce-mean.ts";
import { sub } from "./sub.ts";

export type NormAttrs = { readonly epsilon: number };

export const layerNormalizationOp: Op<NormAttrs> = {
  name: "layerNormalization",
  infer(inputs) {
    expectNormalizable("layerNormalization", inputs, inputs.length === 2 ? ["scale"] : ["scale", "bias"]);
    const statistic: Type = { dtype: "float32", shape: statisticShape(inputs[0]!.shape) };
    return [inputs[0]!, statistic, statistic];
  },
  evaluate([x, scale, bias], { epsilon }, [shape, statisticSizes]) {
    const width = shape!.at(-1)!;
    const y = new Float64Array(sizeOfShape(shape!));
    const means = new Float64Array(sizeOfShape(statisticSizes!));
    const inverses = new Float64Array(means.length);
    means.forEach((_, row) => {
      const line = x!.data.subarray(row * width, (row + 1) * width);
      const mean = line.reduce((sum, value) => sum + value, 0) / width;
      const variance = line.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
      means[row] = mean;
      inverses[row] = 1 / Math.sqrt(variance + epsilon);
      line.forEach((value, i) => {
        y[row * width + i] = (value - mean) * inverses[row]! * scale!.data[i]! + (bias?.data[i] ?? 0);
      });
    });
    return [
      { shape: shape!, data: y },
      { shape: statisticSizes!, data: means },
      { shape: statisticSizes!, data: inverses },
    ];
  },
  onnx(emit, node) {
    const attrs = { axis: -1, epsilon: { float: node.attrs.epsilon } };
    emit.nodes("LayerNormalization", node.inputs, node.outputs, attrs);
  },
  vjp: ({ inputs: [x, scale], outputs: [, mean, inverse], cotangents: [dy], needs }) => {
    const { dtype } = x!.type;
    const inverseStd = cast(inverse!, dtype);
    const normal = needs[0] || needs[1] ? mul(sub(x!, cast(mean!, dtype)), inverseStd) : undefined;
    return [
      needs[0] ? centered(mul(dy!, scale!), normal!, inverseStd) : undefined,
      needs[1] ? mul(dy!, normal!) : undefined,
      needs[2] ? dy : undefined,
    ];
  },
};

/**
 * @param x [..., D]
 * @param scale [D]
 * @param bias [D], or `undefined` for none
 * @param epsilon added to the variance
 * @throws ShapeError if scale or bias do not have the size of the last axis
 */
export function layerNormalization(x: Value, scale: Value, bias: Value | undefined, epsilon = 1e-5): Value {
  return apply(layerNormalizationOp, bias === undefined ? [x, scale] : [x, scale, bias], { epsilon });
}

/** @throws ShapeError unless the inputs are a float tensor and one vector per name, as long as its last axis. */
export function expectNormalizable(where: string, inputs: readonly Type[], vectors: readonly string[]): void {
  expectFloat(where, inputs, 1 + vectors.length);
  const { shape } = inputs[0]!;
  if (shape.length === 0) throw new ShapeError({ where, what: "needs an axis to normalise over", got: "[]" });
  expectNotEmpty(where, inputs[0]!, [shape.length - 1]);
  vectors.forEach((name, i) => {
    const vector = inputs[i + 1]!.shape;
    if (!sameShape(vector, shape.slice(-1))) {
      throw new ShapeError({
        where,
        what: `${name} does not fit the last axis`,
        got: printShape(vector),
        expected: printShape(shape.slice(-1)),
      });
    }
  });
}

export function statisticShape(shape: Shape): Shape {
  return shape.with(-1, dim(1));
}

function centered(g: Value, normal: Value, inverseStd: Value): Value {
  const mean = (x: Value) => reduceMean(x, [-1], true);
  return mul(inverseStd, sub(sub(g, mean(g)), mul(normal, mean(mul(g, normal)))));
}
