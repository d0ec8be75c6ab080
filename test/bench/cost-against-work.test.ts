/** The sweep of a step's cost: which points there are, and what is computed from them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  costMarkdown,
  costSvg,
  extrapolated,
  FULL,
  keyOf,
  knownPoints,
  type Point,
  QUICK,
  workOf,
} from "../../bench/cost-against-work.ts";

/** A model whose cost is known: 1 s and 2 GB for the vocabulary, and so much for a layer and a token. */
function known(layers: number, tokens: number, r: number, batch: number): Point {
  const work = layers * tokens * batch;
  return { layers, tokens, r, batch, step_s: 1 + work / 1000, tokens_per_s: 1, peak_rss_gb: 2 + work / 4000 };
}

const points = new Map(workOf(FULL).map((work) => [keyOf(work), known(work.layers, work.tokens, work.r, work.batch)]));

test("the range is that of the claim, with each point once", () => {
  const all = workOf(FULL);
  assert.equal(new Set(all.map(keyOf)).size, all.length);
  const of = (name: "tokens" | "r" | "batch") => {
    const values = all.map((work) => work[name]);
    return [Math.min(...values), Math.max(...values)];
  };
  assert.deepEqual(
    [of("tokens"), of("r"), of("batch")],
    [
      [128, 4096],
      [1, 256],
      [1, 16],
    ],
  );
  assert.equal(FULL.whole, 24);
  assert.equal(all.filter(({ layers }) => layers === 24).length, FULL.checks.length);
});

test("the whole model is what two with fewer layers say", () => {
  const work = { tokens: 512, r: 8, batch: 4 };
  assert.ok(Math.abs(extrapolated(FULL, points, work, "step_s")! - (1 + (24 * 2048) / 1000)) < 1e-9);
  assert.ok(Math.abs(extrapolated(FULL, points, work, "peak_rss_gb")! - (2 + (24 * 2048) / 4000)) < 1e-9);
  assert.equal(extrapolated(FULL, new Map(), work, "step_s"), undefined);
});

test("points of another way of measuring, or another machine, are not known", () => {
  const text = JSON.stringify({ plan: FULL, machine: { cpu: "a" }, points: [...points.values()] });
  assert.deepEqual(knownPoints(text, FULL, "a"), points);
  assert.equal(knownPoints(text, FULL, "b").size, 0);
  assert.equal(knownPoints(text, { ...FULL, steps: 9 }, "a").size, 0);
  assert.equal(knownPoints(text, QUICK, "a").size, 0);
});

test("a table and six charts, also of a run that is not at its end", () => {
  const text = costMarkdown(FULL, points, "Here.");
  assert.match(text, /\| 4096 \| 9\.192 \| 17\.384 \| 99\.30 \|  \| 6\.10 \| 26\.58 \|  \|/);
  assert.match(text, /\| 1024 \| 3\.048 \| 5\.096 \| 25\.58 \| 25\.58 \| 3\.02 \| 8\.14 \| 8\.14 \|/);
  assert.equal(costSvg(FULL, points)!.match(/<title>/g)?.length, 6);
  const some = new Map([...points].slice(0, 3));
  assert.equal(costSvg(FULL, some), undefined);
  assert.ok(!costSvg(FULL, new Map([...points].slice(0, 21)))!.includes("NaN"));
  assert.match(costMarkdown(FULL, some, ""), /\| 4096 \| +\|/);
});
