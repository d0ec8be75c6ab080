import assert from "node:assert/strict";
import { test } from "node:test";
import { documentsIn } from "../../scripts/text-documents.ts";

test("documents end at their marks; the one that is cut off is left out", () => {
  const text =
    "One day.\r\nIt rained.\r\n<|endoftext|>\r\n\r\nTwo.\n\nThree.\n<|endoftext|>\n<|endoftext|>\nFour, and th";
  assert.deepEqual(documentsIn(text, 1000), ["One day.\nIt rained.", "Two.\n\nThree."]);
});

test("a text without marks is cut at empty lines, never sooner than asked for", () => {
  const text = "A:\nabc.\n\nB:\ndef.\n \nC:\nghi.\n\n\nD.";
  assert.deepEqual(documentsIn(text, 1), ["A:\nabc.", "B:\ndef.", "C:\nghi.", "D."]);
  assert.deepEqual(documentsIn(text, 9), ["A:\nabc.\n\nB:\ndef.", "C:\nghi.\n\nD."]);
  assert.deepEqual(documentsIn(text, 1000), [text.replace("\n \n", "\n\n").replace("\n\n\n", "\n\n")]);
});
