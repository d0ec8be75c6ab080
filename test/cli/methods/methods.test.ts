/** `lowrank methods` and the README's table of them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { methodPages, withMethods } from "../../../scripts/methods-docs.ts";
import { METHODS } from "../../../src/adapters/index.ts";
import { modelOfShape } from "../../../src/cli/bench/shapes.ts";
import { allMethodFacts, type MethodFacts } from "../../../src/cli/methods/facts.ts";
import { FINETUNING_TYPES } from "../../../src/config/methods.ts";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const MAIN = fileURLToPath(new URL("../../../src/cli/main.js", import.meta.url));

/** Hidden width, intermediate width, blocks, width of keys and values, and words of Qwen2.5-0.5B. */
const [D, F, L, KV, V] = [896, 4864, 24, 128, 151_936];

function run(...args: readonly string[]): { stdout: string; stderr: string; status: number | null } {
  return spawnSync(process.execPath, [MAIN, "methods", ...args], { cwd: ROOT, encoding: "utf8" });
}

const facts = new Map(allMethodFacts(modelOfShape("qwen2.5-0.5b")).map((each) => [each.name, each]));

test("everything that finetuning_type can be is there, once", () => {
  assert.deepEqual([...facts.keys()].sort(), [...FINETUNING_TYPES].sort());
});

test("elements are counted by hand", () => {
  const block = D * D + D + 2 * (KV * D + KV) + D * D + 3 * D * F + 2 * D;
  const expected: Readonly<Record<string, number>> = {
    lora: L * 8 * (2 * D + D + KV),
    ia3: L * (D + KV + F),
    vera: L * (D + KV + 2 * 256),
    loha: L * 2 * 8 * (2 * D + D + KV),
    "ln-tuning": L * D,
    bitfit: L * (D + 2 * KV),
    "intrinsic-dimension": 1024,
    full: V * D + L * block + D,
    freeze: 2 * block,
  };
  for (const [name, count] of Object.entries(expected)) assert.equal(facts.get(name)!.trainable, count, name);
  assert.equal(facts.get("full")!.trainable_percent, 100);
});

test("says what can be merged, and what is PEFT's", () => {
  for (const method of METHODS) {
    const { name } = method;
    const { mergeable, unmergeable: why } = facts.get(name)!;
    assert.equal(mergeable, "merged" in method || !("forward" in method || "sequence" in method), name);
    assert.equal(why, mergeable ? undefined : method.unmergeable, name);
    assert.ok(mergeable || (why ?? "").length > 0, `${name} does not say why it cannot be merged`);
  }
  const inPeft = (name: string) => [facts.get(name)!.peft_type, facts.get(name)!.in_peft];
  assert.deepEqual(inPeft("lokr"), ["LOKR", true]);
  assert.deepEqual(inPeft("bitfit"), ["BITFIT", false]);
  assert.deepEqual(inPeft("full"), [null, false]);
});

test("the command prints the table, and as JSON", () => {
  const { stdout, stderr, status } = run("--model", join(ROOT, "golden/causal-lm/llama-llama3-rope"));
  assert.equal(status, 0, stderr);
  for (const name of FINETUNING_TYPES) assert.match(stdout, new RegExp(`^${name}  `, "m"));
  assert.match(stdout, /bitfit: llama has no biases to train/);
  const json = JSON.parse(run("--json").stdout) as MethodFacts[];
  assert.deepEqual(json, [...facts.values()]);
});

test("the README's table is up to date: npm run build && node dist/scripts/methods-docs.js", async () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const pages = methodPages((path) => existsSync(join(ROOT, path)));
  assert.equal(readme, await withMethods(readme, pages));
});
