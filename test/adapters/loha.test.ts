/** LoHa: the contract of methods, and PEFT's files and numbers. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import { loha, type LohaConfig } from "../../src/adapters/loha.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { describePeftCase } from "../../src/testing/describe-peft-case.ts";
import { lossOf, mlpRig, tokenRig, tracingOf } from "../../src/testing/method-rig.ts";
import { itComputesOnConvolutions } from "./conv-case.ts";
import { itDropsAsItSays } from "./lycoris-dropout.ts";

const facts: MethodFacts<LohaConfig> = {
  elements: (layer, { r, useEffectiveConv2d }) => {
    if (layer.kind !== "conv2d") return 2 * r * (layer.inFeatures + layer.outFeatures);
    const cells = layer.kernel[0] * layer.kernel[1];
    const inputs = layer.inFeatures / (layer.options.groups ?? 1);
    if (useEffectiveConv2d) return 2 * r * (layer.outFeatures + inputs + r * cells);
    return 2 * r * (layer.outFeatures + inputs * cells);
  },
  notInFile: [],
  golden: [],
  models: ["mlp", "conv"],
};

const base = { r: 3, alpha: 7 };
describeMethod(
  loha,
  [
    { name: "linear", config: base },
    { name: "kernels apart", config: { ...base, useEffectiveConv2d: true }, models: ["conv"] },
    { name: "dropped outputs", config: { ...base, rankDropout: 0.3 } },
    {
      name: "ranks and scales of its own on a layer",
      config: { ...base, rankPattern: { ".*1|[ab]": 2 }, alphaPattern: { "fc.?|[ab]": 5 } },
    },
  ],
  facts,
);

const several = ["down_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
const config = { r: 4, alpha: 10 };
describePeftCase(loha, { folder: "loha", attach: { config, targetModules: several } });
describePeftCase(loha, {
  folder: "loha-patterns",
  attach: {
    config: {
      ...config,
      rankPattern: { v_proj: 2, "layers\\.1\\.mlp\\.up_proj": 6 },
      alphaPattern: { down_proj: 7 },
    },
    targetModules: several.filter((name) => name !== "q_proj"),
  },
});
itComputesOnConvolutions("loha");
itComputesOnConvolutions("loha-effective");
itDropsAsItSays(loha, { r: 3, alpha: 7 }, { rescaled: true });

it("keeps nothing of a weight's size for the backward pass", () => {
  const { model, ...rig } = mlpRig();
  const adapter = attach(model, loha, { config: base });
  const graph = new Graph();
  const loss = lossOf({ ...tracingOf(graph), training: true, adapt: adapterHook([adapter]) }, { model, ...rig });
  const factors = adapter.parameters.map(({ name }) => graph.inputs.find(({ value }) => value.name === name)!.value);
  const forward = new Set(graph.nodes);
  grad(loss, factors);
  const sizes = new Set(model.layers.map(({ inFeatures, outFeatures }) => `${outFeatures},${inFeatures}`));
  const large = [...forward].flatMap(({ outputs }) =>
    outputs.filter(({ type }) => sizes.has(type.shape.map(({ size }) => size).join())),
  );
  assert.ok(large.length >= 12, "products, their product and the sum, on three layers");
  const readLater = graph.nodes.filter((node) => !forward.has(node) && node.inputs.some((one) => large.includes(one)));
  assert.deepEqual(
    readLater.map(({ op }) => op.name),
    [],
  );
});

it("refuses what PEFT has no LoHa for, by name", () => {
  const on = (target: string) => () => attach(tokenRig().model, loha, { targetModules: [target] });
  assert.throws(on("embed"), /embed: LoHa is not defined on an embedding/);
  assert.throws(on("fc1"), /fc1: LoHa is not defined on a weight that is stored as \[in, out\]/);
});
