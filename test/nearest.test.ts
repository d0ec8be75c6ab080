/** What a misspelt name may have meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { distance, nearest } from "../src/nearest.ts";

test("counts edits", () => {
  assert.equal(distance("kitten", "sitting"), 3);
  assert.equal(distance("", "abc"), 3);
});

test("the fewest edits win, and the first of several; without names there is none", () => {
  assert.equal(nearest("q_prj", ["k_proj", "q_proj", "q_proh"]), "q_proj");
  assert.equal(nearest("q_prj", []), undefined);
});
