/** Runs a compiled script of the repository in a temporary folder with the given files. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface ScriptRun {
  status: number | null;
  /** Lines of the standard output. */
  lines: string[];
  /** What `inspect` returned. */
  found: unknown;
}

/**
 * @param script name of the script, such as `test`
 * @param files text by path, from the root of the folder
 * @param inspect called with the folder after the run, before it is removed
 */
export function runScript(
  script: string,
  files: Record<string, string>,
  options: { args?: string[]; env?: Record<string, string>; inspect?: (folder: string) => unknown } = {},
): ScriptRun {
  const folder = mkdtempSync(join(tmpdir(), "lowrank-scripts-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const entry = fileURLToPath(new URL(`../../scripts/${script}.js`, import.meta.url));
    // With NODE_TEST_CONTEXT set, a runner inside a test would take itself for a part of that test.
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const { status, stdout } = spawnSync(process.execPath, [entry, ...(options.args ?? [])], {
      cwd: folder,
      encoding: "utf8",
      env: { ...environment, NO_COLOR: "1", ...options.env },
    });
    return { status, lines: stdout.trimEnd().split("\n"), found: options.inspect?.(folder) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
