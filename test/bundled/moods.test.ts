import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { moodFiles } from "../../scripts/bundled/mood-files.ts";

test("the committed texts with moods are what the script makes, half of each class", () => {
  const folder = new URL("../../../bundled/", import.meta.url);
  for (const [name, text] of Object.entries(moodFiles())) {
    assert.equal(readFileSync(new URL(name, folder), "utf8"), text, name);
    const labels = text
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { label: string }).label);
    assert.equal(labels.filter((label) => label === "good").length * 2, labels.length);
  }
});
