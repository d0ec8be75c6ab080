/** LoRA keeps the contract; and every method of the registry has a test of its own that says so. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { it } from "node:test";
import { METHODS } from "../../src/adapters/index.ts";
import { lora } from "../../src/adapters/lora.ts";
import { describeMethod } from "../../src/testing/describe-method.ts";
import { loraCases, loraFacts } from "./lora-contract.ts";

describeMethod(lora, loraCases, loraFacts);

/** A method that knows nothing of gates keeps the contract too. */
const { gated: _gated, ...ungated } = lora;
describeMethod(ungated, [{ name: "without gates of its own", config: { r: 2, alpha: 3 } }], {
  ...loraFacts,
  golden: [],
});

it("has a test for every method", () => {
  const files = new Set(readdirSync(new URL(".", import.meta.url)));
  const missing = METHODS.filter(({ name }) => !files.has(`${name}.test.js`));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});
