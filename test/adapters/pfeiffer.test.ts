/** Pfeiffer adapters: the contract of methods, torch's numbers, and where they go. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { pfeiffer } from "../../src/adapters/bottleneck.ts";
import { countElements } from "../../src/nn/module.ts";
import { describeBottleneck, gpt3 } from "./bottleneck-contract.ts";

describeBottleneck(pfeiffer);

it("is behind the feed-forward layer of every block, and has half of Houlsby's parameters", () => {
  const adapter = attach(gpt3(), pfeiffer, { config: { bottleneckSize: 16 } });
  assert.deepEqual(
    adapter.targets.map(({ layer }) => layer.name),
    Array.from({ length: 96 }, (_, i) => `transformer.h.${i}.mlp.c_proj`),
  );
  assert.equal(countElements(adapter.parameters), 77_859_840 / 2);
});
