import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runScript, type ScriptRun } from "./scratch.ts";

const HEAD = `import { after, before, describe, it, test } from "node:test";\nimport assert from "node:assert/strict";\n`;

/** Runs the runner on test files given by name and body, as they would stand in `dist/test/`. */
function runTests(files: Record<string, string>, args: string[] = [], env: Record<string, string> = {}): ScriptRun {
  const tree: Record<string, string> = { "package.json": `{ "type": "module" }` };
  for (const [name, body] of Object.entries(files)) tree[`dist/test/${name}`] = HEAD + body;
  return runScript("test", tree, { args, env });
}

function assertRun(run: ScriptRun, status: number, lastLine: string): void {
  assert.equal(run.lines.at(-1), lastLine);
  assert.equal(run.status, status);
}

/** The lines after the last one that reads `title:`, up to an empty line. */
function listed(run: ScriptRun, title: string): string[] {
  const lines = run.lines.slice(run.lines.lastIndexOf(`${title}:`) + 1);
  return lines.slice(0, lines.indexOf("")).map((line) => line.trim());
}

describe("the test runner", () => {
  it("counts tests at the leaves, in files and folders", () => {
    const run = runTests({
      "a.test.js": `describe("suite", () => { describe("inner", () => { it("one", () => {}); it("two", () => {}); }); });`,
      "deep/er/b.test.js": `test("parent", async (t) => { await t.test("kid", () => {}); await t.test("other", () => {}); });`,
      "not-a-test.js": `test("helper", () => {});`,
    });
    assertRun(run, 0, "4 passed, 0 failed, 0 skipped");
  });

  it("repeats each failed test at the end with its file, its suites and its message", () => {
    const run = runTests({
      "a.test.js": `describe("suite", () => { it("good", () => {}); it("bad", () => { throw new Error("one is not two"); }); });`,
    });
    assert.deepEqual(listed(run, "failed"), ["test/a.test.ts > suite > bad", "one is not two"]);
    assertRun(run, 1, "1 passed, 1 failed, 0 skipped");
  });

  it("lists skipped and todo tests with their reasons; a todo that fails is no failure", () => {
    const run = runTests({
      "a.test.js": `
        test("ok", () => {});
        it("data", { skip: "no data here" }, () => {});
        test("late", (t) => t.skip("no device"));
        describe.skip("whole", () => { it("never", () => {}); });
        it("later", { todo: "write it" }, () => { throw new Error("not yet"); });`,
    });
    assert.deepEqual(listed(run, "skipped"), [
      "test/a.test.ts > data",
      "no data here",
      "test/a.test.ts > late",
      "no device",
      "test/a.test.ts > whole",
      "no reason given",
      "test/a.test.ts > later",
      "todo: write it",
    ]);
    assertRun(run, 0, "1 passed, 0 failed, 4 skipped");
  });

  it("counts a suite that fails by itself", () => {
    const run = runTests({
      "a.test.js": `describe("suite", () => { after(() => { throw new Error("cannot clean up"); }); it("ok", () => {}); });`,
    });
    assert.deepEqual(listed(run, "failed"), ["test/a.test.ts > suite", "cannot clean up"]);
    assertRun(run, 1, "1 passed, 1 failed, 0 skipped");
  });

  const brokenFiles: [title: string, body: string, message: RegExp, passed: number][] = [
    ["does not load", `import "./nothing.js";`, /ERR_MODULE_NOT_FOUND/, 0],
    ["aborts", `test("ok", () => {}); test("abort", () => { setTimeout(() => process.abort(), 50); });`, /SIGABRT/, 2],
    ["holds no test", ``, /holds no test/, 0],
    ["fails after its tests", `test("ok", () => { setTimeout(() => { throw new Error("late"); }, 20); });`, /late/, 1],
    [
      "exits before its tests end",
      `test("ok", () => {}); test("quits", () => new Promise(() => setTimeout(() => process.exit(0), 50)));`,
      /ended before these tests did: "quits"/,
      1,
    ],
  ];
  for (const [title, body, message, passed] of brokenFiles) {
    it(`counts a file that ${title} as failed, once`, () => {
      const run = runTests({ "a.test.js": body });
      const [path, said] = listed(run, "failed");
      assert.equal(path, "test/a.test.ts");
      assert.match(said ?? "", message);
      assertRun(run, 1, `${passed} passed, 1 failed, 0 skipped`);
    });
  }

  it("ends a file that does not end by itself", () => {
    const run = runTests({ "a.test.js": `test("busy", () => { for (;;); });` }, [], { LOWRANK_TEST_LIMIT_MS: "1000" });
    assert.deepEqual(listed(run, "failed"), ["test/a.test.ts", "the file did not end within 1 s"]);
    assertRun(run, 1, "0 passed, 1 failed, 0 skipped");
  });

  describe("with a filter", () => {
    const files = {
      "formats/safetensors.test.js": `test("reads", () => {}); test("writes", () => {});`,
      "ir/grad.test.js": `describe("grad", () => { it("of matmul (2 x 3)", () => {}); it("of add", () => {}); });`,
    };

    for (const filter of [
      "safetensors",
      "test/formats/safetensors.test.ts",
      "./dist/test/formats/safetensors.test.js",
    ]) {
      it(`runs the files with ${filter} in their path`, () => {
        assertRun(runTests(files, [filter]), 0, "2 passed, 0 failed, 0 skipped");
      });
    }

    it("runs the tests with that name where no path has it", () => {
      assertRun(runTests(files, ["matmul (2"]), 0, "1 passed, 0 failed, 0 skipped");
    });

    it("fails where nothing fits", () => {
      const run = runTests(files, ["nothing of the kind"]);
      assert.ok(run.lines.includes("no test ran: nothing fits nothing of the kind"), run.lines.join("\n"));
      assertRun(run, 1, "0 passed, 0 failed, 0 skipped");
    });
  });
});
