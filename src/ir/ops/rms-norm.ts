/**
 * y = x̂ · scale over the last axis, with x̂ = x / √(mean(x²) + ε) (Zhang and Sennrich 2019, arXiv 1910.07467).
 *
 * Shapes: x [..., D], scale [D]. A second output, kept for the derivative: 1 / √(mean(x²) + ε), float32[..., 1].
 * With g = dy · scale: dx = (g - x̂ · mean(g · x̂)) / √(mean(x²) + ε).
 */
import { apply, type Value } from "../graph.ts";
import { sizeOfShape } from "../ndarray.ts";
import { onnxElementType } from "../onnx-types.ts";
import type { Op } from "../op.ts";
import { cast } from "./cast.ts";
import { expectNormalizable, type NormAttrs, statisticShape } from "./layer-normalization.ts";
import { mul } from "./mul.ts";
import { reduceMean } from "./reduce-mean.ts";
import { sub } from "./sub.ts";

export const rmsNormOp: Op<NormAttrs> = {
  name: "rmsNorm",
  infer(inputs) {
    expectNormalizable("rmsNorm", inputs, ["scale"]);
    return [inputs[0]!, { dtype: "float32", shape: statisticShape(inputs[0]!.shape) }];
  },
  evaluate([x, scale], { epsilon }, [shape, statisticSizes]) {
    const width = shape!.at(-1)!;
    const y = new Float64Array(sizeOfShape(shape!));
    const inverses = new Float64Array(sizeOfShape(statisticSizes!));
    inverses.forEach((_, row) => {
      const line = x!.data.subarray(row * width, (row + 1) * width);
      const inverse = 1 / Math.sqrt(line.reduce((sum, value) => sum + value * value, 0) / width + epsilon);
      inverses[row] = inverse;
      line.forEach((value, i) => (y[row * width + i] = value * inverse * scale!.data[i]!));
    });
    return [
      { shape: shape!, data: y },
      { shape: statisticSizes!, data: inverses },
    ];
  },
  onnx(emit, node) {
    const { epsilon } = node.attrs;
    if (emit.device === "cpu") {
      // The operator set has RMSNormalization from version 23 on; the engine knows it under an older name of its own.
      const attrs = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
      emit.nodes("SimplifiedLayerNormalization", node.inputs, node.outputs, attrs);
      return;
    }
    // The kernel for WebGPU writes something else to the second output.
    const [x, scale] = node.inputs;
    const { dtype } = node.inputTypes[0]!;
    const [float, typed] = [onnxElementType("float32"), onnxElementType(dtype)];
    const wide = dtype === "float32" ? x! : emit.node("Cast", [x!], { to: float });
    const square = emit.node("Mul", [wide, wide]);
    const mean = emit.node("ReduceMean", [square, emit.constant("int64", [-1])], { keepdims: 1 });
    const rms = emit.node("Sqrt", [emit.node("Add", [mean, emit.constant("float32", epsilon)])]);
    emit.node("Div", [emit.constant("float32", 1), rms], {}, node.outputs[1]);
    const normal = emit.node("Mul", [wide, node.outputs[1]!]);
    const narrow = dtype === "float32" ? normal : emit.node("Cast", [normal], { to: typed });
    emit.node("Mul", [narrow, scale!], {}, node.outputs[0]);
  },
  vjp: ({ inputs: [x, scale], outputs: [, inverse], cotangents: [dy], needs }) => {
    const inverseRms = cast(inverse!, x!.type.dtype);
    const normal = mul(x!, inverseRms);
    return [
      needs[0] ? projected(mul(dy!, scale!), normal, inverseRms) : undefined,
      needs[1] ? mul(dy!, normal) : undefined,
    ];
  },
};

/**
 * @param x [..., D]
 * @param scale [D]
 * @param epsilon added to the mean square
 * @throws ShapeError if scale does not have the size of the last axis
 */
export function rmsNorm(x: Value, scale: Value, epsilon = 1e-6): Value {
  return apply(rmsNormOp, [x, scale], { epsilon });
}

function projected(g: Value, normal: Value, inverseRms: Value): Value {
  return mul(inverseRms, sub(g, mul(normal, reduceMean(mul(g, normal), [-1], true))));
}
