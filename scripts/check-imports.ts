/**
 * `node dist/scripts/check-imports.js [ROOT]`: do imports go one way?
 *
 * Prints each violation as `file:line: what` and exits with status 1 if there is one:
 * an import against the table below; a Node built-in or a package where the code must run anywhere; a cycle of files;
 * a default export; a file called `utils.ts`.
 */

import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, posix, sep } from "node:path";
import { scanImports, type Import } from "./import-scan.ts";

const CORE = ["errors", "half", "ir"];
const TO_TRAIN = [
  ...[...CORE, "onnx", "formats/safetensors", "runtime", "nn", "models", "adapters", "quant", "optim"],
  ...["data", "figures", "train"],
];
const ALL = ["*"];

/**
 * Each part of the repository and the parts that it may import, besides itself. The most specific part owns a file:
 * `src/ir/op.ts` belongs to `ir`, `src/formats/safetensors/header.ts` to `formats/safetensors`. `*` is every part of
 * `src`; nothing in `src` may import `test`, `bench` or `scripts`.
 */
const MAY_IMPORT: Record<string, string[]> = {
  errors: [],
  half: [],
  ir: ["errors", "half"],
  onnx: CORE,
  "formats/safetensors": ["errors", "half"],
  runtime: [...CORE, "onnx", "formats/safetensors"],
  nn: CORE,
  models: [...CORE, "nn"],
  adapters: [...CORE, "nn"],
  quant: [...CORE, "nn"],
  optim: CORE,
  data: ["errors", "formats/safetensors"],
  figures: ["errors"],
  train: TO_TRAIN.filter((part) => part !== "figures"),
  analysis: TO_TRAIN,
  formats: TO_TRAIN,
  cli: ALL,
  server: ALL,
  testing: ALL,
  index: ALL,
  test: [...ALL, "bench", "scripts"],
  bench: ALL,
  scripts: ALL,
};

/** Reached from the outside only: no other part of `src` may import these, whatever its row says, but `cli` may serve. */
const OUTERMOST = ["cli", "server", "testing", "index"];
const OUTERMOST_EXCEPTIONS: Record<string, string[]> = {
  cli: ["server", "index"],
  server: ["index"],
  index: ["server"],
};

/** These run in a browser too: no Node built-in and no package at all. */
const ANYWHERE = ["errors", "half", "ir", "onnx", "nn", "models", "adapters", "quant", "optim"];
/** In `runtime`, only these may use Node and packages that need it. */
const NODE_FILE = /-node\.ts$|^src\/runtime\/node\//;
const NODE_PACKAGES = ["onnxruntime-node"];

const ROOT_FOLDERS = ["src", "test", "bench", "scripts"];

interface Violation {
  file: string;
  line: number;
  what: string;
}

interface Edge {
  to: string;
  line: number;
}

function check(root: string): Violation[] {
  const files = new Set(ROOT_FOLDERS.flatMap((folder) => listSources(root, folder)));
  const violations: Violation[] = [];
  const edges = new Map<string, Edge[]>();
  for (const file of files) {
    const { imports, defaultExports } = scanImports(readFileSync(join(root, file), "utf8"));
    const report = (line: number, what: string): void => void violations.push({ file, line, what });

    if (posix.basename(file) === "utils.ts") report(1, "a file is named after its subject, not utils.ts");
    for (const line of defaultExports) report(line, "no default exports: export it by its name");
    const part = partOf(file);
    if (part === undefined) {
      report(1, "this folder has no row in MAY_IMPORT of scripts/check-imports.ts");
      continue;
    }
    for (const found of imports) {
      if (!found.specifier.startsWith(".")) {
        const complaint = complainAboutPackage(file, part, found.specifier);
        if (complaint !== undefined) report(found.line, complaint);
        continue;
      }
      const to = posix.join(posix.dirname(file), found.specifier);
      if (!files.has(to)) {
        report(found.line, `"${found.specifier}" is not a file of the repository`);
        continue;
      }
      const toPart = partOf(to);
      if (toPart !== undefined && !mayImport(part, toPart))
        report(found.line, `${part} may not import ${toPart} (${to})`);
      // Types are gone when the program runs, and a dynamic import waits: neither makes a file load before it is ready.
      if (found.kind === "value") edges.set(file, [...(edges.get(file) ?? []), { to, line: found.line }]);
    }
  }
  return [...violations, ...findCycles(edges)].toSorted((a, b) => a.file.localeCompare(b.file) || a.line - b.line);
}

function listSources(root: string, folder: string): string[] {
  try {
    return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `${folder}/${name.replaceAll(sep, "/")}`);
  } catch {
    return [];
  }
}

/** The row of the table that a file belongs to. */
function partOf(file: string): string | undefined {
  let path = file.replace(/^src\//, "").replace(/\.ts$/, "");
  while (path !== "." && !(path in MAY_IMPORT)) path = posix.dirname(path);
  return path === "." ? undefined : path;
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  const isOutside = ["test", "bench", "scripts"].includes(from);
  if (!isOutside && OUTERMOST.includes(to)) return OUTERMOST_EXCEPTIONS[from]?.includes(to) ?? false;
  const allowed = MAY_IMPORT[from] ?? [];
  return allowed.includes(to) || (allowed.includes("*") && !["test", "bench", "scripts"].includes(to));
}

function complainAboutPackage(file: string, part: string, specifier: string): string | undefined {
  if (ANYWHERE.includes(part)) return `${part} runs anywhere and may not import "${specifier}"`;
  const needsNode = isBuiltin(specifier) || NODE_PACKAGES.includes(specifier);
  if (part !== "runtime" || !needsNode || NODE_FILE.test(file)) return undefined;
  return `only runtime/node/ and *-node.ts may import "${specifier}" here`;
}

/** One violation for each import that closes a cycle, found depth first. */
function findCycles(edges: Map<string, Edge[]>): Violation[] {
  const violations: Violation[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    trail.push(file);
    for (const { to, line } of edges.get(file) ?? []) {
      const start = trail.indexOf(to);
      if (start >= 0)
        violations.push({ file, line, what: `import cycle: ${[...trail.slice(start), to].join(" -> ")}` });
      else if (!done.has(to)) visit(to);
    }
    trail.pop();
    done.add(file);
  };
  for (const file of [...edges.keys()].toSorted()) if (!done.has(file)) visit(file);
  return violations;
}

const violations = check(process.argv[2] ?? ".");
for (const { file, line, what } of violations) console.log(`${file}:${line}: ${what}`);
if (violations.length > 0) {
  console.log(`${violations.length} violation${violations.length === 1 ? "" : "s"} of the import directions`);
  process.exitCode = 1;
}
