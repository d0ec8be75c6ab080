import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { svgToPng } from "../../src/figures/png.ts";
import { panelsSvg, type XyChartOptions, xyChartSvg } from "../../src/figures/xy-chart.ts";

const OPTIONS: XyChartOptions = { title: "Cost", x: { label: "work" }, y: { label: "seconds" } };
const LOG: XyChartOptions = {
  ...OPTIONS,
  x: { label: "work", log: true, ticks: [1, 10, 100] },
  y: { label: "s", log: true },
};

function dots(svg: string): { x: number; y: number }[] {
  return [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4.5" fill="(?!#fff)/g)].map(([, x, y]) => ({
    x: Number(x),
    y: Number(y),
  }));
}

/** Boxes of the labels of points, as wide as the text is at most. */
function labels(svg: string): { text: string; left: number; top: number; right: number; bottom: number }[] {
  return [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)" font-size="11"[^>]*paint-order="stroke">([^<]+)</g)].map(
    ([, x, y, text = ""]) => {
      const [left, bottom] = [Number(x), Number(y)];
      return { text, left, bottom, right: left + text.length * 5, top: bottom - 9 };
    },
  );
}

describe("xy chart", () => {
  test("equal factors are equal distances on a logarithmic scale, equal differences on a linear one", () => {
    const points = [1, 10, 100].map((value) => ({ x: value, y: value }));
    const [a, b, c] = dots(xyChartSvg([{ name: "s", points }], LOG));
    assert.ok(Math.abs(b!.x - a!.x - (c!.x - b!.x)) < 0.1 && Math.abs(b!.y - a!.y - (c!.y - b!.y)) < 0.1);
    assert.ok(c!.x > a!.x && c!.y < a!.y);
    const [d, e, f] = dots(xyChartSvg([{ name: "s", points }], OPTIONS));
    assert.ok(Math.abs((f!.x - d!.x) / (e!.x - d!.x) - 99 / 9) < 0.1);
  });

  test("labels of points that lie close stand apart from each other and from all points", () => {
    const points = Array.from({ length: 14 }, (_, i) => ({
      x: 1 + (i % 4) * 0.02,
      y: 1 + (i % 5) * 0.01,
      label: `method ${i}`,
    }));
    const far = [{ x: 10, y: 10 }];
    const svg = xyChartSvg(
      [
        { name: "a", points },
        { name: "b", points: far },
      ],
      { ...OPTIONS, width: 1000, height: 600 },
    );
    const found = labels(svg);
    assert.ok(found.length >= 12, `${found.length} labels`);
    for (const [i, one] of found.entries()) {
      for (const other of found.slice(i + 1)) {
        const apart =
          one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top;
        assert.ok(apart, `${one.text} and ${other.text}`);
      }
      for (const dot of dots(svg)) {
        assert.ok(dot.x < one.left || dot.x > one.right || dot.y < one.top || dot.y > one.bottom, one.text);
      }
    }
  });

  test("leaves out what a scale cannot show, and refuses to draw nothing", () => {
    const points = [
      { x: 0, y: 1 },
      { x: 2, y: NaN },
      { x: 3, y: 4 },
    ];
    const svg = xyChartSvg([{ name: "s", points }], LOG);
    assert.equal(dots(svg).length, 1);
    assert.ok(!svg.includes("NaN"));
    assert.throws(() => xyChartSvg([{ name: "s", points: points.slice(0, 2) }], LOG), ConfigError);
  });

  test("a level is a line at its value, names are escaped, and panels stand beside and under each other", () => {
    const one = xyChartSvg(
      [
        {
          name: "s",
          points: [
            { x: 1, y: 2, label: "a<b" },
            { x: 2, y: 4 },
          ],
        },
      ],
      {
        ...OPTIONS,
        levels: [{ y: 4, label: "before & after" }],
      },
    );
    const level = /M70 ([\d.]+)H\d+" stroke="#777"/.exec(one);
    assert.ok(Math.abs(Number(level?.[1]) - dots(one)[1]!.y) < 0.01);
    assert.ok(one.includes("before &amp; after") && one.includes("a&lt;b"));
    const all = panelsSvg([one, one, one], 2);
    assert.match(all, /^<svg [^>]*width="1720" height="1040"/);
    assert.ok(all.includes(`<svg x="860" y="0"`) && all.includes(`<svg x="0" y="520"`));
    assert.ok(svgToPng(all, 0.25).length > 1000);
  });
});
