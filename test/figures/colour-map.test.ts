import assert from "node:assert/strict";
import { test } from "node:test";
import { colourAt, hex, luminance, MISSING, textColourOn } from "../../src/figures/colour-map.ts";

/** Lightness of CIELAB, 0 to 100. */
function lightness(part: number): number {
  const y = luminance(colourAt(part));
  return y > 0.008856 ? 116 * Math.cbrt(y) - 16 : 903.3 * y;
}

test("equal steps of a number are about equal steps of lightness, always up", () => {
  const values = Array.from({ length: 21 }, (_, i) => lightness(i / 20));
  const steps = values.slice(1).map((value, i) => value - values[i]!);
  const mean = (values.at(-1)! - values[0]!) / 20;
  // The parts of viridis are even to about a tenth.
  for (const step of steps) assert.ok(step > 0.8 * mean && step < 1.4 * mean, `${step} of ${mean}`);
});

test("the ends are kept beyond them, and no number has a colour of its own", () => {
  assert.equal(hex(colourAt(0)), "#440154");
  assert.equal(hex(colourAt(1)), "#fde725");
  assert.deepEqual(colourAt(-3), colourAt(0));
  assert.deepEqual(colourAt(7), colourAt(1));
  assert.deepEqual(colourAt(NaN), MISSING);
  assert.ok(!Array.from({ length: 256 }, (_, i) => hex(colourAt(i / 255))).includes(hex(MISSING)));
});

test("text on any of the colours has a contrast of at least 4.5", () => {
  for (let i = 0; i <= 100; i++) {
    const ground = luminance(colourAt(i / 100));
    const contrast = textColourOn(colourAt(i / 100)) === "#000" ? (ground + 0.05) / 0.05 : 1.05 / (ground + 0.05);
    assert.ok(contrast >= 4.5, `${i}: ${contrast}`);
  }
});
