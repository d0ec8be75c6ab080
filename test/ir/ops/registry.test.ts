import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { OPS } from "../../../src/ir/ops/index.ts";

// From dist/test/ir/ops/ to the sources.
const SOURCES = new URL("../../../../src/ir/ops/", import.meta.url);
const TESTS = new URL("../../../../test/ir/", import.meta.url);

function read(folder: URL, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => readFileSync(new URL(name.replaceAll("\\", "/"), folder), "utf8"));
}

test("every operation that is defined is in the registry, under a name of its own", () => {
  const defined = read(SOURCES, ".ts").flatMap((text) => [...text.matchAll(/^export const (\w+)Op\b/gm)]);
  assert.deepEqual(OPS.map((op) => op.name).sort(), defined.map((match) => match[1]!).sort());
  assert.ok(OPS.length > 50);
});

/** Appear only after differentiation and the other passes: tested with the pass that makes them. */
const MADE_BY_PASSES = ["mapRows"];

test("every operation goes through describeOp", () => {
  const described = new Set(
    read(TESTS, ".test.ts").flatMap((text) => [...text.matchAll(/\bdescribeOp\((\w+)Op,/g)].map((match) => match[1]!)),
  );
  const missing = OPS.map((op) => op.name).filter((name) => !described.has(name) && !MADE_BY_PASSES.includes(name));
  assert.deepEqual(missing, [], "operations without a test");
});
