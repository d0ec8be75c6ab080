import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { imageLines, showImages } from "../../../src/cli/terminal/image.ts";
import { displayWidth } from "../../../src/cli/terminal/output.ts";
import type { LabelledImage } from "../../../src/figures/image-grid.ts";
import { FakeOutput, showEscapes } from "./fake-output.ts";

/** [3, 32, 32]: red by x, green by y, blue constant. */
const pixels = Uint8Array.from({ length: 3 * 32 * 32 }, (_, i) =>
  i < 1024 ? (i % 32) * 8 : i < 2048 ? Math.floor((i % 1024) / 32) * 8 : 77,
);
const images = (count: number, rest: Partial<LabelledImage> = {}): LabelledImage[] =>
  Array.from({ length: count }, (_, i) => ({ pixels, label: `label ${i}`, ...rest }));

/** Reads half blocks back: for each character the upper and the lower colour. */
function readBlocks(line: string): [upper: string, lower: string][] {
  const found: [string, string][] = [];
  let now: [string, string] = ["", ""];
  for (const [, upper, lower] of showEscapes(line).matchAll(/␛\[38;2;([\d;]+);48;2;(\d+;\d+;\d+)m|▀/g)) {
    if (upper === undefined) found.push(now);
    else now = [upper, lower ?? ""];
  }
  return found;
}

describe("imageLines", () => {
  test("shows every pixel of a 32-pixel image where the terminal is wide enough", () => {
    const lines = imageLines(images(1), 80);
    for (let y = 0; y < 16; y++) {
      const expected = Array.from({ length: 32 }, (_, x) => [`${x * 8};${16 * y};77`, `${x * 8};${16 * y + 8};77`]);
      assert.deepEqual(readBlocks(lines[y] ?? ""), expected);
    }
  });

  test("averages pixels when it has to draw smaller: 2×2 for 16 pixels, and 4/3 for 24", () => {
    const half = imageLines(images(8), 80);
    assert.deepEqual(readBlocks(half[0] ?? "").slice(0, 2), [
      ["4;4;77", "4;20;77"],
      ["20;4;77", "20;20;77"],
    ]);
    const [first] = readBlocks(imageLines(images(2), 26)[0] ?? "");
    // Upper: pixel 0 and a third of pixel 1, (0 + 8/3) / (4/3) = 2. Lower: 2/3 each of pixels 1 and 2, (8 + 16) / 2 = 12.
    assert.deepEqual(first, ["2;2;77", "2;12;77"]);
  });

  test("puts images side by side, in rows of equal length, labels below, within the width", () => {
    for (const columns of [20, 40, 80, 100, 137, 200]) {
      for (const line of imageLines(images(8, { detail: "true: something very long" }), columns)) {
        assert.ok(displayWidth(line) < columns, `${columns}: ${displayWidth(line)}`);
      }
    }
    const lines = imageLines(images(8, { detail: "d" }), 100);
    const labels = lines.filter((line) => line.includes("label"));
    assert.deepEqual(
      labels.map((line) => line.match(/label \d/g)?.length),
      [4, 4],
    );
  });

  test("marks right and wrong by sign and colour", () => {
    const lines = imageLines([...images(1, { verdict: "right" }), ...images(1, { verdict: "wrong" })], 80);
    assert.match(showEscapes(lines[16] ?? ""), /␛\[32m *✓ label 0.*␛\[31m *✗ label 0/);
  });
});

describe("showImages", () => {
  test("draws on a terminal with 24-bit colour, ends each line of pixels with a reset, and names the file", () => {
    const stream = new FakeOutput();
    assert.equal(showImages(images(2), { path: "out/samples.png", stream, env: {} }), true);
    assert.match(stream.text, /▀/);
    for (const line of stream.text.split("\n")) if (line.includes("▀")) assert.ok(line.endsWith("\u001b[0m"));
    assert.ok(stream.text.endsWith("pictures: out/samples.png\n"));
  });

  test("only names the file elsewhere", () => {
    const others = [
      [new FakeOutput({ isTTY: false }), {}],
      [new FakeOutput({ depth: 8 }), {}],
      [new FakeOutput({ columns: 10 }), {}],
      [new FakeOutput(), { NO_COLOR: "1" }],
    ] as const;
    for (const [stream, env] of others) {
      assert.equal(showImages(images(2), { path: "p.png", stream, env }), false);
      assert.equal(stream.text, "pictures: p.png\n");
    }
  });
});
