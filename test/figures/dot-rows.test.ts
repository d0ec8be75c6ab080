import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConfigError, ShapeError } from "../../src/errors.ts";
import { type DotColumn, type DotRow, dotRowsSvg } from "../../src/figures/dot-rows.ts";

const COLUMNS: readonly DotColumn[] = [
  { title: "loss", format: String },
  { title: "parameters", log: true, format: String },
];
const row = (label: string, loss: number, count?: number, group = "one"): DotRow => ({
  label,
  group,
  values: [{ value: loss, spread: 0.1, reference: 1 }, count === undefined ? undefined : { value: count }],
});

/** Dots of the rows, not of the legend, by column from the left. */
function dots(svg: string): { x: number; y: number; fill: string }[] {
  return [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4.5" fill="(#\w+)"/g)].map(([, x, y, fill = ""]) => ({
    x: Number(x),
    y: Number(y),
    fill,
  }));
}

describe("dot rows", () => {
  test("a row has its dots at one height, each column its own scale", () => {
    const svg = dotRowsSvg([row("a", 1, 10), row("b", 2, 100), row("c", 3, 1000)], COLUMNS, { title: "T" });
    const [a, b, c, a2, b2, c2] = dots(svg);
    assert.deepEqual([a!.y, b!.y, c!.y], [a2!.y, b2!.y, c2!.y]);
    assert.ok(a!.y < b!.y && b!.y < c!.y);
    assert.ok(Math.abs(b!.x - a!.x - (c!.x - b!.x)) < 0.05 && Math.abs(b2!.x - a2!.x - (c2!.x - b2!.x)) < 0.05);
    assert.ok(c!.x < a2!.x);
    // The bar of a spread reaches as far to both sides, and the reference of all stands where 1 is.
    const [, from, , to] = /<path d="M([\d.]+) ([\d.]+)H([\d.]+)" stroke="#0072b2" stroke-width="2"/.exec(svg)!;
    assert.ok(Math.abs(a!.x - Number(from) - (Number(to) - a!.x)) < 0.05);
    assert.equal(new Set([...svg.matchAll(/M([\d.]+) [\d.]+v14/g)].map(([, x]) => x)).size, 1);
  });

  test("what is missing has no dot, and groups have colours and a legend", () => {
    const svg = dotRowsSvg([row("a", 1), row("b", 2, 5, "two")], COLUMNS, { title: "T <1>" });
    const [legendOne, legendTwo, a, b] = dots(svg);
    assert.equal(dots(svg).length, 5);
    assert.deepEqual([a!.fill, b!.fill], [legendOne!.fill, legendTwo!.fill]);
    assert.notEqual(a!.fill, b!.fill);
    assert.ok(svg.includes("T &lt;1&gt;") && !svg.includes("NaN"));
  });

  test("refuses rows of another length, and none", () => {
    assert.throws(() => dotRowsSvg([{ ...row("a", 1), values: [] }], COLUMNS, { title: "T" }), ShapeError);
    assert.throws(() => dotRowsSvg([], COLUMNS, { title: "T" }), ConfigError);
  });
});
