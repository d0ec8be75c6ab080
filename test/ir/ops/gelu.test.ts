import { gelu, geluOp } from "../../../src/ir/ops/gelu.ts";
import { describeOp } from "../../../src/testing/describe-op.ts";
import { integers, random, tensor } from "../../../src/testing/tensors.ts";

describeOp(geluOp, [
  { name: "exact", inputs: [random([3, 5], -4, 4)], build: ([x]) => gelu(x!) },
  { name: "approximate", inputs: [random([3, 5], -4, 4)], build: ([x]) => gelu(x!, { approximate: "tanh" }) },
  {
    name: "exact, PyTorch's numbers",
    inputs: [tensor("float32", [6], [-3, -1, -0.5, 0, 0.25, 2])],
    build: ([x]) => gelu(x!, { approximate: "none" }),
    expected: [-0.0040496940949, -0.1586552539315, -0.154268769363, 0, 0.1496765814207, 1.9544997361036],
    expectedGradients: [[-0.0119456472042, -0.0833154705877, 0.1325048753438, 0.5, 0.6953733548836, 1.0852318010782]],
  },
  {
    name: "approximate, PyTorch's numbers",
    inputs: [tensor("float32", [6], [-3, -1, -0.5, 0, 0.25, 2])],
    build: ([x]) => gelu(x!, { approximate: "tanh" }),
    expected: [-0.0036373920818, -0.1588080093917, -0.1542859901749, 0, 0.1496753507017, 1.9545976940878],
    expectedGradients: [[-0.011584166631, -0.0829640838458, 0.1326300964654, 0.5, 0.6953540951511, 1.0860992566236]],
  },
  {
    name: "special values",
    inputs: [tensor("float32", [6], [0, -0, Infinity, -Infinity, NaN, -100])],
    build: ([x]) => gelu(x!, { approximate: "none" }),
    smooth: false,
    expected: [0, 0, Infinity, NaN, NaN, 0],
  },
  { name: "no elements", inputs: [random([0, 3])], build: ([x]) => gelu(x!, { approximate: "none" }) },
  {
    name: "integers",
    inputs: [integers([2], 0, 3)],
    build: ([x]) => gelu(x!, { approximate: "none" }),
    throws: "gelu: input 0 has the wrong type: got int32",
  },
]);
