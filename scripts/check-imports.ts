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
import { scanImports } from "./import-scan.ts";

/** Leaves that hold no knowledge of graphs. */
const LEAVES = ["errors", "half", "random", "nearest"];
const CORE = [...LEAVES, "ir"];
const DEVICES = ["onnx", "formats/safetensors", "runtime"];
const BELOW_TRAIN = [...DEVICES, "linear-algebra", "nn", "parameters", "models", "adapters", "quant", "optim", "data"];
const FORMATS = ["formats", "formats/tensorboard"];
const LIBRARY = [...CORE, ...BELOW_TRAIN, ...FORMATS, "config", "hub", "lm", "train", "figures", "analysis"];
const EVERYTHING = [...LIBRARY, "experiments", "cli", "server", "testing", "index"];

/**
 * Each part of the repository, and the parts that it may import besides itself. The longest row that fits owns a file:
 * `src/ir/ops/add.ts` belongs to `ir`, `src/formats/safetensors/header.ts` to `formats/safetensors`, `src/errors.ts` to
 * `errors`. Type-only imports count too.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  errors: [],
  half: [],
  random: ["errors"],
  nearest: [],
  ir: ["errors", "half"],
  "formats/safetensors": ["errors", "half"],
  "formats/tensorboard": ["errors", "onnx", "formats/safetensors"],
  onnx: CORE,
  runtime: [...CORE, "onnx", "formats/safetensors"],
  nn: CORE,
  parameters: [...CORE, "runtime", "nn"],
  models: [...CORE, "nn"],
  "linear-algebra": ["errors", "random"],
  adapters: [...CORE, "linear-algebra", "runtime", "nn", "parameters", "models", "quant"],
  quant: [...CORE, "nn"],
  optim: CORE,
  data: [...LEAVES, "formats/safetensors"],
  figures: ["errors"],
  config: ["errors", "nearest", "optim", "adapters", "quant"],
  formats: [...CORE, ...BELOW_TRAIN],
  hub: [...LEAVES, "data", "formats/safetensors"],
  lm: [...CORE, ...BELOW_TRAIN, ...FORMATS, "hub"],
  train: [...CORE, ...BELOW_TRAIN, ...FORMATS, "config", "hub", "lm", "figures"],
  analysis: [...CORE, ...BELOW_TRAIN, ...FORMATS, "config", "hub", "lm", "train", "figures"],
  experiments: [...LIBRARY, "index"],
  cli: [...LIBRARY, "experiments", "server", "index"],
  server: [...LIBRARY, "index"],
  testing: [...LIBRARY, "index"],
  index: EVERYTHING,
  test: [...EVERYTHING, "bench", "scripts"],
  bench: EVERYTHING,
  scripts: EVERYTHING,
};

/** These run in a browser too: no Node built-in and no package at all. */
const ANYWHERE = [
  "errors",
  "half",
  "nearest",
  "ir",
  "onnx",
  "nn",
  "models",
  "adapters",
  "quant",
  "optim",
  "linear-algebra",
];
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
      if (toPart !== undefined && !mayImport(part, toPart)) {
        report(found.line, `${part} may not import ${toPart} (${to})`);
      }
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
  return from === to || (MAY_IMPORT[from]?.includes(to) ?? false);
}

function complainAboutPackage(file: string, part: string, specifier: string): string | undefined {
  if (ANYWHERE.includes(part)) return `${part} runs anywhere and may not import "${specifier}"`;
  const needsNode = isBuiltin(specifier) || NODE_PACKAGES.includes(specifier);
  if (part !== "runtime" || !needsNode || NODE_FILE.test(file)) return undefined;
  return `only runtime/node/ and *-node.ts may import "${specifier}" here`;
}

/**
 * Where cycles are allowed: adjoint operations need each other (the derivative of a gather is a scatter, and the other way
 * round), and call each other only when a graph is differentiated, never while they load.
 */
const ADJOINTS = "src/ir/ops/";

/** One violation for each import that closes a cycle, found depth first. */
function findCycles(edges: Map<string, Edge[]>): Violation[] {
  const violations: Violation[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    trail.push(file);
    for (const { to, line } of edges.get(file) ?? []) {
      const start = trail.indexOf(to);
      const cycle = start < 0 ? [] : [...trail.slice(start), to];
      if (cycle.some((part) => !part.startsWith(ADJOINTS))) {
        violations.push({ file, line, what: `import cycle: ${cycle.join(" -> ")}` });
      }
      if (start < 0 && !done.has(to)) visit(to);
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
