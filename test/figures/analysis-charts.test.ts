import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { cosineScatterSvg } from "../../src/figures/cosine-scatter.ts";
import { intruderTrackCharts, intruderTracksSvg } from "../../src/figures/intruder-tracks.ts";
import { layerProfileSvg } from "../../src/figures/layer-profile.ts";
import { lowerTriangle, overlapPanelsSvg, overlapSvg } from "../../src/figures/overlap-panels.ts";
import { svgToPng } from "../../src/figures/png.ts";
import { rankCurveSvg } from "../../src/figures/rank-curve.ts";
import { similarityMapSvg } from "../../src/figures/similarity-maps.ts";
import { spectraSvg } from "../../src/figures/spectra.ts";
import { sweepSvg } from "../../src/figures/sweep.ts";
import { taskMatrixSvg } from "../../src/figures/task-matrix.ts";

interface Dot {
  readonly x: number;
  readonly y: number;
  readonly fill: string;
}

/** Filled circles of the points; those of legends stand above all ticks. */
function dots(svg: string): Dot[] {
  const highest = Math.min(...tickPlaces(svg, "end").map(({ at }) => at)) - 25;
  return [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4.5" fill="(#\w{6})"/g)]
    .map(([, x, y, fill = ""]) => ({ x: Number(x), y: Number(y), fill }))
    .filter(({ y }) => y > highest);
}

function tickPlaces(svg: string, anchor: "end" | "middle"): { at: number; text: string }[] {
  const pattern = /<text x="([\d.]+)" y="([\d.]+)" text-anchor="(end|middle)" fill="#444">([^<]+)</g;
  return [...svg.matchAll(pattern)].flatMap(([, x, y, kind, text = ""]) =>
    kind === anchor ? [{ at: anchor === "end" ? Number(y) - 4 : Number(x), text }] : [],
  );
}

/** Value at a place of the vertical axis, by its ticks. */
function reading(svg: string): (y: number) => number {
  const ticks = tickPlaces(svg, "end");
  const value = (text: string) => Number(text.replaceAll(",", "").replace("−", "-"));
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const slope = (value(last.text) - value(first.text)) / (last.at - first.at);
  return (y) => value(first.text) + slope * (y - first.at);
}

const INTRUDER = "#d55e00";

describe("scatter of cosines", () => {
  const maxCos = [0.2, 0.9, 0.3, 0.95, 0.1];
  const scatter = { title: "T", maxCos, epsilon: 0.5, k: 3, nullLevel: 0.25 };

  test("points stand at their cosines; intruders are those of the first k below ε, with their ranks", () => {
    const svg = cosineScatterSvg(scatter);
    const read = reading(svg);
    const drawn = dots(svg).sort((a, b) => a.x - b.x);
    assert.deepEqual(
      drawn.map(({ y }) => Math.round(read(y) * 100) / 100),
      maxCos,
    );
    assert.deepEqual(
      drawn.map(({ fill }) => fill === INTRUDER),
      [true, false, true, false, false],
    );
    const labels = [...svg.matchAll(/paint-order="stroke">([^<]+)</g)].map(([, text]) => text);
    assert.deepEqual(labels, ["1", "3"]);
    const given = dots(cosineScatterSvg({ ...scatter, intruderRanks: [3] })).filter(({ fill }) => fill === INTRUDER);
    assert.equal(given.length, 1);
  });

  test("the lines of ε and of the null level are where they belong, and k behind its last vector", () => {
    const svg = cosineScatterSvg(scatter);
    const read = reading(svg);
    const levels = [...svg.matchAll(/<path d="M70 ([\d.]+)H\d+" stroke="#777"/g)].map(([, y]) => read(Number(y)));
    assert.ok(Math.abs(levels[0]! - 0.5) < 0.01 && Math.abs(levels[1]! - 0.25) < 0.01);
    assert.ok(svg.includes("ε = 0.5") && svg.includes("a random vector: 0.25") && svg.includes("k = 3"));
    const upright = Number(/<path d="M([\d.]+) [\d.]+V/.exec(svg)?.[1]);
    const [, , third, fourth] = dots(svg).sort((a, b) => a.x - b.x);
    assert.ok(upright > third!.x && upright < fourth!.x);
  });

  test("its legend stands above all points, and thousands of vectors stay a small file", () => {
    const many = Array.from({ length: 4096 }, (_, i) => Math.abs(Math.sin(i)));
    const svg = cosineScatterSvg({ ...scatter, maxCos: many, k: 10, title: "Many" });
    assert.ok(svg.length < 14_000, `${svg.length}`);
    // All of the first ranks, and the last one.
    const drawn = [...svg.matchAll(/M([\d.]+) ([\d.]+)h0/g)].map(([, x]) => Number(x));
    assert.equal(drawn.length + dots(svg).length, 700);
    assert.ok(Math.abs(Math.max(...drawn) - (460 - 28)) < 20);
    const top = Math.min(...tickPlaces(svg, "end").map(({ at }) => at));
    const legend = [...svg.matchAll(/<g transform="translate\([\d.]+ ([\d.]+)\)">[^]*?<\/g>/g)][0]!;
    const lowest = Math.max(...[...legend[0].matchAll(/y="([\d.]+)"/g)].map(([, y]) => Number(y)));
    assert.ok(Number(legend[1]) + lowest < top - 4);
  });
});

describe("similarity maps", () => {
  const values = Array.from({ length: 10 }, (_, i) => Array.from({ length: 10 }, (_, j) => (i === j ? 0.98 : 0.02)));

  test("outlines the columns of intruders, by rank, and only where a column is one vector", () => {
    const outlines = (svg: string) => [...svg.matchAll(/class="outline"/g)].length;
    const svg = similarityMapSvg({ title: "T", values, intruderRanks: [2, 7, 40] });
    assert.equal(outlines(svg), 2);
    const columns = [...svg.matchAll(/<rect x="([\d.]+)"[^>]*><title>1, (\d+):/g)].map(([, x, column]) => [column, x]);
    const found = [...svg.matchAll(/<rect x="([\d.]+)"[^>]*class="outline"/g)].map(([, x]) => x);
    assert.deepEqual(found, [columns[1]![1], columns[6]![1]]);
    const pooled = similarityMapSvg({
      title: "T",
      values,
      intruderRanks: [2],
      pooledFrom: { rows: 640, columns: 640 },
    });
    assert.equal(outlines(pooled), 0);
    assert.match(pooled, /largest \|cosine\|/);
    assert.match(svg, />\.98</);
  });
});

describe("curves", () => {
  test("a sweep has a line for each series with its values", () => {
    const x = [0, 0.5, 1];
    const svg = sweepSvg(
      [
        { name: "one", x, y: [0, 10, 20] },
        { name: "two & more", x, y: [5, 5, 5], spread: [1, 1, 1] },
      ],
      { title: "T", x: { label: "ε" }, y: { label: "count", from: 0 }, level: { y: 12, label: "full" } },
    );
    const read = reading(svg);
    assert.deepEqual(
      dots(svg).map(({ y }) => Math.round(read(y))),
      [0, 10, 20, 5, 5, 5],
    );
    assert.ok(svg.includes("two &amp; more") && svg.includes(">full<"));
    assert.match(svg, /stroke-opacity="0.6"/);
  });

  test("ranks are at equal distances for equal factors, and full fine-tuning is at the right of all", () => {
    const points = [
      { rank: "full" as const, y: 4 },
      { rank: 1, y: 3 },
      { rank: 4, y: 2 },
      { rank: 16, y: 1 },
    ];
    const svg = rankCurveSvg([{ name: "α = 2r", points }], { title: "U", y: { label: "loss" } });
    const read = reading(svg);
    const drawn = dots(svg);
    assert.deepEqual(
      drawn.map(({ y }) => Math.round(read(y))),
      [3, 2, 1, 4],
    );
    const gaps = drawn.slice(1).map(({ x }, i) => x - drawn[i]!.x);
    assert.ok(Math.abs(gaps[0]! - gaps[1]!) < 0.05 && gaps[2]! > 20);
    assert.deepEqual(
      tickPlaces(svg, "middle").map(({ text }) => text),
      ["1", "4", "16", "full"],
    );
  });

  test("a profile leaves out layers that a series has not, and its ticks are whole numbers", () => {
    const svg = layerProfileSvg(
      [
        { name: "q", values: [1, null, 3] },
        { name: "v", values: [2, 2, 2] },
      ],
      { title: "T", y: { label: "rank", from: 0 } },
    );
    assert.equal(dots(svg).length, 5);
    for (const { text } of tickPlaces(svg, "middle")) assert.match(text, /^\d$/);
  });

  test("spectra leave out zeros and rounding, mark ranks, and draw few of thousands of values", () => {
    const svg = spectraSvg(
      [
        { name: "W", sigma: [10, 1, 0.1, 1e-7, 0], marked: [2] },
        { name: "ΔW", sigma: [5, 0] },
      ],
      { title: "T", markedName: "intruders" },
    );
    assert.equal(dots(svg).length, 4);
    assert.match(svg, />intruders</);
    const [a, b, c] = dots(svg);
    assert.ok(Math.abs(b!.y - a!.y - (c!.y - b!.y)) < 0.05, "equal factors are equal distances");
    assert.ok(!svg.includes("NaN") && !svg.includes("Infinity"));
    const large = spectraSvg([{ name: "W", sigma: Array.from({ length: 4096 }, (_, i) => 1 / (i + 1)) }], {
      title: "T",
    });
    assert.ok(large.length < 12_000, `${large.length}`);
  });
});

describe("overlap of subspaces", () => {
  const grid = [
    [0.9, 0.5, 0.4],
    [0.5, 0.6, 0.5],
  ];

  test("all panels have the colours of one range, and stand beside each other", () => {
    const panels = ["ΔW of q", "ΔW of v", "Gaussian <control>"].map((title) => ({ title, grid }));
    const svg = overlapPanelsSvg(panels);
    assert.match(svg, /^<svg [^>]*width="1380"/);
    const fills = panels.map((panel) =>
      [...overlapSvg(panel).matchAll(/fill="(#\w+)"><title>/g)].map(([, fill]) => fill),
    );
    assert.deepEqual(fills[0], fills[2]);
    assert.ok(svg.includes("Gaussian &lt;control&gt;"));
    assert.ok(svgToPng(svg, 0.3).length > 1000);
    // Half of the range: colours are lighter.
    assert.notEqual(overlapSvg(panels[0]!, { high: 2 }), overlapSvg(panels[0]!));
  });

  test("the triangle has no cell twice", () => {
    assert.deepEqual(lowerTriangle([...grid, [0.1, 0.2, 0.3]], 3), [
      [0.9, 0.5, 0.4],
      [null, 0.6, 0.5],
      [null, null, 0.3],
    ]);
  });
});

test("a task matrix has its numbers in per cent, the baseline above, and what was just learned outlined", () => {
  const svg = taskMatrixSvg({
    title: "T",
    tasks: ["one", "two"],
    accuracies: [
      [0.912, 0.5],
      [0.804, null],
    ],
    baseline: [0.512, 0.498],
  });
  const cells = [...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)"[^>]*><title>([^<]*)</g)];
  assert.deepEqual(
    cells.map(([, , , said]) => said),
    [
      "(nothing yet), one: 51.2",
      "(nothing yet), two: 49.8",
      "1. one, one: 91.2",
      "1. one, two: 50.0",
      "2. two, one: 80.4",
      "2. two, two: –",
    ],
  );
  const outlined = [...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)"[^>]*class="outline"/g)].map(([, x, y]) => [x, y]);
  assert.deepEqual(
    outlined,
    [cells[2]!, cells[5]!].map(([, x, y]) => [x, y]),
  );
});

test("tracks: rank 1 is at the top, the rotation begins with the second checkpoint, and all fit into one picture", () => {
  const points = [5, 2, 1].map((rank, i) => ({
    step: 100 * i,
    sigma: 1 + i,
    rank,
    sameAsBefore: i === 0 ? null : 0.8,
  }));
  const charts = intruderTrackCharts([{ name: "layer 0 <q>", points }], { title: "σ" });
  assert.equal(charts.length, 3);
  const [sigma, rank, rotation] = charts.map(dots);
  assert.ok(sigma![0]!.y > sigma![2]!.y, "a larger σ is higher");
  assert.ok(rank![0]!.y > rank![1]!.y && rank![1]!.y > rank![2]!.y, "rank 1 is highest");
  assert.equal(rotation!.length, 2);
  assert.deepEqual(
    rotation!.map(({ x }) => x),
    sigma!.slice(1).map(({ x }) => x),
  );
  assert.match(intruderTracksSvg([{ name: "a", points }], { title: "σ" }), /height="840"/);
  const single = points.slice(0, 1);
  assert.equal(intruderTrackCharts([{ name: "a", points: single }], { title: "σ" }).length, 2);
});
