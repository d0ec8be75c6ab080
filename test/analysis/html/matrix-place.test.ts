import assert from "node:assert/strict";
import { test } from "node:test";
import { placesOf, shortName, slugOf } from "../../../src/analysis/html/matrix-place.ts";

test("a place is the layer and what is left of the name", () => {
  const places = placesOf([
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.11.mlp.up_proj.weight",
    "lm_head.weight",
  ]);
  assert.deepEqual(places, [
    { layer: 0, kind: "mlp.up_proj" },
    { layer: 11, kind: "mlp.up_proj" },
    { layer: undefined, kind: "lm_head" },
  ]);
  assert.deepEqual(places.map(shortName), ["layer 0: mlp.up_proj", "layer 11: mlp.up_proj", "lm_head"]);
});

test("stacks of layers are kept apart, and names that begin with a number have one", () => {
  const kinds = placesOf(["encoder.layers.0.q.weight", "decoder.layers.0.q.weight"]).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["encoder.layers: q", "decoder.layers: q"]);
  assert.deepEqual(
    placesOf(["2.weight", "10.weight"]).map(({ layer }) => layer),
    [2, 10],
  );
  assert.deepEqual(placesOf(["h.1.moe.experts.3.w1.weight"]), [{ layer: 1, kind: "moe.experts.3.w1" }]);
});

test("names of files are plain, and different for names that become the same", () => {
  const names = ["model.a/b.weight", "model.a b.weight", "../../etc", "猫", "x".repeat(300)];
  const slugs = names.map(slugOf);
  assert.equal(new Set(slugs).size, names.length);
  for (const slug of slugs) assert.match(slug, /^m\d{3}-[\w-]{0,70}$/);
});
