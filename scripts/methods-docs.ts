/** `node dist/scripts/methods-docs.js`: writes the README's table of tuning methods from the registry. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { modelOfShape } from "../src/cli/bench/shapes.ts";
import { REFERENCE_SHAPE } from "../src/cli/methods/command.ts";
import { allMethodFacts, type MethodFacts } from "../src/cli/methods/facts.ts";

const FILE = "README.md";
const START = "<!-- methods: written by scripts/methods-docs.ts -->";
const END = "<!-- /methods -->";

/** The README with the table as it has to be. @param readme as it is @param pages names of the pages in docs/methods */
export async function withMethods(readme: string, pages: ReadonlySet<string>): Promise<string> {
  const [from, to] = [readme.indexOf(START), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${FILE} has no place for the table: ${START} … ${END}`);
  const body = await format(methodsTable(allMethodFacts(modelOfShape(REFERENCE_SHAPE)), pages), {
    parser: "markdown",
    printWidth: 120,
  });
  return `${readme.slice(0, from + START.length)}\n\n${body}\n${readme.slice(to)}`;
}

function methodsTable(facts: readonly MethodFacts[], pages: ReadonlySet<string>): string {
  const rows = facts.map((each) => [
    pages.has(each.name) ? `[\`${each.name}\`](docs/methods/${each.name}.md)` : `\`${each.name}\``,
    each.summary,
    each.trainable === null ? "–" : each.trainable.toLocaleString("en-US"),
    each.mergeable ? "yes" : "no",
    each.peft_type === null ? "a whole model" : `\`${each.peft_type}\`${each.in_peft ? "" : ", not in PEFT"}`,
    each.source,
  ]);
  const head = ["`finetuning_type`", "what it does", "trained", "merges", "files", "source"];
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(["---", "---", "--:", "---", "---", "---"]), ...rows.map(line)].join("\n");
}

/** Names of the methods that have a page. */
export function methodPages(exists: (path: string) => boolean = existsSync): Set<string> {
  const names = allMethodFacts(modelOfShape(REFERENCE_SHAPE)).map(({ name }) => name);
  return new Set(names.filter((name) => exists(`docs/methods/${name}.md`)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(FILE, await withMethods(readFileSync(FILE, "utf8"), methodPages()));
}
