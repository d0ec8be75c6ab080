import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { scanImports } from "../../scripts/import-scan.ts";

function specifiers(source: string): string[] {
  return scanImports(source).imports.map(({ specifier, line, kind }) => `${line} ${kind} ${specifier}`);
}

describe("scanImports", () => {
  const forms: [source: string, expected: string][] = [
    [`import "a";`, "1 value a"],
    [`import a from 'b'`, "1 value b"],
    [`import a, { c as d } from "b";`, "1 value b"],
    [`import * as a from "b";`, "1 value b"],
    [`import type { a } from "b";`, "1 type b"],
    [`import type a from "b";`, "1 type b"],
    [`import { type a } from "b";`, "1 value b"],
    [`import type from "b";`, "1 value b"],
    [`import data from "./a.json" with { type: "json" };`, "1 value ./a.json"],
    [`import {\n  a,\n  b,\n} from "c";`, "4 value c"],
    [`export * from "b";`, "1 value b"],
    [`export * as a from "b";`, "1 value b"],
    [`export type { a } from "b";`, "1 type b"],
    [`export { a, b as c } from "d";`, "1 value d"],
    [`const a = await import("b");`, "1 dynamic b"],
    [`let a: import("b").C;`, "1 dynamic b"],
    [`/* one\n two */ import "a";`, "2 value a"],
    ["const a = `${await import('b')}`;", "1 dynamic b"],
    ["const a = /[/'\"`]/g, b = 4 / 2 / 1;\nimport 'c';", "2 value c"],
    ["const a = `${ `{${{ b: 1 }}` } '`;\nimport 'c';", "2 value c"],
  ];
  for (const [source, expected] of forms) {
    it(`reads ${JSON.stringify(source)}`, () => assert.deepEqual(specifiers(source), [expected]));
  }

  const lookalikes = [
    `// import "a";`,
    `/* import "a"; */`,
    `const a = 'import "b"';`,
    '`\nimport "a";\n`;',
    `const a = { import: "b", export: "c" };`,
    `a.import("b");`,
    `export { a };\nconst from = "b";`,
    `export const from = "b";`,
    `new URL("./a.js", import.meta.url);`,
    `export type From = "b";`,
  ];
  for (const source of lookalikes) {
    it(`finds no import in ${JSON.stringify(source)}`, () => assert.deepEqual(specifiers(source), []));
  }

  it("finds default exports", () => {
    const source = `export default 1;\nexport {\n  a as default,\n};\nexport { default as b } from "c";\nexport { d };`;
    assert.deepEqual(scanImports(source).defaultExports, [1, 3]);
  });
});
