import { maxPool, maxPoolOp, maxPoolPositionsOp } from "../../../src/ir/ops/max-pool.ts";
import { apply } from "../../../src/ir/graph.ts";
import type { Window } from "../../../src/ir/ops/window.ts";
import { describeOp, type OpCase } from "../../../src/testing/describe-op.ts";
import { apart, integers, random, tensor } from "../../../src/testing/tensors.ts";

const ties = tensor("float32", [1, 1, 2, 4], [1, 5, 5, 5, 5, 2, 3, 5]);

describeOp(maxPoolOp, [
  {
    name: "of equals, the first gets the derivative",
    inputs: [ties],
    build: ([x]) => maxPool(x!, 2),
    symbolic: false,
    smooth: false,
    expected: [5, 5],
    expectedGradients: [[0, 1, 1, 0, 0, 0, 0, 0]],
  },
  { inputs: [apart([2, 3, 5, 7])], build: ([x]) => maxPool(x!, 2) },
  {
    name: "overlapping, sides that never win",
    inputs: [apart([2, 3, 5, 7])],
    build: ([x]) => maxPool(x!, [3, 2], { strides: [2, 1], pads: [1, 0, 2, 1] }),
  },
  {
    inputs: [integers([2, 3, 5, 7], 0, 5)],
    build: ([x]) => maxPool(x!, 2),
    throws: /maxPool: wrong type: got int32, expected a floating-point type/,
  },
  { inputs: [random([2, 3, 5, 7])], build: ([x]) => maxPool(x!, [6, 1]), throws: /window is higher/ },
]);

const window: Window = { kernel: [3, 2], strides: [2, 1], pads: [1, 0, 2, 1], dilations: [1, 1] };
const positions: OpCase = {
  inputs: [apart([2, 3, 5, 7])],
  build: ([x]) => apply(maxPoolPositionsOp, [x!], window),
};
describeOp(maxPoolPositionsOp, [
  positions,
  {
    ...positions,
    name: "of equals, the first",
    symbolic: false,
    inputs: [{ ...ties, shape: [2, 1, 2, 2] }],
    build: ([x]) => apply(maxPoolPositionsOp, [x!], { ...window, kernel: [2, 2], strides: [1, 1], pads: [0, 0, 0, 0] }),
    expected: [1, 0],
  },
]);
