/** Started by stored-peak.test.ts in a process of its own: prints by how many bytes a training step raises the peak. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { dim, shapeOf } from "../../src/ir/shape.ts";
import { storageOf } from "../../src/quant/index.ts";
import { statesOf, storedModel, type WeightStorage } from "../../src/quant/stored-model.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { peakBytes, resetPeak } from "../../src/runtime/node/process-memory-node.ts";
import { noise } from "../support/run.ts";

const [name, kept, width, layers] = process.argv.slice(2) as [string, string, string, string];
const storage = storageOf(name.replace("-double", ""));
const options = { doubleQuantization: name.endsWith("-double") };
const D = Number(width);
const weight: WeightStorage = { storage, options, shape: [D, D] };
const dir = await mkdtemp(join(tmpdir(), "lowrank-peak-"));
const device = await ortDevice({ threads: 2 });
const parameters = new Map<string, WeightStorage>();
const tensors = storage.encode(noise([D, D], 1).data as Float32Array, [D, D], options);
for (let layer = 0; layer < Number(layers); layer++) {
  parameters.set(`w${layer}`, weight);
  for (const [i, state] of statesOf(`w${layer}`, weight).entries()) {
    const data = tensors[storage.tensors([D, D], options)[i]!.name]!;
    const path = join(dir, state.name);
    await writeFile(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    await device.map(state.name, { dtype: state.dtype, shape: state.shape, path, byteOffset: 0 });
  }
  await device.write(`a${layer}`, { dtype: "float32", shape: [D], data: new Float32Array(D).fill(0.1) });
}
const model = storedModel(parameters);
const graph = new Graph();
const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(D)] });
const trained = [...parameters.keys()].map((_, i) => graph.state(`a${i}`, { dtype: "float32", shape: shapeOf([D]) }));
let y = x;
trained.forEach((a, layer) => {
  const stored = model.in(graph, `w${layer}`)!;
  // What is wrong with it: W is a value of the graph that the backward pass reads too.
  const product = kept === "kept" ? matmul(y, stored.value(), { transB: true }) : stored.multiply(y, false);
  y = tanh(add(mul(product, a), y));
});
const gradients = grad(reduceSum(y), trained);
gradients.forEach((gradient, i) => graph.output(`g${i}`, gradient));
const executable = await device.compile(graph, { frozen: [...model.states], typicalSizes: { B: 8 } });
await resetPeak();
const before = process.memoryUsage().rss;
await executable.run({ x: noise([8, D], 2) });
console.log((await peakBytes()) - before);
await device.dispose();
await rm(dir, { recursive: true });
