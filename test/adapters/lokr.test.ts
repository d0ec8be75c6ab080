/** LoKr: the contract of methods, and PEFT's files and numbers. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import { factorization, lokr, type LokrConfig } from "../../src/adapters/lokr.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { describeMethod, type MethodCase, type MethodFacts } from "../../src/testing/describe-method.ts";
import { describePeftCase } from "../../src/testing/describe-peft-case.ts";
import { lossOf, mlpRig, tokenRig, tracingOf } from "../../src/testing/method-rig.ts";
import { itComputesOnConvolutions } from "./conv-case.ts";
import { itDropsAsItSays } from "./lycoris-dropout.ts";

/** Sizes of the test models, factored near the square root by hand. */
const NEAR: Readonly<Record<number, readonly [number, number]>> = {
  3: [1, 3],
  4: [2, 2],
  5: [1, 5],
  6: [2, 3],
  7: [1, 7],
  11: [1, 11],
  150: [10, 15],
};

const facts: MethodFacts<LokrConfig> = {
  elements: (layer, { r, decomposeBoth, decomposeFactor, useEffectiveConv2d }) => {
    const groups = layer.kind === "conv2d" ? (layer.options.groups ?? 1) : 1;
    const cells = layer.kind === "conv2d" ? layer.kernel[0] * layer.kernel[1] : 1;
    const split = (n: number) =>
      decomposeFactor > 0 && n % decomposeFactor === 0 ? [decomposeFactor, n / decomposeFactor] : NEAR[n]!;
    const [a, b] = split(layer.outFeatures);
    const [c, d] = split(layer.inFeatures / groups);
    const left = decomposeBoth && 2 * r < Math.max(a, c) ? r * (a + c) : a * c;
    if (2 * r >= Math.max(b, d)) return left + b * d * cells;
    if (useEffectiveConv2d && layer.kind === "conv2d") return left + r * (r * cells + b + d);
    return left + r * (b + d * cells);
  },
  notInFile: [],
  golden: [],
  models: ["mlp", "conv"],
  leaves: 0.7,
};

const base = { r: 2, alpha: 7 };
const cases: readonly MethodCase<LokrConfig>[] = [
  { name: "near the square root", config: base },
  { name: "factor 5", config: { ...base, decomposeFactor: 5 }, models: ["conv"] },
  { name: "everything decomposed", config: { r: 1, alpha: 3, decomposeBoth: true } },
  { name: "whole matrices", config: { r: 9, alpha: 4 }, models: ["mlp"] },
  { name: "kernels apart", config: { r: 1, alpha: 3, useEffectiveConv2d: true }, models: ["conv"] },
  { name: "LyCORIS' start", config: { ...base, init: "lycoris" } },
  { name: "dropped outputs", config: { ...base, rankDropout: 0.3 } },
  {
    name: "dropped and scaled outputs",
    config: { ...base, rankDropout: 0.3, rankDropoutScale: true },
    models: ["mlp"],
  },
  {
    name: "ranks and scales of its own on a layer",
    config: { ...base, rankPattern: { ".*1|[ab]": 1 }, alphaPattern: { "fc.?|[ab]": 5 } },
  },
];
describeMethod(lokr, cases, facts);

const several = ["down_proj", "q_proj", "up_proj", "v_proj"];
const goldens: Readonly<Record<string, Partial<LokrConfig>>> = {
  lokr: { r: 2, alpha: 5 },
  "lokr-whole": { r: 4, alpha: 10 },
  "lokr-both": { r: 1, alpha: 2.5, decomposeBoth: true },
  "lokr-factor-4": { r: 3, alpha: 7, decomposeFactor: 4 },
  "lokr-factor-2": { r: 4, alpha: 10, decomposeFactor: 2 },
};
for (const [folder, config] of Object.entries(goldens)) {
  describePeftCase(lokr, { folder, attach: { config, targetModules: several } });
}
describePeftCase(lokr, {
  folder: "lokr-patterns",
  attach: {
    config: {
      r: 2,
      alpha: 5,
      rankPattern: { v_proj: 1, "layers\\.1\\.mlp\\.up_proj": 3 },
      alphaPattern: { down_proj: 7 },
    },
    targetModules: several.filter((name) => name !== "q_proj"),
  },
});
itComputesOnConvolutions("lokr");
itComputesOnConvolutions("lokr-whole");
itComputesOnConvolutions("lokr-effective");
itDropsAsItSays(lokr, { r: 2, alpha: 7 }, { rescaled: false });
itDropsAsItSays(lokr, { r: 2, alpha: 7, rankDropoutScale: true }, { rescaled: true });

it("splits sizes as PEFT does", () => {
  const file = new URL("../../../golden/peft-methods/lokr-factorization.json", import.meta.url);
  const table = Object.values(JSON.parse(readFileSync(file, "utf8")) as Record<string, readonly number[][]>)[0]!;
  assert.ok(table.length > 100);
  for (const [size, factor, m, n] of table) {
    assert.deepEqual(factorization(size!, factor!), [m, n], `${size}, factor ${factor}`);
  }
});

it("never makes a weight's worth of update on linear layers", () => {
  const rig = mlpRig();
  const adapter = attach(rig.model, lokr, { config: { r: 1, alpha: 3 } });
  const graph = new Graph();
  const loss = lossOf({ ...tracingOf(graph), training: true, adapt: adapterHook([adapter]) }, rig);
  const factors = adapter.parameters.map(({ name }) => graph.inputs.find(({ value }) => value.name === name)!.value);
  grad(loss, factors);
  const sizes = new Set(
    rig.model.layers.flatMap(({ inFeatures, outFeatures }) => [
      `${outFeatures},${inFeatures}`,
      `${inFeatures},${outFeatures}`,
    ]),
  );
  const large = graph.nodes.filter(({ outputs }) =>
    outputs.some(({ type }) => sizes.has(type.shape.map(({ size }) => size).join())),
  );
  assert.deepEqual(
    large.map(({ op }) => op.name),
    [],
  );
});

it("refuses what PEFT has no LoKr for, by name", () => {
  const on = (target: string) => () => attach(tokenRig().model, lokr, { targetModules: [target] });
  assert.throws(on("embed"), /embed: LoKr is not defined on an embedding/);
  assert.throws(on("fc1"), /fc1: LoKr is not defined on a weight that is stored as \[in, out\]/);
});
