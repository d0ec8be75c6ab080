/** Houlsby adapters: the contract of methods, torch's numbers, and the published counts. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { houlsby } from "../../src/adapters/bottleneck.ts";
import { countElements } from "../../src/nn/module.ts";
import { describeBottleneck, gpt3 } from "./bottleneck-contract.ts";

describeBottleneck(houlsby);

it("has as many parameters as Hu et al. 2021 count for AdapterH on GPT-3 (Table 15)", () => {
  const model = gpt3();
  const counts = new Map([
    [1, 7_078_080],
    [4, 21_234_432],
    [8, 40_109_568],
    [16, 77_859_840],
    [64, 304_361_472],
  ]);
  for (const [r, count] of counts) {
    const adapter = attach(model, houlsby, { config: { bottleneckSize: r } });
    assert.equal(countElements(adapter.parameters), count);
    assert.equal(adapter.targets.length, 2 * 96);
  }
});
