/** package.json, what the sources import, and docs/dependencies.md name the same packages. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { scanImports } from "../scripts/import-scan.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
  "dependencies" | "devDependencies",
  Record<string, string>
>;

/** Packages that the sources of a folder import, or find the files of. */
function packagesOf(folder: string): Set<string> {
  const sources = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  return new Set(
    sources.flatMap((name) => {
      const source = read(join(folder, name));
      const resolved = [...source.matchAll(/import\.meta\.resolve\([`"]([^`"$]+)/g)].map(([, path]) => path!);
      return [...scanImports(source).imports.map(({ specifier }) => specifier), ...resolved]
        .filter((specifier) => !specifier.startsWith(".") && !isBuiltin(specifier))
        .map((specifier) => /^(@[^/]+\/)?[^/]+/.exec(specifier)![0]);
    }),
  );
}

test("the package depends on what its sources import, and on nothing else", () => {
  assert.deepEqual([...packagesOf("src")].toSorted(), Object.keys(dependencies).toSorted());
});

test("scripts and benchmarks import nothing that is not there", () => {
  const known = new Set([...Object.keys(dependencies), ...Object.keys(devDependencies)]);
  const unknown = ["scripts", "bench"].flatMap((folder) => [...packagesOf(folder)].filter((name) => !known.has(name)));
  assert.deepEqual(unknown, []);
});

test("docs/dependencies.md says why of each", () => {
  const [runtime, development] = read("docs/dependencies.md").split("For development:");
  const named = (text: string) => [...text.matchAll(/^\| `([^`]+)` +\| +\S/gm)].map(([, name]) => name!);
  assert.deepEqual(named(runtime!).toSorted(), Object.keys(dependencies).toSorted());
  assert.deepEqual(named(development!).toSorted(), Object.keys(devDependencies).toSorted());
});
