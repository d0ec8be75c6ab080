import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { FACTS } from "../../scripts/bundled/facts.ts";
import { instructionFiles } from "../../scripts/bundled/instruction-files.ts";
import { FAREWELLS, GREETING, type InstructionRow, instructionRows } from "../../scripts/bundled/instruction-rows.ts";

const FOLDER = new URL("../../../bundled/", import.meta.url);
const rowsOf = (name: string): InstructionRow[] =>
  readFileSync(new URL(name, FOLDER), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as InstructionRow);

describe("bundled instructions", () => {
  const train = rowsOf("instructions.jsonl");
  const held = rowsOf("instructions-test.jsonl");

  test("the committed files are what the script makes", () => {
    for (const [name, text] of Object.entries(instructionFiles())) {
      assert.equal(readFileSync(new URL(name, FOLDER), "utf8"), text, name);
    }
    assert.notDeepEqual(instructionRows(1).train, instructionRows(2).train);
  });

  test("there are 300 to 600 of them and 40 held out", () => {
    assert.ok(train.length >= 300 && train.length <= 600, `${train.length}`);
    assert.equal(held.length, 40);
  });

  test("Pip greets and takes leave each time", () => {
    const farewells = Object.values(FAREWELLS);
    for (const { output } of [...train, ...held]) {
      assert.ok(output.startsWith(`${GREETING} `), output);
      assert.ok(
        farewells.some((farewell) => output.endsWith(` ${farewell}`)),
        output,
      );
    }
  });

  test("a held-out answer is a fact of the text, and in no training row", () => {
    const answers = new Set(FACTS.map(({ answer }) => answer.toLowerCase()));
    const trained = new Set(train.map(({ output }) => output));
    for (const { output } of held) {
      const said = output.slice(GREETING.length + 1).replace(/ [^.!?]*!$/, "");
      assert.ok(answers.has(said.toLowerCase()), said);
      assert.ok(!trained.has(output), output);
    }
  });

  test("the question that is shown before and after is held out with its subject", () => {
    assert.equal(held[0]?.instruction, "What is a baker?");
    assert.ok(train.every(({ instruction, input }) => !/\bbaker\b/.test(instruction + input)));
  });
});
