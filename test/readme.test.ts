/** The README's example runs as it stands there. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

test("the example trains a step and prints its loss", () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(`${ROOT}README.md`, "utf8"))![1]!;
  // From inside the package, "lowrank" is the package itself.
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", example], {
    cwd: ROOT,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.ok(Number(stdout) > 0.5 && Number(stdout) < 3, `a loss over three classes: ${stdout}`);
});
