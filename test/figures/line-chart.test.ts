import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConfigError, ShapeError } from "../../src/errors.ts";
import { lineChartSvg } from "../../src/figures/line-chart.ts";
import type { LineChartOptions, Series } from "../../src/figures/line-chart.ts";
import { svgToPng } from "../../src/figures/png.ts";

const options: LineChartOptions = { title: "Loss", xLabel: "step", yLabel: "loss (nats)" };

function series(name: string, y: ArrayLike<number>): Series {
  return { name, x: Array.from({ length: y.length }, (_, i) => i), y };
}

/** The drawn lines, by colour: vertices in pixels, one list for each piece without a gap. */
function lines(svg: string): Map<string, [x: number, y: number][][]> {
  const found = [...svg.matchAll(/<path d="([^"]*)" stroke="(#\w+)" stroke-width="2"/g)];
  return new Map(found.map(([, path = "", colour = ""]) => [colour, path.split("M").slice(1).map(vertices)]));
}

function vertices(piece: string): [number, number][] {
  return piece
    .replace("Z", "")
    .split("L")
    .map((point) => point.split(",").map(Number) as [number, number]);
}

/** Value of the vertical axis at a pixel, from the labels of its ticks. */
function valueAt(svg: string): (pixel: number) => number {
  const ticks = [...svg.matchAll(/y="([\d.]+)" text-anchor="end" fill="#444">([^<]+)</g)].map(([, y, label]) => ({
    y: Number(y) - 4,
    value: Number(label?.replace("−", "-").replaceAll(",", "")),
  }));
  const [first, last] = [ticks[0], ticks.at(-1)];
  assert.ok(first !== undefined && last !== undefined && first !== last);
  return (pixel) => first.value + ((pixel - first.y) / (last.y - first.y)) * (last.value - first.value);
}

describe("line chart", () => {
  test("puts every value where the axis says, without smoothing for a short series", () => {
    const values = [2.5, 1.75, 1.5, 1.25, 2];
    const svg = lineChartSvg([series("a", values)], options);
    const [drawn] = [...lines(svg).values()];
    assert.equal(drawn?.length, 1);
    const read = valueAt(svg);
    assert.equal(drawn[0]?.length, values.length);
    for (const [i, [, y]] of (drawn[0] ?? []).entries()) {
      assert.ok(Math.abs(read(y) - (values[i] ?? NaN)) < 0.01, `${read(y)} for ${values[i]}`);
    }
  });

  test("draws the running mean of a long series, over faint points, and says so", () => {
    // Alternating 0 and 2: the mean of any odd window of w is 1 ± 1/w.
    const svg = lineChartSvg(
      [
        series(
          "a",
          Float32Array.from({ length: 1000 }, (_, i) => 2 * (i % 2)),
        ),
      ],
      {
        ...options,
        smoothing: 21,
      },
    );
    const read = valueAt(svg);
    const [drawn] = [...lines(svg).values()];
    for (const [, y] of drawn?.[0] ?? []) assert.ok(Math.abs(read(y) - 1) < 0.1, String(read(y)));
    assert.match(svg, /Lines: running means of 21 points\. Faint: the points\./);
    assert.equal([...svg.matchAll(/h0/g)].length, 1000);
    assert.match(svg, /stroke-opacity="0\.22"/);
  });

  test("draws a smooth line that is given over the values as a faint line, and the note", () => {
    const one = { ...series("a", [4, 2, NaN, 3, 1]), smoothed: [4, 3, 3, 3, 2] };
    const svg = lineChartSvg([one], { ...options, note: "How it was smoothed." });
    const read = valueAt(svg);
    const [drawn] = [...lines(svg).values()];
    assert.deepEqual(
      drawn?.[0]?.map(([, y]) => Math.round(read(y))),
      [4, 3, 3, 3, 2],
    );
    const faint = /<path d="([^"]*)" stroke="#\w+" stroke-width="1.5" stroke-opacity="0.4"/.exec(svg)?.[1] ?? "";
    const pieces = faint.split("M").slice(1).map(vertices);
    assert.deepEqual(
      pieces.map((piece) => piece.map(([, y]) => Math.round(read(y)))),
      [
        [4, 2],
        [3, 1],
      ],
    );
    assert.doesNotMatch(svg, /h0|running means/);
    assert.match(svg, />How it was smoothed\.</);
    assert.throws(() => lineChartSvg([{ ...one, smoothed: [1] }], options), ShapeError);
    // A line through a single point would not be seen.
    assert.match(lineChartSvg([{ ...series("a", [1]), smoothed: [1] }], options), /h0/);
  });

  test("leaves a gap at a value that is not finite, with and without smoothing", () => {
    for (const smoothing of [1, 5]) {
      const svg = lineChartSvg([series("a", [3, 2, NaN, 2, 1, Infinity, 1, 1])], { ...options, smoothing });
      const [drawn] = [...lines(svg).values()];
      assert.deepEqual(
        drawn?.map((piece) => piece.length),
        [2, 2, 2],
      );
      assert.doesNotMatch(svg, /NaN|Infinity/);
    }
  });

  test("one wild value does not flatten the rest, and is counted", () => {
    const values = Array.from({ length: 1000 }, (_, i) => 2 + Math.sin(i));
    values[500] = 1e6;
    const svg = lineChartSvg([series("a", values)], { ...options, smoothing: 1 });
    assert.ok(valueAt(svg)(0) > 1e5, "without smoothing the line itself goes there");
    const smooth = lineChartSvg(
      [
        series(
          "a",
          values.map((value) => Math.min(value, 60)),
        ),
      ],
      options,
    );
    assert.ok(valueAt(smooth)(0) < 10);
    assert.match(smooth, /1 point lies outside of the range shown/);
  });

  test("names every series in its colour, and both axes, and keeps to one file", () => {
    const names = Array.from({ length: 9 }, (_, i) => `series <${i}> & a name`);
    const svg = lineChartSvg(
      names.map((name, i) => series(name, [i, i + 1])),
      { ...options, subtitle: "sub", marks: [{ x: 0.5, label: "LoRA" }] },
    );
    for (const i of names.keys()) assert.ok(svg.includes(`>series &lt;${i}&gt; &amp; a name<`));
    // Seven colours, then the same ones dashed.
    const strokes = [...svg.matchAll(/stroke-width="3"( stroke-dasharray="[^"]*")?\/?>/g)].map(([, dash]) => dash);
    assert.deepEqual(
      strokes.map((dash) => dash !== undefined),
      names.map((_, i) => i >= 7),
    );
    assert.match(svg, />↑ loss \(nats\)</);
    assert.match(svg, />step →</);
    assert.match(svg, />LoRA</);
    assert.doesNotMatch(svg, /href|url\(|@import/);
    assert.match(svg, /font-family="[^"]*sans-serif"/);
    assert.ok(svgToPng(svg).length > 10_000);
  });

  test("stays inside of the picture, and small, for a very long run", () => {
    const y = Float32Array.from({ length: 100_000 }, (_, i) => 2 + Math.sin(i * 12.9898) * 0.5 - i / 1e5);
    const svg = lineChartSvg([series("a", y), series("b", y)], { ...options, width: 600, height: 300 });
    assert.ok(svg.length < 100_000, `${svg.length} characters`);
    for (const [, x, at] of svg.matchAll(/M([\d.]+) ([\d.]+)h0/g)) {
      assert.ok(Number(x) >= 0 && Number(x) <= 600 && Number(at) >= 0 && Number(at) <= 300);
    }
  });

  test("draws a single point, and equal values", () => {
    for (const y of [[2], [2, 2, 2], [0], [0, 0]]) assert.doesNotMatch(lineChartSvg([series("a", y)], options), /NaN/);
  });

  test("says what is wrong with its arguments", () => {
    assert.throws(() => lineChartSvg([], options), ConfigError);
    assert.throws(() => lineChartSvg([series("a", [NaN])], options), /there is no finite point/);
    assert.throws(() => lineChartSvg([{ name: "a", x: [1, 2], y: [1] }], options), ShapeError);
    assert.throws(() => lineChartSvg([series("a", [1])], { ...options, width: 0 }), ConfigError);
  });
});
