/** What a misspelt name may have meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { distance, meant, nearest } from "../src/nearest.ts";

test("counts edits", () => {
  assert.equal(distance("kitten", "sitting"), 3);
  assert.equal(distance("", "abc"), 3);
});

test("the fewest edits win, and the first of several; without names there is none", () => {
  assert.equal(nearest("q_prj", ["k_proj", "q_proj", "q_proh"]), "q_proj");
  assert.equal(nearest("q_prj", []), undefined);
});

test("a name may have been meant if a third of it at most is different", () => {
  assert.equal(meant("intruder", ["rank", "intruders"]), "intruders");
  assert.equal(meant("rnak", ["rank", "intruders"]), undefined);
  assert.equal(meant("nosuch", ["rank", "subspace"]), undefined);
  assert.equal(meant("rank1", ["rank"]), "rank");
  assert.equal(meant("rank", []), undefined);
});
