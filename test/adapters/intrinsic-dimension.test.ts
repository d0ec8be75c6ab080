/** Intrinsic dimension: the contract of methods, and what the random matrix is. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { intrinsicDimension, type IntrinsicDimensionConfig } from "../../src/adapters/intrinsic-dimension.ts";
import { merge, unmerge } from "../../src/adapters/merge.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { mlpRig, readAll, scatterParameters, tokenRig } from "../../src/testing/method-rig.ts";

const facts: MethodFacts<IntrinsicDimensionConfig> = {
  elements: () => 0,
  sharedElements: ({ d }) => d,
  notInFile: [],
  golden: [],
  ownNumbers: true,
  leaves: 0.9,
};

describeMethod(
  intrinsicDimension,
  [
    { name: "fewer columns than a weight has elements", config: { d: 23, seed: 5 } },
    { name: "more columns than a weight has elements", config: { d: 90 }, models: ["mlp"] },
  ],
  facts,
);

/** P, column by column: what z = e_h adds to every weight of the adapted layers. */
async function columnsOf(d: number, targetModules: readonly string[], seed = 0): Promise<number[][]> {
  const device = interpDevice();
  const { model } = mlpRig();
  await scatterParameters(device, model.parameters);
  for (const { name, shape } of model.parameters) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    await device.write(name, { dtype: "float32", shape, data });
  }
  const adapter = attach(model, intrinsicDimension, { targetModules, config: { d, seed } });
  await initializeAdapter(device, adapter, 1);
  const columns: number[][] = [];
  for (let h = 0; h < d; h++) {
    await device.write("z.default", {
      dtype: "float32",
      shape: [d],
      data: Float32Array.from({ length: d }, (_, i) => (i === h ? 1 : 0)),
    });
    const merged = await merge(device, adapter);
    const all = [...(await readAll(device, model.parameters)).values()];
    columns.push(all.flatMap(({ data }) => Array.from(data, Number)));
    await unmerge(device, merged);
  }
  return columns;
}

for (const d of [7, 40, 100]) {
  it(`is isometric, to rounding: d = ${d}`, async () => {
    const columns = await columnsOf(d, ["fc1", "fc2", "fc3"]);
    for (const [i, a] of columns.entries()) {
      for (const [j, b] of columns.entries()) {
        const product = a.reduce((sum, value, k) => sum + value * b[k]!, 0);
        // With more columns than the largest weight has elements, some have none.
        const length = i === j && (d <= 77 || a.some((value) => value !== 0)) ? 1 : 0;
        assert.ok(Math.abs(product - length) < 1e-6, `columns ${i} and ${j}: ${product}`);
      }
    }
    // 7·11 + 11·6 + 6·5 weights, each in one column.
    assert.equal(columns.flat().filter((value) => value !== 0).length, 173);
  });
}

it("is another one for another seed and in every layer, and its signs are even", async () => {
  const [one, two] = [(await columnsOf(5, ["fc1", "fc2"])).flat(), (await columnsOf(5, ["fc1", "fc2"], 1)).flat()];
  assert.notDeepEqual(one, two);
  const positive = one.filter((value) => value > 0).length;
  const all = one.filter((value) => value !== 0).length;
  // 143 signs: four standard deviations.
  assert.ok(Math.abs(positive - all / 2) < 24, `${positive} of ${all}`);
});

it("refuses what its random numbers cannot tell apart", () => {
  const on = (config: Partial<IntrinsicDimensionConfig>) => () =>
    attach(tokenRig().model, intrinsicDimension, { config });
  assert.throws(on({ d: 2 ** 23 + 1 }), /intrinsic-dimension: d is 8388609, more than 8388608/);
  assert.throws(on({ seed: 2 ** 31 }), /seed is 2147483648, more than 2147483647/);
});
