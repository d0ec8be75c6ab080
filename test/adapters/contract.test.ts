/** Every method of the registry keeps the contract: one that is added without its cases does not compile. */
import type { MethodName } from "../../src/adapters/index.ts";
import { lora } from "../../src/adapters/lora.ts";
import { describeMethod } from "../../src/testing/describe-method.ts";
import { loraCases, loraFacts } from "./lora-contract.ts";

const CONTRACTS: Readonly<Record<MethodName, () => void>> = {
  lora: () => describeMethod(lora, loraCases, loraFacts),
};

for (const contract of Object.values(CONTRACTS)) contract();

/** A method that knows nothing of gates keeps the contract too. */
const { gated: _gated, ...ungated } = lora;
describeMethod(ungated, [{ name: "without gates of its own", config: { r: 2, alpha: 3 } }], {
  ...loraFacts,
  golden: [],
});
