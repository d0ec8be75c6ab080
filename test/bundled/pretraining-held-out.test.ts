/** The text that forgetting is measured on comes from the generator of the pretraining text, with a seed of its own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { documents } from "../../scripts/bundled/documents.ts";

test("the committed file is what the generator writes for seed 2", () => {
  const path = fileURLToPath(new URL("../../../bundled/pretraining-held-out.jsonl", import.meta.url));
  const lines = [...documents(2, 0.04e6)].map((text) => `${JSON.stringify({ text })}\n`);
  assert.equal(readFileSync(path, "utf8"), lines.join(""));
});
