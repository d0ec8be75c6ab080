/** Every method of the registry keeps the contract: one that is added without its cases does not compile. */
import { METHODS, type MethodName } from "../../src/adapters/index.ts";
import type { Method } from "../../src/adapters/method.ts";
import { describeMethod, type MethodCase, type MethodFacts } from "../../src/testing/describe-method.ts";
import { loraCases, loraFacts } from "./lora-contract.ts";

type ConfigOf<Name extends MethodName> = (typeof METHODS)[Name] extends Method<infer C> ? C : never;
type Contract<C> = readonly [cases: readonly MethodCase<C>[], facts: MethodFacts<C>];

const CONTRACTS: { readonly [Name in MethodName]: Contract<ConfigOf<Name>> } = {
  lora: [loraCases, loraFacts],
};

for (const name of Object.keys(METHODS) as MethodName[]) describeMethod(METHODS[name], ...CONTRACTS[name]);
