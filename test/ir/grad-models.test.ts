/** Gradients of whole models: all tensors, element by element, against PyTorch and against central differences. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { grad } from "../../src/ir/grad.ts";
import type { NdArray } from "../../src/ir/ndarray.ts";
import type { DimLike } from "../../src/ir/shape.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { assertClose } from "../support/close.ts";
import { GOLDEN_MODELS, goldenArrays, type GoldenModel, goldenTensors, traceGolden } from "../support/golden-models.ts";
import { noise, runGraph } from "../support/run.ts";

/** Sizes that the engine is told by name only. */
const NAMED: Readonly<Record<string, Readonly<Record<string, readonly DimLike[]>>>> = {
  mlp: { x: ["B", 5], labels: ["B"] },
  attention_block: { x: ["B", "T", 7], target: ["B", "T", 7] },
  tied_embeddings: { tokens: ["B", 4], labels: ["4*B"] },
};

describe("gradients of whole models", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 1 });
  });
  after(() => device.dispose());

  for (const golden of GOLDEN_MODELS) {
    test(`${golden.name}: the interpreter's are PyTorch's`, () => {
      const { graph, names } = differentiated(golden, {});
      assert.deepEqual(names.toSorted(), Object.keys(golden.parameters).toSorted());
      const { outputs } = interpret(graph, goldenArrays(golden));
      // Both in float64, summed in another order. A bias of keys has no effect on softmax: 0 up to rounding.
      assertClose(outputs["loss"]!.data, [golden.loss], { relative: 1e-10 }, "loss");
      for (const name of names) {
        assertClose(
          outputs[name]!.data,
          golden.parameters[name]!.gradient,
          { ofLargest: 1e-10, absolute: 1e-15 },
          name,
        );
      }
    });

    for (const sizes of [{}, NAMED[golden.name]]) {
      if (sizes === undefined) continue;
      const known = Object.keys(sizes).length === 0 ? "" : ", with sizes known by name only";
      test(`${golden.name}: the engine's are PyTorch's${known}`, async () => {
        const { graph, names } = differentiated(golden, sizes);
        const { feeds, states } = goldenTensors(golden);
        const { results } = await runGraph(device, graph, states, [feeds]);
        // float32 has 7 digits; a gradient has gone through a few dozen operations, some of which subtract what is nearly
        // equal (normalisation, softmax).
        assertClose(results[0]!["loss"]!.data, [golden.loss], { relative: 1e-5 }, "loss");
        for (const name of names) {
          const allowed = { relative: 1e-4, ofLargest: 1e-5, absolute: 1e-7 };
          assertClose(results[0]![name]!.data, golden.parameters[name]!.gradient, allowed, name);
        }
      });
    }

    test(`${golden.name}: the interpreter's are central differences`, () => {
      const { graph, names } = differentiated(golden, {});
      const arrays = goldenArrays(golden);
      const { outputs } = interpret(graph, arrays);
      const lossAt = (moved: Readonly<Record<string, NdArray>>) =>
        interpret(graph, { ...arrays, ...moved }).outputs["loss"]!.data[0]!;
      names.forEach((name, i) => {
        const { shape, data } = arrays[name]!;
        const direction = Float64Array.from(noise(shape, i).data as Float32Array);
        const at = (h: number) =>
          lossAt({ [name]: { shape, data: data.map((value, k) => value + h * direction[k]!) } });
        // Fourth order: the error is about h⁴, and 1e-16 / h from rounding.
        const h = 2e-4;
        const difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
        const slope = outputs[name]!.data.reduce((sum, value, k) => sum + value * direction[k]!, 0);
        assertClose([slope], [difference], { relative: 1e-7, absolute: 1e-10 }, name);
      });
    });
  }
});

/** Loss and gradients of all parameters as outputs. */
function differentiated(golden: GoldenModel, sizes: Readonly<Record<string, readonly DimLike[]>>) {
  const { graph, loss, parameters } = traceGolden(golden, sizes);
  graph.output("loss", loss);
  const names = [...parameters.keys()];
  grad(loss, [...parameters.values()]).forEach((gradient, i) => graph.output(names[i]!, gradient));
  return { graph, names };
}
