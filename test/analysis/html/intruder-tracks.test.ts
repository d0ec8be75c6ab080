import assert from "node:assert/strict";
import { test } from "node:test";
import { tracksOf } from "../../../src/analysis/html/intruder-tracks.ts";
import { climbing } from "./planted-report.ts";

test("an intruder is one track while it climbs; one that resembles no earlier vector begins a new one", () => {
  const tracks = tracksOf(climbing("q"));
  assert.deepEqual(
    tracks.map(({ points }) => points.map(({ step, rank }) => [step, rank])),
    [
      [
        [100, 6],
        [200, 4],
        [300, 2],
        [400, 1],
      ],
      [
        [300, 7],
        [400, 7],
      ],
    ],
  );
  assert.deepEqual(
    tracks[0]!.points.map(({ sameAsBefore }) => sameAsBefore === null),
    [true, false, false, false],
  );
  // What the new one resembled a little is no turn of its own.
  assert.equal(tracks[1]!.points[0]!.sameAsBefore, null);
});

test("matrices are kept apart, a vector goes on in one place only, and a pause ends a track", () => {
  const intruder = (rank: number, before: number | null, same = 0.9) => ({
    rank,
    sigma: 1,
    max_cos: 0.1,
    same_as_before: before === null ? null : same,
    rank_before: before,
  });
  const step = (at: number, matrices: Record<string, ReturnType<typeof intruder>[]>) => ({
    step: at,
    path: "",
    total_intruders: 0,
    effective_rank_delta: 1,
    matrices: Object.entries(matrices).map(([name, intruders]) => ({ name, intruders })),
  });
  const two = tracksOf([
    step(1, { a: [intruder(1, null)] }),
    step(2, { b: [intruder(1, 1)], a: [intruder(2, 1), intruder(3, 1)] }),
  ]);
  assert.deepEqual(
    two.map(({ matrix, points }) => [matrix, points.map(({ rank }) => rank)]),
    [
      ["a", [1, 2]],
      ["b", [1]],
      ["a", [3]],
    ],
  );
  const turned = tracksOf([step(1, { a: [intruder(1, null)] }), step(2, { a: [intruder(1, 1, 0.49)] })]);
  assert.equal(turned.length, 2);
  const paused = tracksOf([step(1, { a: [intruder(1, null)] }), step(2, {}), step(3, { a: [intruder(1, 1)] })]);
  assert.deepEqual(
    paused.map(({ points }) => points.map((point) => point.step)),
    [[3], [1]],
  );
});
