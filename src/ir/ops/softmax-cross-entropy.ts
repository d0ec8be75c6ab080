/**
 * Loss per row: -ln softmax(logits)[label], and 0 where the label is `ignoreIndex`.
 *
 * Shapes: logits [N, V], labels [N], loss [N]. dlogits = (softmax(logits) - onehot(label)) · dloss, in one pass over
 * [N, V]: the 1 is taken off at the label alone, and the factor of a row is moved past the product of matrices that follows
 * (ir/passes/move-row-scales.ts).
 *
 * A label that is neither a class nor `ignoreIndex` makes the loss of its row NaN, and its derivative too: it can be
 * overlooked no more than it can read another row's memory.
 */
import { ShapeError } from "../../errors.ts";
import { apply, type Value } from "../graph.ts";
import type { Op } from "../op.ts";
import { dim, knownSizes, printShape, sameDim } from "../shape.ts";
import { addAtElements } from "./add-at-elements.ts";
import { scalar } from "./constant.ts";
import { expectArity } from "./elementwise.ts";
import { equal } from "./equal.ts";
import { expand } from "./expand.ts";
import { expectFloat } from "./expect-float.ts";
import { expectIndices } from "./indices.ts";
import { less } from "./less.ts";
import { emitLogSoftmax } from "./log-softmax.ts";
import { maximum } from "./maximum.ts";
import { mul } from "./mul.ts";
import { reshape } from "./reshape.ts";
import { logSoftmaxOf, softmax } from "./softmax.ts";
import { where } from "./where.ts";

type CrossEntropyAttrs = { readonly ignoreIndex: number };

export const softmaxCrossEntropyOp: Op<CrossEntropyAttrs> = {
  name: "softmaxCrossEntropy",
  infer(inputs) {
    const name = "softmaxCrossEntropy";
    expectArity(name, inputs, 2);
    const [logits, labels] = inputs;
    expectFloat(name, [logits!], 1);
    expectIndices(name, labels!);
    const fits = logits!.shape.length === 2 && labels!.shape.length === 1;
    if (!fits || !sameDim(logits!.shape[0]!, labels!.shape[0]!)) {
      throw new ShapeError({
        where: name,
        what: "shapes do not fit",
        got: `logits ${printShape(logits!.shape)}, labels ${printShape(labels!.shape)}`,
        expected: "logits [N, V], labels [N]",
      });
    }
    knownSizes(logits!.shape.slice(1), name);
    return [{ dtype: logits!.dtype, shape: labels!.shape }];
  },
  evaluate([logits, labels], { ignoreIndex }, [shape]) {
    const classes = logits!.shape[1]!;
    const logs = logSoftmaxOf(logits!, 1);
    const data = labels!.data.map((label, row) => {
      if (label === ignoreIndex) return 0;
      return label >= 0 && label < classes ? -logs.data[row * classes + label]! : NaN;
    });
    return [{ shape: shape!, data }];
  },
  onnx(emit, node) {
    const [logits, labels] = node.inputs;
    const [{ dtype, shape }, { dtype: labelType }] = [node.inputTypes[0]!, node.inputTypes[1]!];
    const label = (value: number) => emit.constant(labelType, value);
    const number = (value: number) => emit.constant(dtype, value);
    const columns = emit.constant("int64", [1]);
    const logs = emitLogSoftmax(emit, logits!, 1);
    const isClass = emit.node("And", [
      emit.node("Greater", [labels!, label(-1)]),
      emit.node("Less", [labels!, label(shape[1]!.size!)]),
    ]);
    const column = emit.node("Unsqueeze", [emit.node("Where", [isClass, labels!, label(0)]), columns]);
    const picked = emit.node("GatherElements", [logs, column], { axis: 1 });
    const loss = emit.node("Neg", [emit.node("Squeeze", [picked, columns])]);
    const checked = emit.node("Where", [isClass, loss, number(NaN)]);
    const isIgnored = emit.node("Equal", [labels!, label(node.attrs.ignoreIndex)]);
    emit.node("Where", [isIgnored, number(0), checked], {}, node.outputs[0]);
  },
  vjp: ({ inputs: [logits, labels], cotangents: [dLoss], attrs: { ignoreIndex } }) => {
    const { graph } = logits!;
    const { dtype, shape } = logits!.type;
    const label = (value: number) => scalar(graph, value, labels!.type.dtype);
    const number = (value: number) => scalar(graph, value, dtype);
    const checked = where(less(labels!, label(shape[1]!.size!)), dLoss!, number(NaN));
    const nothing = equal(labels!, label(ignoreIndex));
    const perRow = where(nothing, number(0), where(less(labels!, label(0)), number(NaN), checked)); // [N]
    // Where a label is no class, any column will do: the row becomes 0 or NaN.
    const column = where(less(labels!, label(shape[1]!.size!)), maximum(labels!, label(0)), label(0));
    const taken = expand(scalar(graph, -1, dtype), [shape[0]!, dim(1)]);
    const difference = addAtElements(softmax(logits!, 1), taken, reshape(column, [shape[0]!, 1]), 1); // [N, V]
    return [mul(difference, reshape(perRow, [shape[0]!, 1])), undefined];
  },
};

/**
 * Cross-entropy of each row.
 * @param logits [N, V]; V is known when the graph is traced
 * @param labels [N], int32 or int64, each from 0 to V - 1 or `ignoreIndex`; WebGPU has kernels for int32 only
 * @param ignoreIndex label of rows that do not count; default -100
 * @returns [N]
 * @throws ShapeError if the shapes or types do not fit
 */
export function softmaxCrossEntropy(logits: Value, labels: Value, ignoreIndex = -100): Value {
  return apply(softmaxCrossEntropyOp, [logits, labels], { ignoreIndex });
}
