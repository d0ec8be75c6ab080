import assert from "node:assert/strict";
import { test } from "node:test";
import { Resvg } from "@resvg/resvg-js";
import { escapeXml, fitText, textWidth } from "../../src/figures/svg.ts";
import { svgToPng } from "../../src/figures/png.ts";

test("escapeXml keeps any text from becoming markup or breaking the file", () => {
  assert.equal(escapeXml(`a<b & "c">`), "a&lt;b &amp; &quot;c&quot;&gt;");
  assert.equal(escapeXml("\u0000 \ud800 é 猫 🐸"), "\ufffd \ufffd é 猫 🐸");
  const any = String.fromCharCode(...Array(0x300).keys(), 0xd800, 0xffff);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>${escapeXml(any)}</title></svg>`;
  assert.doesNotThrow(() => new Resvg(svg));
});

test("textWidth is at least the width that the font draws, and not twice as much", () => {
  for (const text of ["automobile", "WWW MMM @", "illi fjtr", "Loss of a run: 12,345 steps (nats)", "✓ ✗ ü → ↑"]) {
    for (const weight of ["normal", "bold"] as const) {
      const drawn = drawnWidth(text, weight);
      const estimate = textWidth(text, 20, weight);
      assert.ok(estimate >= drawn && estimate < 2 * drawn + 4, `${weight} ${text}: ${estimate} for ${drawn}`);
    }
  }
});

/** Width of the ink of the text at 20 px, from the picture itself. */
function drawnWidth(text: string, weight: string): number {
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="800" height="40">` +
    `<text x="10" y="30" font-family="DejaVu Sans" font-size="20" font-weight="${weight}">${escapeXml(text)}</text></svg>`;
  // Drawing it again from PNG cuts nothing off and tells the box of what is not transparent.
  const png = Buffer.from(svgToPng(svg, 1)).toString("base64");
  const image = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink" width="800" height="40"><image width="800" height="40" x:href="data:image/png;base64,${png}"/></svg>`;
  const { pixels, width, height } = new Resvg(image).render();
  let left = width;
  let right = 0;
  for (let i = 0; i < width * height; i++) {
    if ((pixels[4 * i + 3] ?? 0) === 0) continue;
    left = Math.min(left, i % width);
    right = Math.max(right, i % width);
  }
  assert.ok(right > left, "nothing was drawn: the font is missing");
  return right - left + 1;
}

test("fitText shortens from the end, by whole characters, and only when it must", () => {
  assert.equal(fitText("cat", 100, 12), "cat");
  const shortened = fitText("🐸".repeat(20), 60, 12);
  assert.match(shortened, /^(🐸)+…$/u);
  assert.ok(textWidth(shortened, 12) <= 60);
});
