/** Positions stretched to longer rows: what becomes of config.json, as LLaMA-Factory does it, and what it then means. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readRope } from "../../src/models/rope-settings.ts";
import { stretchedPositions } from "../../src/models/stretch-positions.ts";

const old = { max_position_embeddings: 256, rope_theta: 7000 };

test("the factor is the least whole number that the rows fit with", () => {
  for (const [length, factor] of [
    [257, 2],
    [512, 2],
    [513, 3],
    [1000, 4],
  ] as const) {
    const changes = stretchedPositions(old, { type: "linear", length }, "config.json");
    assert.deepEqual(changes, {
      max_position_embeddings: 256 * factor,
      rope_scaling: { rope_type: "linear", factor },
    });
    assert.deepEqual(readRope({ ...old, ...changes }, 1, assert.fail), {
      theta: 7000,
      scaling: { type: "linear", factor },
    });
  }
});

test("rows that fit change nothing, and what was stretched already fits", () => {
  assert.deepEqual(stretchedPositions(old, { type: "linear", length: 256 }, "config.json"), {});
  const once = { ...old, ...stretchedPositions(old, { type: "linear", length: 600 }, "config.json") };
  assert.deepEqual(stretchedPositions(once, { type: "linear", length: 600 }, "config.json"), {});
});

test("the form of transformers 5 keeps its theta", () => {
  const fields = { max_position_embeddings: 100, rope_parameters: { rope_theta: 500, rope_type: "default" } };
  const changes = stretchedPositions(fields, { type: "linear", length: 150 }, "config.json");
  assert.deepEqual(changes, {
    max_position_embeddings: 200,
    rope_parameters: { rope_theta: 500, rope_type: "linear", factor: 2 },
    rope_scaling: null,
  });
  assert.deepEqual(readRope({ ...fields, ...changes }, 1, assert.fail), {
    theta: 500,
    scaling: { type: "linear", factor: 2 },
  });
});

test("yarn and llama3 remember the length before", () => {
  for (const type of ["yarn", "llama3"] as const) {
    const { scaling } = readRope(
      { ...old, ...stretchedPositions(old, { type, length: 512 }, "config.json") },
      1,
      assert.fail,
    );
    assert.deepEqual(
      {
        type: scaling?.type,
        original: (scaling as { originalMaxPositionEmbeddings?: number }).originalMaxPositionEmbeddings,
      },
      { type, original: 256 },
    );
  }
});

test("what cannot be stretched is an error", () => {
  const llama = {
    ...old,
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    },
  };
  assert.throws(
    () => stretchedPositions(llama, { type: "linear", length: 512 }, "config.json"),
    /stretched already.*llama3/s,
  );
  assert.throws(
    () => stretchedPositions({ n_positions: 1024 }, { type: "linear", length: 2048 }, "gpt2"),
    /no rotations.*gpt2/s,
  );
});
