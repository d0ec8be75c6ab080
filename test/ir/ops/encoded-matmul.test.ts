import { constant, encodedMatmul, encodedMatmulOp } from "../../../src/ir/ops/index.ts";
import { encodedTensors, type EncodedAttrs, type Encoding } from "../../../src/ir/ops/encoding.ts";
import type { Graph, Value } from "../../../src/ir/graph.ts";
import { NF4_LEVELS } from "../../../src/quant/nf4.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random } from "../../../src/testing/tensors.ts";

const PLAIN: Encoding = { kind: "blocks", levels: NF4_LEVELS, blockSize: 64 };
const KERNEL: Encoding = { ...PLAIN, kernel: "nf4" };
const DOUBLE: Encoding = { ...KERNEL, nestedBlock: 256 };

/** Constants of blocks are no inputs that could have a derivative. */
function constants(graph: Graph, attrs: EncodedAttrs): Value[] {
  return encodedTensors(attrs.encoding, attrs.shape)
    .slice(1)
    .map(({ dtype, shape }, t) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: count }, (_, i) =>
        dtype === "uint8" ? (i * 37 + 5) % 256 : ((i * 7 + t) % 5) / 4 + 0.3,
      );
      return constant(graph, dtype, shape, values);
    });
}

const blocks = (shape: readonly number[], encoding: Encoding, transB: boolean) => ({
  name: `${JSON.stringify(shape)} ${transB ? "transposed" : "as it is"}, ${encoding === PLAIN ? "looked up" : encoding === KERNEL ? "by a kernel" : "double"}`,
  inputs: [
    random([6, transB ? shape[1]! : shape[0]!]),
    integers([Math.ceil((shape[0]! * shape[1]!) / 2)], 0, 255, "uint8"),
  ],
  build: ([x, codes]: readonly Value[], graph: Graph) => {
    const attrs = { encoding, shape };
    return encodedMatmul(x!, [codes!, ...constants(graph, attrs)], attrs, transB);
  },
});

describeOp(encodedMatmulOp, [
  ...[PLAIN, KERNEL, DOUBLE].flatMap((encoding) =>
    [
      [5, 7],
      [8, 48],
    ].flatMap((shape) => [true, false].map((transB) => blocks(shape, encoding, transB))),
  ),
  {
    name: "a weight in bfloat16",
    inputs: [random([3, 4])],
    build: ([x], graph) => {
      const shape = [5, 4];
      const values = Array.from({ length: 20 }, (_, i) => (i - 9) / 8);
      const weight: EncodedAttrs = { encoding: { kind: "cast", from: "bfloat16" }, shape };
      return encodedMatmul(x!, [constant(graph, "bfloat16", shape, values)], weight, true);
    },
  },
  {
    name: "another width",
    inputs: [random([3, 8]), integers([18], 0, 255, "uint8")],
    build: ([x, codes], graph) => {
      const attrs = { encoding: PLAIN, shape: [5, 7] };
      return encodedMatmul(x!, [codes!, ...constants(graph, attrs)], attrs, true);
    },
    throws: /these cannot be multiplied: got \[3, 8\] and \[5, 7\]ᵀ/,
  },
  {
    name: "other tensors",
    inputs: [random([3, 7]), integers([17], 0, 255, "uint8")],
    build: ([x, codes], graph) => {
      const attrs = { encoding: PLAIN, shape: [5, 7] };
      return encodedMatmul(x!, [codes!, ...constants(graph, attrs)], attrs, true);
    },
    throws: /not the tensors of a weight \[5, 7\]: got uint8\[17\], float32\[1\], expected uint8\[18\], float32\[1\]/,
  },
]);
