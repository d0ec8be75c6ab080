/** Prefix tuning: PEFT's files, numbers and training; the contract of virtual tokens. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { prefixTuning } from "../../src/adapters/prefix-tuning.ts";
import { countElements } from "../../src/nn/module.ts";
import { gpt3 } from "./bottleneck-contract.ts";
import { describeLeftPadded, describePromptCase } from "./prompt-cases.ts";
import { describeVirtualTokens } from "./virtual-contract.ts";

describePromptCase(prefixTuning, { folder: "prefix", config: { numVirtualTokens: 3 } });
describePromptCase(prefixTuning, { folder: "prefix-gpt2", config: { numVirtualTokens: 4 } });
describePromptCase(prefixTuning, {
  folder: "prefix-projection",
  config: { numVirtualTokens: 3, prefixProjection: true, encoderHiddenSize: 7 },
});
for (const folder of ["prefix", "prefix-gpt2", "prefix-qwen3", "prefix-window"]) describeLeftPadded(folder);

describeVirtualTokens({ name: "prefix", config: { peftType: "PREFIX_TUNING", numVirtualTokens: 3 } });
describeVirtualTokens({
  name: "prefix, projected",
  config: { peftType: "PREFIX_TUNING", numVirtualTokens: 3, prefixProjection: true, encoderHiddenSize: 5 },
  isEncoded: true,
});

it("has P · 2 · L · d parameters (Li & Liang 2021, §4.2)", () => {
  const adapter = attach(gpt3(), prefixTuning, { config: { numVirtualTokens: 8 } });
  assert.equal(countElements(adapter.parameters), 8 * 2 * 96 * 12_288);
});
