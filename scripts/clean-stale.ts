/**
 * Removes from `dist/` what the compiler wrote for a source file that is gone, so that no deleted test runs and no
 * deleted module can be imported or published.
 */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** `a.js`, `a.d.ts` and their source maps all come from `a.ts`. */
const OUTPUT = /\.(js|d\.ts)(\.map)?$/;

for (const name of readdirSync("dist", { recursive: true, encoding: "utf8" })) {
  if (OUTPUT.test(name) && !existsSync(name.replace(OUTPUT, ".ts"))) rmSync(join("dist", name));
}
