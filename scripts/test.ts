/**
 * `npm test [-- FILTER...]`: runs every compiled test, `dist/test/**\/*.test.js`, with node's own runner.
 *
 * A FILTER is a part of a test file's path (`safetensors`, `test/ir/grad.test.ts`); where it is in no path, it is a
 * part of a test's own name. Each file runs in a process of its own, as many at a time as there are cores. The last line
 * printed is `N passed, N failed, N skipped`; the exit status is 1 if a test fails or none runs.
 *
 * One `run()` per file, because the runner's events name the file that a test was written in, which for a contract suite
 * is not the file that was run, and because its own `timeout` means a whole file in Node 20 and a single test in Node 24.
 */

import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative, resolve, sep } from "node:path";
import { Readable } from "node:stream";
import { run } from "node:test";
import { spec, type TestEvent } from "node:test/reporters";
import { FileTally, isNotSelected, type Outcome, type Tally } from "./test-tally.ts";

/** After this, a file is ended and counts as failed. LOWRANK_TEST_LIMIT_MS replaces it. */
const LIMIT_MS = Number(process.env["LOWRANK_TEST_LIMIT_MS"] ?? 10 * 60_000);
/** How often the files that are still running are named, so that a long wait is not a silent one. */
const PATIENCE_MS = 60_000;
/** The runner's own totals count parents and suites too; two totals that differ would only confuse. */
const OWN_TOTALS = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

interface Selection {
  files: string[];
  namePatterns: RegExp[];
}

function select(filters: string[]): Selection {
  const all = readdirSync("dist/test", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.js"))
    .map((name) => resolve("dist/test", name))
    .toSorted();
  if (filters.length === 0) return { files: all, namePatterns: [] };
  const parts = filters.map((filter) =>
    filter
      .replace(/^\.\//, "")
      .replace(/^dist\//, "")
      .replace(/\.js$/, ".ts"),
  );
  const files = all.filter((file) => parts.some((part) => sourceOf(file).includes(part)));
  if (files.length > 0) return { files, namePatterns: [] };
  return { files: all, namePatterns: filters.map((filter) => new RegExp(escapeRegExp(filter))) };
}

/** Path of the TypeScript file behind a compiled test, from the root of the repository. */
function sourceOf(file: string): string {
  return relative("dist", file).replaceAll(sep, "/").replace(/\.js$/, ".ts");
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Runs one file; prints its report when it ends, so that files running at the same time do not mix. */
async function runFile(file: string, namePatterns: RegExp[]): Promise<Tally> {
  const tally = new FileTally(file, { mayBeEmpty: namePatterns.length > 0, limitMs: LIMIT_MS });
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error("out of time")), LIMIT_MS);
  const stream = run({
    files: [file],
    concurrency: 1,
    signal: limit.signal,
    ...(namePatterns.length > 0 ? { testNamePatterns: namePatterns } : {}),
  });
  const events: TestEvent[] = [];
  for await (const event of stream as AsyncIterable<TestEvent>) {
    tally.add(event);
    events.push(event);
  }
  clearTimeout(timer);

  const counts = tally.end();
  if (counts.passed + counts.failed.length + counts.skipped.length > 0) {
    console.log(`\n${sourceOf(file)}\n${await render(events.filter(isWorthShowing))}`);
  }
  return counts;
}

/** Leaves out what the name filter did not select, and the totals of the runner. */
function isWorthShowing(event: TestEvent, index: number, all: TestEvent[]): boolean {
  if (isNotSelected(event)) return false;
  // The reporter insists that each start is followed by its own result.
  const next = all[index + 1];
  if (event.type === "test:start" && next !== undefined && isNotSelected(next)) return false;
  return !(event.type === "test:diagnostic" && OWN_TOTALS.test(event.data.message));
}

/** What node's spec reporter says about the events. */
async function render(events: TestEvent[]): Promise<string> {
  const report: string[] = [];
  for await (const chunk of Readable.from(events).compose<spec>(new spec())) report.push(String(chunk));
  return report.join("").replace(/^\n+|\n+$/g, "");
}

async function runAll({ files, namePatterns }: Selection): Promise<{ file: string; tally: Tally }[]> {
  const results: { file: string; tally: Tally }[] = [];
  const running = new Set<string>();
  const queue = files.values();
  const reminder = setInterval(() => {
    console.log(`\nstill running: ${[...running].map(sourceOf).join(", ")}`);
  }, PATIENCE_MS);
  const worker = async () => {
    for (const file of queue) {
      running.add(file);
      results.push({ file, tally: await runFile(file, namePatterns) });
      running.delete(file);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  clearInterval(reminder);
  return results.toSorted((a, b) => files.indexOf(a.file) - files.indexOf(b.file));
}

function printOutcomes(title: string, outcomes: { file: string; outcome: Outcome }[]): void {
  if (outcomes.length === 0) return;
  console.log(`\n${title}:`);
  for (const { file, outcome } of outcomes) {
    console.log(
      `  ${[sourceOf(file), ...outcome.path].join(" > ")}\n    ${outcome.message.replaceAll("\n", "\n    ")}`,
    );
  }
}

async function main(): Promise<void> {
  const filters = process.argv.slice(2);
  const results = await runAll(select(filters));
  const passed = results.reduce((sum, { tally }) => sum + tally.passed, 0);
  const skipped = results.flatMap(({ file, tally }) => tally.skipped.map((outcome) => ({ file, outcome })));
  const failed = results.flatMap(({ file, tally }) => tally.failed.map((outcome) => ({ file, outcome })));
  printOutcomes("skipped", skipped);
  printOutcomes("failed", failed);
  if (passed + failed.length === 0) {
    const why =
      filters.length === 0 ? "every test was skipped, or there is none" : `nothing fits ${filters.join(", ")}`;
    console.log(`\nno test ran: ${why}`);
  }
  if (failed.length > 0 || passed === 0) process.exitCode = 1;
  console.log(`\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
}

// The runner takes uncaught errors for those of a test, and would leave the process waiting.
await main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
