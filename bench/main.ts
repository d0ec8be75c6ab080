/**
 * `npm run bench [SUITE]`: measures, prints tables, and writes bench/results/SUITE.json.
 *
 * Ours and the peer's runs alternate, and medians over all rounds are compared: ratios hold where single times do not.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { table } from "../src/cli/terminal/table.ts";
import { machine } from "./machine.ts";
import { SUITES } from "./suites.ts";

const RESULTS = fileURLToPath(new URL("../../bench/results/", import.meta.url));
const threads = availableParallelism();
const wanted = process.argv.slice(2);
const known = SUITES.map(({ name }) => name);
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no such benchmark: ${unknown.join(", ")}; there are ${known.join(", ")}\n`);
  process.exit(1);
}

const made = machine();
process.stdout.write(
  `${made.cpu}, ${made.cores} cores, ${made.memoryGb} GB; Node ${made.node}, ONNX Runtime ${made.onnxruntime}\n`,
);
await mkdir(RESULTS, { recursive: true });
for (const suite of SUITES) {
  const { name, title } = suite;
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stdout.write(`\n${title}\n`);
  const { header, rows, figures, notes, document = false } = await suite.run(threads);
  process.stdout.write(`${table(rows, { header, align: ["left", ...header.slice(1).map(() => "right" as const)] })}\n`);
  for (const note of notes) process.stdout.write(`${note}\n`);
  const path = `${RESULTS}${name}.json`;
  await writeFile(path, `${JSON.stringify({ name, title, machine: made, threads, ...figures, notes }, null, 2)}\n`);
  if (document) await writeFile(`${RESULTS}${name}.md`, markdown(title, header, rows, notes));
  process.stdout.write(`bench/results/${name}.json\n`);
}

function markdown(
  title: string,
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  notes: readonly string[],
): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  const rule = line(header.map((_, i) => (i === 0 ? "---" : "---:")));
  return [`# ${title}`, "", ...notes.flatMap((note) => [note, ""]), line(header), rule, ...rows.map(line), ""].join(
    "\n",
  );
}
