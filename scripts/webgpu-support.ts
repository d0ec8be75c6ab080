/**
 * `npm run build && node dist/scripts/webgpu-support.js`: prints the table of docs/webgpu.md, which operations run on
 * WebGPU. It takes a few minutes.
 *
 * Nothing is believed: every case of every operation's tests is compiled with its derivative, with the engine's fallback
 * to the CPU disabled, and run; its numbers are compared with the interpreter's. On SwiftShader, unless LOWRANK_VK_ICD
 * names another Vulkan driver.
 */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { run } from "node:test";
import type { TestEvent } from "node:test/reporters";
import { OPS } from "../src/ir/ops/index.ts";
import { swiftShaderEnvironment } from "../src/testing/swiftshader.ts";

/** The part of `describeOp` that uses the engine. */
const ENGINE_TEST = /engine's numbers are the interpreter's/;
const UNKNOWN_SIZE = ", with a size known by name only";

/** Names of cases, by what becomes of them. */
interface Support {
  readonly fine: Set<string>;
  readonly noKernel: Set<string>;
  readonly failing: Set<string>;
  readonly otherNumbers: Set<string>;
}

async function trySupport(files: string[]): Promise<Map<string, Support>> {
  const found = new Map<string, Support>();
  const names = new Map<string, string[]>();
  for await (const event of run({ files, concurrency: 1 }) as AsyncIterable<TestEvent>) {
    if (event.type !== "test:start" && event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { name, nesting, file = "" } = event.data;
    const path = names.get(file) ?? [];
    names.set(file, path);
    path[nesting] = name;
    if (event.type === "test:start" || nesting !== 2 || !ENGINE_TEST.test(name)) continue;
    const [op, title] = path as [string, string];
    const support = found.get(op) ?? emptySupport();
    found.set(op, support);
    const message = event.type === "test:fail" ? messageOf(event.data.details.error) : undefined;
    kindOf(support, message).add(title.replace(UNKNOWN_SIZE, ""));
  }
  return found;
}

function emptySupport(): Support {
  return { fine: new Set(), noKernel: new Set(), failing: new Set(), otherNumbers: new Set() };
}

function kindOf(support: Support, message: string | undefined): Set<string> {
  if (message === undefined) return support.fine;
  if (message.includes("no kernel")) return support.noKernel;
  return message.includes("failed in the engine") ? support.failing : support.otherNumbers;
}

function messageOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function row(op: string, support: Support | undefined): string {
  if (support === undefined) {
    console.error(`${op} was not tried: it has no test of its own, or its test could not be loaded`);
    return `| \`${op}\` | not tried | | | |`;
  }
  const { fine, noKernel, failing, otherNumbers } = support;
  const bad = new Set([...noKernel, ...failing, ...otherNumbers]);
  const all = new Set([...fine, ...bad]);
  const cells = [noKernel, failing, otherNumbers].map((titles) => [...titles].join("; ").replaceAll("|", "\\|"));
  return `| \`${op}\` | ${all.size - bad.size} of ${all.size} | ${cells.join(" | ")} |`;
}

const folder = new URL("../test/ir/ops/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".test.js"));
// The tests' processes inherit this; in this one it comes too late for the driver, which nobody needs here.
Object.assign(process.env, swiftShaderEnvironment(), { LOWRANK_TEST_DEVICE: "webgpu" });
const found = await trySupport(files.map((name) => fileURLToPath(new URL(name, folder))));
if (found.size === 0) throw new Error("no operation was tried: is there a GPU, or SwiftShader?");
console.log("| operation | cases that run | no kernel | fails in the run | other numbers |\n|---|---|---|---|---|");
for (const { name } of OPS) console.log(row(name, found.get(name)));
