import { softmaxCrossEntropy, softmaxCrossEntropyOp } from "../../../src/ir/ops/softmax-cross-entropy.ts";
import { shapeOf } from "../../../src/ir/shape.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(softmaxCrossEntropyOp, [
  {
    name: "int32 labels",
    inputs: [random([3, 5], -4, 4), integers([3], 0, 4)],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
  },
  {
    name: "int64 labels",
    inputs: [random([3, 5], -4, 4), integers([3], 0, 4, "int64")],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
  },
  {
    name: "many classes",
    inputs: [random([3, 1500], -4, 4), integers([3], 0, 1499)],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
  },
  {
    name: "PyTorch's numbers, with a row that is ignored",
    inputs: [tensor("float32", [4, 3], [1, 2, 4, -1, 0.5, 0, 3, 3, 3, 0, 0, 1]), tensor("int32", [4], [2, 0, -100, 1])],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    expected: [0.1698460195563, 2.1041306053367, 0, 1.5514447139321],
    expectedGradients: [
      [
        0.0420100661341, 0.1141951993846, -0.1562052655187, -0.8780483476903, 0.5465493872662, 0.3314989604241, 0, 0, 0,
        0.2119415576171, -0.7880584423829, 0.5761168847658,
      ],
    ],
  },
  {
    name: "another ignored label, even a class",
    inputs: [random([3, 5]), tensor("int64", [3], [0, 1, 2])],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!, 1),
  },
  {
    name: "labels that are no class",
    inputs: [tensor("float32", [4, 2], [1, 2, 3, 4, 5, 6, 1, 1]), tensor("int64", [4], [2, -1, 4294967296, 0])],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    smooth: false,
    expected: [NaN, NaN, NaN, Math.LN2],
    expectedGradients: [[NaN, NaN, NaN, NaN, NaN, NaN, -0.5, 0.5]],
  },
  {
    name: "labels that are no class, int32",
    inputs: [tensor("float32", [3, 2], [1, 2, 3, 4, 1, 1]), tensor("int32", [3], [2, -2147483648, 1])],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    smooth: false,
    expected: [NaN, NaN, Math.LN2],
    expectedGradients: [[NaN, NaN, NaN, NaN, 0.5, -0.5]],
  },
  {
    name: "far logits and masked ones",
    inputs: [tensor("float32", [2, 3], [1e4, 0, -1e4, -Infinity, 0, 0]), tensor("int32", [2], [2, 1])],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    smooth: false,
    expected: [2e4, Math.LN2],
    expectedGradients: [[1, 0, -1, 0, -0.5, 0.5]],
  },
  {
    name: "no rows",
    inputs: [random([0, 3]), integers([0], 0, 2)],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
  },
  {
    name: "labels of another length",
    inputs: [random([3, 5]), integers([4], 0, 2)],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    throws: "softmaxCrossEntropy: shapes do not fit: got logits [3, 5], labels [4], expected logits [N, V], labels [N]",
  },
  {
    name: "labels that are floats",
    inputs: [random([3, 5]), random([3])],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    throws: "softmaxCrossEntropy: indices have the wrong type: got float32, expected int32 or int64",
  },
  {
    name: "whole logits",
    inputs: [integers([3, 5], 0, 3), integers([3], 0, 2)],
    build: ([logits, labels]) => softmaxCrossEntropy(logits!, labels!),
    throws: "softmaxCrossEntropy: input has the wrong type: got int32, expected a float type",
  },
  {
    name: "an unknown number of classes",
    inputs: [random([3, 5]), integers([3], 0, 2)],
    build: ([, labels], graph) =>
      softmaxCrossEntropy(graph.feed("logits", { dtype: "float32", shape: shapeOf([3, "V"]) }), labels!),
    throws: /needs sizes that are known when the graph is traced/,
  },
]);
