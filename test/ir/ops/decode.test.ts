import { constant, decode, decodeOp } from "../../../src/ir/ops/index.ts";
import { NF4_LEVELS } from "../../../src/quant/nf4.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, tensor } from "../../../src/testing/tensors.ts";

const blocks = { kind: "blocks", levels: NF4_LEVELS, blockSize: 64 } as const;

describeOp(decodeOp, [
  {
    name: "two codes in a byte, the first in the upper bits",
    inputs: [tensor("uint8", [4], [0xa1, 0x7f, 0x6c, 0x07])],
    build: ([codes], graph) =>
      decode([codes!, constant(graph, "float32", [1], [2])], { encoding: blocks, shape: [2, 4] }),
    // papers: NF4 of [.5, −1.5, .01, 2, −.2, .9, −2, 0].
    expected: [0.49222460389137268, -1.3923856019973755, 0, 2, -0.1821000725030899, 0.8814196586608887, -2, 0],
    symbolic: false,
    tolerance: { relative: 0, ofLargest: 0 },
  },
  ...[undefined, "nf4" as const].flatMap((kernel) =>
    [
      [5, 7],
      [3, 48],
      [20, 64],
    ].map(
      (shape) =>
        ({
          name: `${JSON.stringify(shape)}, ${kernel ?? "looked up"}`,
          inputs: [integers([Math.ceil((shape[0]! * shape[1]!) / 2)], 0, 255, "uint8")],
          build: ([codes], graph) => {
            const count = Math.ceil((shape[0]! * shape[1]!) / 64);
            const absmax = constant(
              graph,
              "float32",
              [count],
              Array.from({ length: count }, (_, i) => i + 0.3),
            );
            return decode([codes!, absmax], { encoding: kernel === undefined ? blocks : { ...blocks, kernel }, shape });
          },
          symbolic: false,
        }) satisfies Parameters<typeof describeOp>[1][number],
    ),
  ),
]);
