import assert from "node:assert/strict";
import { test } from "node:test";
import { frame } from "../../src/figures/frame.ts";
import { textWidth, unitText, wrapText } from "../../src/figures/svg.ts";

const NAME = "model.layers.11.a_rather_long_block.self_attention.query_projection.weight";

test("long titles, subtitles and notes go on in further lines, none wider than the picture", () => {
  const short = frame({ title: "Short", width: 460 });
  const long = frame({ title: `The spectrum of ${NAME}`, subtitle: NAME, note: `${NAME} and ${NAME}`, width: 460 });
  assert.ok(long.top > short.top + 30 && long.foot > short.foot + 20);
  const svg = long.close([], 400);
  const lines = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)" (font-size="(\d+)")?[^>]*>([^<]*)</g)];
  assert.ok(lines.length >= 6);
  for (const [, x, , , size = "12", text = ""] of lines) {
    assert.ok(Number(x) + textWidth(text, Number(size), text.includes("spectrum") ? "bold" : "normal") <= 460, text);
  }
  const heights = lines.map(([, , y]) => Number(y));
  assert.deepEqual(
    heights,
    [...heights].sort((a, b) => a - b),
  );
  assert.ok(Math.max(...heights) < 400);
  const all = lines.map(([, , , , , text]) => text).join("");
  assert.ok(all.includes("weight") && !all.includes("…"), "nothing is cut off");
});

test("wrapText keeps every character but the spaces at breaks", () => {
  for (const text of ["a b c", NAME, "x".repeat(200), "", "one two  three"]) {
    const lines = wrapText(text, 100, 12);
    assert.equal(lines.join("").replaceAll(" ", ""), text.replaceAll(" ", ""));
    for (const line of lines) assert.ok(textWidth(line, 12) <= 100, line);
  }
});

test("unitText has no more than is needed", () => {
  assert.deepEqual([0, 0.004, 0.05, 0.5, 0.994, 0.996, 1, -0.25].map(unitText), [
    "0",
    "0",
    ".05",
    ".50",
    ".99",
    "1",
    "1",
    "-.25",
  ]);
});
