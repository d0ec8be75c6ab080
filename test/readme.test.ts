/** The README and docs/: examples run as they stand there, commands and links exist, tables say what the registries do. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { METHODS } from "../src/adapters/index.ts";
import { ENTRIES } from "../src/config/keys.ts";
import { FORMATS } from "../src/data/datasets/formats/index.ts";
import { EXTENSIONS } from "../src/data/datasets/readers/index.ts";
import { AutoModelForCausalLM } from "../src/lm/causal-lm-model.ts";
import { getPeftModel } from "../src/lm/peft-model.ts";
import { MODELS } from "../src/models/index.ts";
import { SCHEDULES } from "../src/optim/schedule.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
const PAGES = [
  "README.md",
  "recipes/README.md",
  "bundled/README.md",
  ...readdirSync(join(ROOT, "docs"), { encoding: "utf8", recursive: true }).flatMap((name) =>
    name.endsWith(".md") ? [`docs/${name.replaceAll("\\", "/")}`] : [],
  ),
];

function read(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** What stands between the fences of a language. */
function blocks(page: string, language: string): string[] {
  return [...read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, block]) => block!);
}

suite("examples", () => {
  // Inside the package, "lowrank" is the package itself.
  let folder: string;
  before(async () => {
    await mkdir(join(ROOT, "lowrank-out"), { recursive: true });
    folder = await mkdtemp(join(ROOT, "lowrank-out", "examples-"));
    await symlink(join(ROOT, "bundled"), join(folder, "bundled"), "dir");
    const model = await AutoModelForCausalLM.fromPretrained(join(ROOT, "bundled/model"));
    const config = { peftType: "LORA", r: 2, targetModules: ["q_proj", "up_proj"], initLoraWeights: false } as const;
    await getPeftModel(model, config).savePretrained(join(folder, "lowrank-out/quickstart/adapter"));
    await model.dispose();
  });
  after(() => rm(folder, { recursive: true }));

  function run(example: string): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", example], {
      cwd: folder,
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    return stdout;
  }

  test("README: an adapter on a language model learns a sentence, and is saved", () => {
    const said = run(blocks("README.md", "ts")[0]!);
    assert.match(said, /^trainable params: [\d,]+ \|\| all params/);
    const losses = [...said.matchAll(/ loss: ([\d.]+)/g)].map(([, loss]) => Number(loss));
    assert.equal(losses.length, 2);
    assert.ok(losses[1]! < losses[0]! / 2, `the loss falls: ${losses.join(", ")}`);
    assert.match(said, /^Ahoy! A plum is purple/m);
    assert.ok(existsSync(join(folder, "lowrank-out/plum/adapter_model.safetensors")));
  });

  test("README: a graph of one's own trains a step and prints its loss", () => {
    const loss = Number(run(blocks("README.md", "ts")[1]!));
    assert.ok(loss > 0.5 && loss < 3, `a loss over three classes: ${loss}`);
  });

  test("docs/training.md: four steps, two checkpoints, an evaluation", () => {
    assert.match(run(blocks("docs/training.md", "ts")[0]!), /^1 .*\n2 .*\n3 .*\n4 .*\n.*checkpoint-4 { evalLoss: /);
  });

  test("docs/adapters.md: several adapters, mixed, swapped, merged and saved", () => {
    run(blocks("docs/adapters.md", "ts")[0]!);
    for (const path of ["adapters/mix/adapter_config.json", "mixed-model/model.safetensors"]) {
      assert.ok(existsSync(join(folder, "lowrank-out", path)), path);
    }
  });
});

suite("commands", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const keys = new Set<string>(ENTRIES.map(({ name }) => name));
  const helps = new Map<string, string>();

  function helpOf(...command: readonly string[]): string {
    const name = command.join(" ");
    const known = helps.get(name);
    if (known !== undefined) return known;
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...command, "--help"], { encoding: "utf8" });
    assert.equal(status, 0, `lowrank ${name}: ${stderr}`);
    // Commander shows the help of the whole program for a name that it does not know.
    assert.ok(stdout.startsWith(`Usage: lowrank ${name} `), `there is no command lowrank ${name}`);
    helps.set(name, stdout);
    return stdout;
  }

  function check(line: string): void {
    const words = line.replace(/\s+#.*$/, "").split(/\s+/);
    if (words[0] === "npm") {
      const [, verb, script] = words;
      const wanted = verb === "run" ? script! : verb!;
      assert.ok(wanted === "install" || Object.hasOwn(scripts, wanted), `${line}: no such script`);
      return;
    }
    assert.deepEqual(words.slice(0, 2), ["npx", "lowrank"], `not a command that is checked: ${line}`);
    const [name, next] = words.slice(2);
    const groups = ["bench", "demo"];
    const help = groups.includes(name!) ? helpOf(name!, next!) : helpOf(name!);
    for (const [i, word] of words.entries()) {
      if (word.startsWith("--")) assert.match(help, new RegExp(` ${word}\\b`), `${line}: no ${word}`);
      if (word.startsWith("recipes/")) assert.ok(existsSync(join(ROOT, word)), `${line}: no ${word}`);
      // `--adapter NAME=PATH` is no setting.
      const key = words[i - 1]?.startsWith("--") === true ? undefined : /^(\w+)=/.exec(word)?.[1];
      if (key !== undefined) assert.ok(keys.has(key), `${line}: no key ${key}`);
    }
  }

  for (const page of PAGES) {
    const lines = blocks(page, "sh").flatMap((block) => block.split("\n").filter((line) => line.trim() !== ""));
    if (lines.length > 0) test(`${page}: ${lines.length}`, () => lines.forEach(check));
  }

  test("those that are named in a text", () => {
    for (const page of PAGES) {
      for (const [, command] of read(page).matchAll(/`(?:npx )?lowrank ([a-z][a-z0-9]*)[^`\n]*`/g)) helpOf(command!);
    }
  });
});

suite("links", () => {
  /** As GitHub makes them of headings. */
  const anchors = (page: string) =>
    new Set(
      [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replace(/[^\w\- ]/g, "")
          .replaceAll(" ", "-"),
      ),
    );
  for (const page of PAGES) {
    test(page, () => {
      for (const [, target] of read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [path, anchor] = target!.split("#");
        const file = path === "" ? join(ROOT, page) : resolve(ROOT, dirname(page), path!);
        assert.ok(existsSync(file), `${target} does not exist`);
        if (anchor === undefined) continue;
        assert.ok(anchors(file.slice(ROOT.length)).has(anchor), `${target}: no such heading`);
      }
    });
  }
});

suite("what is supported", () => {
  const [, section] = /^## What is supported\n(.*?)^## /ms.exec(read("README.md"))!;
  const tables = section!
    .trim()
    .split(/\n\n/)
    .flatMap((part) => (part.startsWith("|") ? [rowsOf(part)] : []));
  const codes = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
  const facts = new Map(tables[2]!.map(([name, cell]) => [name!.replaceAll("`", ""), codes(cell!)]));

  test("models and their sources", () => {
    assert.deepEqual(
      tables[0]!.map(([type, , source]) => [codes(type!)[0], source]),
      Object.values(MODELS).map(({ modelType, source }) => [modelType, source]),
    );
  });

  test("methods and their sources", () => {
    assert.deepEqual(
      tables[1]!.map((cells) => [codes(cells[0]!)[0], cells.at(-1)]),
      [...METHODS.map(({ name, source }) => [name, source]), ["full", ""], ["freeze", "LLaMA-Factory"]],
    );
  });

  test("formats, files, schedules and choices of keys", () => {
    const choices = (expected: string) => expected.split(" or ").map((choice) => choice.replaceAll('"', ""));
    const choicesOf = (name: string) => choices(ENTRIES.find((entry) => entry.name === name)!.key.type.expected);
    assert.deepEqual(
      facts.get("data formats"),
      FORMATS.map(({ name }) => name),
    );
    assert.deepEqual(
      facts.get("data files"),
      EXTENSIONS.map((extension) => `.${extension}`),
    );
    assert.deepEqual(facts.get("schedules"), SCHEDULES);
    assert.deepEqual(facts.get("stage"), choicesOf("stage"));
    assert.deepEqual(facts.get("optimizers"), choicesOf("optim"));
  });
});

/** The cells of a table, without its head. */
function rowsOf(table: string): string[][] {
  return table
    .trim()
    .split("\n")
    .slice(2)
    .map((row) =>
      row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
