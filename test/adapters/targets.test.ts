/** Which layers `target_modules` names, and what is said when it names none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora.ts";
import { matchTargets, type TargetModules, type TargetOptions } from "../../src/adapters/targets.ts";
import { ConfigError } from "../../src/errors.ts";
import { conv2d } from "../../src/nn/conv2d.ts";
import { embedding } from "../../src/nn/embedding.ts";
import { linear } from "../../src/nn/linear.ts";

const layers = [
  conv2d("stem.conv", 3, 5, [3, 2]).layer,
  ...[0, 1].flatMap((i) => ["q_proj", "v_proj", "mlp.proj"].map((name) => linear(`layers.${i}.${name}`, 7, 11).layer)),
  linear("head.conv", 11, 5).layer,
];

function names(targets: TargetModules): string[] {
  return matchTargets(layers, targets).map(({ name }) => name);
}

describe("target_modules", () => {
  it("all-linear: every linear layer, and no convolution", () => {
    assert.equal(names("all-linear").length, 7);
    assert.ok(!names("all-linear").includes("stem.conv"));
  });

  it("all-linear: neither the model's output nor embeddings, however it is written", () => {
    const model = [
      embedding("embed", 13, 5).layer,
      linear("fc", 5, 7, { fanInFanOut: true }).layer,
      linear("lm_head", 7, 13, { isOutput: true }).layer,
    ];
    for (const targets of ["all-linear", "ALL-Linear"]) {
      assert.deepEqual(
        matchTargets(model, targets).map(({ name }) => name),
        ["fc"],
      );
    }
    assert.deepEqual(
      matchTargets(model, ["lm_head", "embed"]).map(({ name }) => name),
      ["embed", "lm_head"],
    );
  });

  it("a list: whole names, and endings after a dot", () => {
    assert.deepEqual(names(["q_proj"]), ["layers.0.q_proj", "layers.1.q_proj"]);
    assert.deepEqual(names(["proj"]), ["layers.0.mlp.proj", "layers.1.mlp.proj"], "not q_proj: there is no dot");
    assert.deepEqual(names(["layers.1.v_proj", "stem.conv"]), ["stem.conv", "layers.1.v_proj"], "in the model's order");
  });

  it("a string or a regular expression: the whole name", () => {
    assert.deepEqual(names(String.raw`layers\.\d+\.[qv]_proj`).length, 4);
    assert.deepEqual(names(/layers\.0\..*/), ["layers.0.q_proj", "layers.0.v_proj", "layers.0.mlp.proj"]);
    assert.deepEqual(names(/LAYERS\.0\.Q_PROJ/gi), ["layers.0.q_proj"]);
    assert.throws(() => names(/q_proj/), ConfigError, "a part of the name is not enough");
  });

  it("a string is Python's regular expression", () => {
    assert.deepEqual(names(String.raw`(?P<block>layers\.[01])\.[qv]_proj\Z`).length, 4);
    assert.deepEqual(names("^(?!.*mlp).*proj$").length, 4);
  });

  it("a misspelt name gives the nearest one, and all of them are named at once", () => {
    assert.throws(
      () => names(["q_prj", "v_proj", "mlp.prj"]),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /"q_prj"; "mlp.prj" match none of the 8 layers/);
        assert.match(error.message, /the closest name to "q_prj" is "q_proj"/);
        assert.doesNotMatch(error.message, /closest name to "v_proj"/);
        return true;
      },
    );
    assert.throws(() => names(["layers.1.q_prj"]), /closest name to "layers.1.q_prj" is "layers.1.q_proj"/);
  });

  it("a string that is a name and not a pattern is explained", () => {
    assert.throws(() => names("q_proj"), /write \["q_proj"\]/);
    assert.throws(() => names("q_(proj"), /not a regular expression/);
  });
});

describe("what narrows the targets", () => {
  const narrowed = (targets: TargetModules, options: TargetOptions) =>
    matchTargets(layers, targets, options).map(({ name }) => name);

  it("exclude_modules wins: names, endings, patterns, or all-linear", () => {
    assert.deepEqual(narrowed(["q_proj", "v_proj"], { excludeModules: ["layers.0.q_proj"] }).length, 3);
    assert.deepEqual(narrowed(["q_proj", "v_proj"], { excludeModules: ["v_proj"] }).length, 2);
    assert.deepEqual(narrowed("all-linear", { excludeModules: String.raw`.*\.mlp\..*` }).length, 5);
    assert.deepEqual(narrowed(/.*conv/, { excludeModules: "all-linear" }), ["stem.conv"]);
    assert.deepEqual(narrowed("all-linear", { excludeModules: [] }).length, 7);
    assert.throws(
      () => narrowed("all-linear", { excludeModules: ["k_proj"] }),
      /exclude_modules: "k_proj" matches none/,
    );
  });

  it("layers_to_transform counts the first number in a name", () => {
    const nested = (i: number) => linear(`model.layers.${i}.experts.0.up`, 7, 11).layer;
    const model = [nested(0), nested(1), linear("model.up", 7, 11).layer, linear("layers.1.up", 7, 11).layer];
    const inside = (options: TargetOptions) => matchTargets(model, ["up"], options).map(({ name }) => name);
    // As in PEFT something has to come before `layers.1`, unless it is named.
    assert.deepEqual(inside({ layersToTransform: 1 }), ["model.layers.1.experts.0.up"]);
    assert.deepEqual(inside({ layersToTransform: [0, 1] }).length, 2);
    assert.deepEqual(inside({ layersToTransform: [1], layersPattern: "layers" }).length, 2);
    assert.deepEqual(inside({ layersToTransform: [0], layersPattern: ["blocks", "experts"] }).length, 2);
    assert.deepEqual(inside({ layersToTransform: [] }).length, 4);
  });

  it("what it cannot mean is refused", () => {
    assert.throws(() => narrowed("all-linear", { layersToTransform: 0 }), /layers_to_transform: needs a list/);
    assert.throws(() => narrowed(["q_proj"], { layersPattern: "layers" }), /has no effect without layers_to_transform/);
    assert.throws(
      () => narrowed(["q_proj"], { layersToTransform: [0, 7], layersPattern: "layers" }),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /there is no targeted layer in block 7: expected numbers from 0 to 1/);
        return true;
      },
    );
  });
});

describe("target_modules as an adapter keeps them, for its file", () => {
  const kept = (targetModules: TargetModules) =>
    attach({ parameters: [], layers }, lora, { targetModules }).targetModules;

  it("lists and patterns as given", () => {
    assert.deepEqual(kept(["q_proj", "stem.conv"]), ["q_proj", "stem.conv"]);
    assert.equal(kept(String.raw`layers\.0\.q_proj`), String.raw`layers\.0\.q_proj`);
    assert.equal(kept(/layers\.0\.[qv]_proj/), String.raw`layers\.0\.[qv]_proj`);
  });

  it("all-linear, and patterns with flags, as the shortest names that are exact", () => {
    assert.deepEqual(kept("all-linear"), ["q_proj", "v_proj", "proj", "head.conv"]);
    assert.deepEqual(kept(/LAYERS\.\d\.q_proj/i), ["q_proj"]);
    assert.deepEqual(kept(/LAYERS\.0\.q_proj/i), ["layers.0.q_proj"]);
  });
});

it("an adapter's name is a part of its parameters' names: no dots", () => {
  for (const name of ["", "a.b"]) assert.throws(() => attach({ parameters: [], layers }, lora, { name }), ConfigError);
  const [first] = attach({ parameters: [], layers }, lora, {
    name: "mine",
    targetModules: ["layers.0.q_proj"],
  }).parameters;
  assert.equal(first!.name, "layers.0.q_proj.lora_A.mine.weight");
});
