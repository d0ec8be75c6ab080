import assert from "node:assert/strict";
import { test } from "node:test";
import { table } from "../../../src/cli/terminal/table.ts";
import { ShapeError } from "../../../src/errors.ts";

test("aligns numbers right and text left, under a header", () => {
  const rows = [
    ["base", "20,998,154", "100%", "1.25 s"],
    ["LoRA, r=1", 15370, "0.073%", "–"],
  ];
  assert.equal(
    table(rows, { header: ["part", "parameters", "share", "epoch"] }),
    [
      "part       parameters   share   epoch",
      "─────────  ──────────  ──────  ──────",
      "base       20,998,154    100%  1.25 s",
      "LoRA, r=1       15370  0.073%       –",
    ].join("\n"),
  );
});

test("takes an alignment, counts columns of the screen, and needs no header", () => {
  assert.equal(
    table(
      [
        ["猫", "x"],
        ["cat", "yy"],
      ],
      { align: ["right", "right"] },
    ),
    " 猫   x\ncat  yy",
  );
  assert.equal(table([]), "");
  assert.equal(table([], { header: ["a"] }), "a\n─");
});

test("names the row that has another number of cells", () => {
  assert.throws(
    () => table([["a"], ["a", "b"]], { header: ["x"] }),
    /table row 1: wrong number of cells: got 2, expected 1/,
  );
  assert.throws(() => table([["a"], []]), ShapeError);
});
