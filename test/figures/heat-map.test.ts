import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode } from "fast-png";
import { ConfigError, ShapeError } from "../../src/errors.ts";
import { colourAt, hex, MISSING } from "../../src/figures/colour-map.ts";
import { type HeatMapOptions, heatMapSvg } from "../../src/figures/heat-map.ts";

const OPTIONS: HeatMapOptions = {
  title: "Map",
  rows: { label: "base" },
  columns: { label: "tuned" },
  valueLabel: "|cos|",
};

interface Cell {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly fill: string;
  readonly said: string;
}

function cellsOf(svg: string): Cell[] {
  const found = svg.matchAll(
    /<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="(#\w+)"><title>([^<]*)</g,
  );
  return [...found].map(([, x, y, width, height, fill = "", said = ""]) => ({
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
    fill,
    said,
  }));
}

function outlinesOf(svg: string): { x: number; y: number; width: number; height: number }[] {
  const found = svg.matchAll(
    /<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="none"[^>]*class="outline"/g,
  );
  return [...found].map(([, x, y, width, height]) => ({
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
  }));
}

/** Texts of ticks and the places where they stand. */
function ticksOf(svg: string, anchor: "end" | "middle"): { at: number; text: string }[] {
  const found = svg.matchAll(
    /<text x="([\d.]+)" y="([\d.]+)" font-size="11" text-anchor="(end|middle)" fill="#444">([^<]+)</g,
  );
  return [...found].flatMap(([, x, y, kind, text = ""]) =>
    kind === anchor ? [{ at: anchor === "end" ? Number(y) - 4 : Number(x), text }] : [],
  );
}

describe("heat map", () => {
  test("cell (i, j) is in row i from the top and column j from the left, in the colour of its number", () => {
    const values = [
      [0, 0.25, 0.5],
      [0.75, 1, 2],
    ];
    const cells = cellsOf(heatMapSvg(values, OPTIONS));
    assert.deepEqual(
      cells.map(({ fill }) => fill),
      values.flat().map((value) => hex(colourAt(value))),
    );
    const [a, b, , d] = cells;
    assert.ok(Math.abs(b!.x - (a!.x + a!.width)) < 0.02 && b!.y === a!.y, "columns are beside each other");
    assert.ok(d!.x === a!.x && Math.abs(d!.y - (a!.y + a!.height)) < 0.02, "rows are below each other");
    assert.equal(d!.said, "2, 1: 0.75");
  });

  test("only the outlined columns are outlined, over all rows; single cells alone", () => {
    const values = Array.from({ length: 6 }, () => Array.from({ length: 5 }, () => 0.1));
    const svg = heatMapSvg(values, { ...OPTIONS, outlinedColumns: [1, 4], outlineLabel: "intruder" });
    const cells = cellsOf(svg);
    const outlines = outlinesOf(svg);
    assert.deepEqual(
      outlines.map(({ x }) => x),
      [cells[1]!.x, cells[4]!.x],
    );
    for (const { y, height } of outlines) {
      assert.equal(y, cells[0]!.y);
      assert.ok(Math.abs(y + height - (cells.at(-1)!.y + cells.at(-1)!.height)) < 0.05);
    }
    assert.match(svg, />intruder</);
    const single = heatMapSvg(values, { ...OPTIONS, outlinedCells: [[2, 3]] });
    assert.deepEqual(outlinesOf(single), [{ ...pick(cellsOf(single)[2 * 5 + 3]!) }]);
    assert.equal(outlinesOf(heatMapSvg(values, OPTIONS)).length, 0);
  });

  test("numbers stand in the middle of their cells, and not where they have no room", () => {
    const values = [
      [0.12, 0.98],
      [1, 0],
    ];
    const svg = heatMapSvg(values, { ...OPTIONS, numbers: true });
    const group = /<g font-size="([\d.]+)" text-anchor="middle"[^>]*>([^]*?)<\/g>/.exec(svg);
    const numbers = [...(group?.[2] ?? "").matchAll(/<text x="([\d.]+)" y="[\d.]+" fill="(#\w+)">([^<]+)</g)];
    assert.deepEqual(
      numbers.map(([, , , text]) => text),
      ["0.12", "0.98", "1", "0"],
    );
    // Dark cells have white numbers.
    assert.deepEqual(
      numbers.map(([, , fill]) => fill),
      ["#fff", "#000", "#000", "#fff"],
    );
    const cells = cellsOf(svg);
    for (const [i, [, x]] of numbers.entries())
      assert.ok(Math.abs(Number(x) - cells[i]!.x - cells[i]!.width / 2) < 0.02);
    const many = Array.from({ length: 30 }, () => Array.from({ length: 30 }, () => 0.12));
    assert.doesNotMatch(heatMapSvg(many, { ...OPTIONS, numbers: true }), /<g font-size/);
    assert.doesNotMatch(heatMapSvg(values, OPTIONS), /<g font-size/);
  });

  test("a large map is one image with a pixel of the right colour for each cell", () => {
    const values = Array.from({ length: 40 }, (_, i) => Array.from({ length: 50 }, (_, j) => (i * 50 + j) / 2000));
    const svg = heatMapSvg(values, OPTIONS);
    const [, data = ""] = /href="data:image\/png;base64,([^"]+)"/.exec(svg) ?? [];
    const png = decode(Buffer.from(data, "base64"));
    const factor = png.width / 50;
    assert.ok(Number.isInteger(factor) && png.height === 40 * factor);
    for (const [i, j] of [
      [0, 0],
      [0, 49],
      [39, 0],
      [17, 31],
    ] as const) {
      const shown = png.palette![png.data[(i * factor + 1) * png.width + j * factor + 1]!]!;
      for (const [channel, byte] of colourAt(values[i]![j]!).entries())
        assert.ok(Math.abs(shown[channel]! - byte) <= 3);
    }
    assert.ok(svg.length < 12_000, `${svg.length}`);
  });

  test("what is missing in an image has its own colour", () => {
    const values = Array.from({ length: 30 }, (_, i) => Array.from({ length: 30 }, () => (i === 3 ? null : 1)));
    const [, data = ""] = /base64,([^"]+)"/.exec(heatMapSvg(values, OPTIONS)) ?? [];
    const png = decode(Buffer.from(data, "base64"));
    const at = (row: number) => png.palette![png.data[(row + 0.5) * (png.height / 30) * png.width]!];
    assert.deepEqual([at(2), at(3)], [[...colourAt(1)], [...MISSING]]);
  });

  test("ticks say the rank that a place stands for, with cells that stand for several, too", () => {
    const values = Array.from({ length: 64 }, () => Array.from({ length: 64 }, () => 0));
    for (const [step, last] of [
      [1, 64],
      [14, 896],
    ] as const) {
      const svg = heatMapSvg(values, { ...OPTIONS, columns: { label: "tuned", step }, rows: { label: "base", step } });
      const [, left = "", top = "", width = "", height = ""] =
        /<image x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/.exec(svg) ?? [];
      for (const [ticks, start, length] of [
        [ticksOf(svg, "middle"), Number(left), Number(width)],
        [ticksOf(svg, "end"), Number(top), Number(height)],
      ] as const) {
        assert.ok(ticks.length >= 4, `${ticks.length}`);
        assert.equal(ticks[0]!.text, "1");
        for (const { at, text } of ticks) {
          const rank = Number(text.replaceAll(",", ""));
          assert.ok(Math.abs(at - (start + ((rank - 0.5) / last) * length)) < 0.02, text);
        }
        for (const [i, { at }] of ticks.entries()) assert.ok(i === 0 || at - ticks[i - 1]!.at > 9, "apart");
      }
    }
  });

  test("the colour bar has the ends of the range, and automatic ranges those of the data", () => {
    const bar = (svg: string) =>
      [...svg.matchAll(/font-size="10" text-anchor="middle"[^>]*>([^<]+)</g)].map(([, text]) => text);
    assert.deepEqual(bar(heatMapSvg([[0.2, 0.4]], OPTIONS)), ["0", "0.5", "1"]);
    const auto = heatMapSvg([[20, 60, null]], { ...OPTIONS, range: "auto" });
    assert.deepEqual(bar(auto), ["20", "40", "60"]);
    assert.deepEqual(
      cellsOf(auto).map(({ fill }) => fill),
      [hex(colourAt(0)), hex(colourAt(1)), hex(MISSING)],
    );
  });

  test("names are escaped, and turned upright where they are wider than their columns", () => {
    const names = ["<b>one</b>", "two & three", "four"];
    const values = names.map(() => [0, 0, 0]);
    const wide = heatMapSvg(values, {
      ...OPTIONS,
      rows: { label: "r", names },
      columns: { label: "c", names },
      width: 700,
    });
    assert.ok(wide.includes("&lt;b&gt;one") && !wide.includes("<b>"));
    const narrow = heatMapSvg(values, {
      ...OPTIONS,
      columns: { label: "c", names: names.map((name) => name.repeat(5)) },
      width: 200,
    });
    assert.match(narrow, /rotate\(-90\)/);
    assert.doesNotMatch(heatMapSvg(values, OPTIONS), /rotate/);
  });

  test("a gap below a row moves the rows after it", () => {
    const values = [[1], [1], [1]];
    const [a, b, c] = cellsOf(heatMapSvg(values, { ...OPTIONS, gapBelow: 0 }));
    assert.ok(b!.y - a!.y > a!.height + 4 && Math.abs(c!.y - b!.y - b!.height) < 0.02);
  });

  test("says what is wrong with its arguments", () => {
    assert.throws(() => heatMapSvg([], OPTIONS), ConfigError);
    assert.throws(() => heatMapSvg([[1, 2], [3]], OPTIONS), ShapeError);
    assert.throws(() => heatMapSvg([[1, 2]], { ...OPTIONS, columns: { label: "c", names: ["one"] } }), ShapeError);
  });
});

function pick({ x, y, width, height }: Cell): { x: number; y: number; width: number; height: number } {
  return { x, y, width, height };
}
