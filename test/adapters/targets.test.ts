/** Which layers `target_modules` names, and what is said when it names none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora.ts";
import { matchTargets, type TargetModules } from "../../src/adapters/targets.ts";
import { ConfigError } from "../../src/errors.ts";
import { conv2d } from "../../src/nn/conv2d.ts";
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
