/** Rotations against transformers, from the settings to the tables: golden/make/rope.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { readRope } from "../../src/models/rope-settings.ts";
import { inverseFrequencies, rotate, rotationTables } from "../../src/nn/rope.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { assertClose } from "../support/close.ts";

interface Case {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly positions: readonly number[];
  readonly frequencies: readonly number[];
  readonly cos: readonly number[];
  readonly sin: readonly number[];
}

const file = new URL("../../../golden/rope.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: readonly Case[] };
const HEAD_DIM = 16;

/** Spacing of float32 numbers, relative to their size: torch's vectorised power is now and then off by one. */
const ULP = 2 ** -23;

suite("tables as in transformers", () => {
  for (const golden of cases) {
    test(golden.name, () => {
      const problems: string[] = [];
      const settings = readRope(golden.config, 10_000, (what) => problems.push(what));
      assert.deepEqual(problems, []);
      const rope = { ...settings, headDim: (golden.config["head_dim"] as number | undefined) ?? HEAD_DIM };
      const length = Math.max(...golden.positions) + 1;
      assertClose(inverseFrequencies(rope, length), golden.frequencies, { relative: ULP }, "frequencies");
      const { cos, sin } = rotationTables(rope, golden.positions);
      // An error of one unit in a frequency is multiplied by the position.
      const absolute = ULP * Math.max(2, ...golden.positions);
      assertClose(cos, golden.cos, { absolute }, "cos");
      assertClose(sin, golden.sin, { absolute }, "sin");
    });
  }

  test("the files' frequencies are met to the last bit, but for few", () => {
    let [equal, all] = [0, 0];
    for (const { config, positions, frequencies } of cases) {
      const headDim = (config["head_dim"] as number | undefined) ?? HEAD_DIM;
      const rope = { ...readRope(config, 10_000, assert.fail), headDim };
      inverseFrequencies(rope, Math.max(...positions) + 1).forEach((frequency, i) => {
        equal += Number(frequency === frequencies[i]);
        all += 1;
      });
    }
    assert.ok(equal / all > 0.9, `${equal} of ${all}`);
  });
});

suite("settings", () => {
  const problemsOf = (config: Readonly<Record<string, unknown>>) => {
    const problems: string[] = [];
    readRope(config, 10_000, (what) => problems.push(what));
    return problems;
  };

  test("a scaling that is not supported is refused by name", () => {
    const [problem, ...others] = problemsOf({ rope_scaling: { rope_type: "longrope", factor: 2 } });
    assert.deepEqual(others, []);
    assert.match(problem!, /^rope_scaling\.rope_type is "longrope": supported are "default", "linear"/);
  });

  test("everything that is wrong is said at once", () => {
    const llama3 = { rope_type: "llama3", factor: "8", low_freq_factor: 1 };
    assert.deepEqual(problemsOf({ rope_parameters: llama3, partial_rotary_factor: 0.5 }), [
      "partial_rotary_factor is not 1: rotations of a part of a head are not supported",
      'rope_parameters.factor is "8": expected a number',
      "rope_parameters.high_freq_factor is missing",
    ]);
    assert.match(problemsOf({ rope_scaling: "linear" })[0]!, /expected an object/);
    assert.match(problemsOf({ rope_parameters: { full_attention: { rope_theta: 1 } } })[0]!, /differ between layers/);
    assert.match(problemsOf({ rope_scaling: { mrope_section: [1, 2] } })[0]!, /mrope_section/);
  });

  test("rope_scaling goes before rope_parameters, a theta of its own before the model's", () => {
    const config = {
      rope_theta: 7,
      rope_parameters: { rope_type: "linear", factor: 2 },
      rope_scaling: { rope_type: "linear", factor: 3, rope_theta: 11 },
    };
    assert.deepEqual(readRope(config, 5, assert.fail), { theta: 11, scaling: { type: "linear", factor: 3 } });
    assert.deepEqual(readRope({ ...config, rope_scaling: null }, 5, assert.fail), {
      theta: 7,
      scaling: { type: "linear", factor: 2 },
    });
    assert.deepEqual(readRope({}, 5, assert.fail), { theta: 5 });
  });

  test("an odd head cannot be rotated", () => {
    assert.throws(() => inverseFrequencies({ theta: 10_000, headDim: 7 }), ConfigError);
  });
});

test("rotate turns element i of a head together with element i + Dh / 2", () => {
  const graph = new Graph();
  const feed = (name: string, shape: readonly number[]) =>
    graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
  const rotation = { cos: feed("cos", [1, 1, 2, 2]), sin: feed("sin", [1, 1, 2, 2]) };
  graph.output("y", rotate(feed("x", [1, 1, 2, 4]), rotation));
  const angles = [0.3, 1.1, -0.7, 2.5];
  const x = [1, 2, 3, 4, 5, 6, 7, 8];
  const { outputs } = interpret(graph, {
    x: ndarray([1, 1, 2, 4], x),
    cos: ndarray([1, 1, 2, 2], angles.map(Math.cos)),
    sin: ndarray([1, 1, 2, 2], angles.map(Math.sin)),
  });
  const expected = [0, 1].flatMap((token) => {
    const head = x.slice(4 * token, 4 * token + 4);
    const angle = (i: number) => angles[2 * token + (i % 2)]!;
    // transformers: x · cos + rotate_half(x) · sin, with rotate_half = (-x₂, x₁).
    const half = [-head[2]!, -head[3]!, head[0]!, head[1]!];
    return head.map((value, i) => value * Math.cos(angle(i)) + half[i]! * Math.sin(angle(i)));
  });
  assertClose(outputs["y"]!.data, expected, { absolute: 1e-15 }, "rotated");
});
