import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runScript } from "./scratch.ts";

test("clean-stale removes what was compiled from a file that is gone, and nothing else", () => {
  const files = ["a.js", "a.js.map", "a.d.ts", "gone.test.js", "gone.test.js.map", "gone.test.d.ts", "weights.bin"];
  const { status, found } = runScript(
    "clean-stale",
    { "src/a.ts": "", ...Object.fromEntries(files.map((name) => [`dist/src/${name}`, ""])) },
    { inspect: (folder) => readdirSync(join(folder, "dist/src")).toSorted() },
  );
  assert.equal(status, 0);
  assert.deepEqual(found, ["a.d.ts", "a.js", "a.js.map", "weights.bin"]);
});
