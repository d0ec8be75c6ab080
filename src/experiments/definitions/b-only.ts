/** Only B is trained, A is fixed with orthonormal rows: is it the product of two trained matrices that makes intruders? */
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { rankCurve } from "../frame/charts.ts";
import { spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove, isSame } from "../frame/verdict.ts";
import { totalIntruders } from "../jobs/spectra.ts";
import { claimOf } from "./claims.ts";
import { rankCurveOf } from "./curves.ts";
import {
  accuracy,
  effectiveRank,
  ILLUSION,
  loraRun,
  ofRuns,
  ofSpectra,
  percentOf,
  pretrainingLoss,
  relativeChange,
  type Run,
  SETTING,
  withSpectra,
} from "./protocol.ts";

const RANKS: readonly number[] = [1, 4, 8];
const QUICK_RANKS: readonly number[] = [1, 8];
const LIKE_ACCURACY = 0.05;

const ranksOf = ({ quick }: Scale) => (quick ? QUICK_RANKS : RANKS);
const both =
  (r: number): Run =>
  (seed) =>
    loraRun(r, seed);
const fixed =
  (r: number): Run =>
  (seed) =>
    loraRun(r, seed, { fixedA: true });

export const B_ONLY: Experiment = {
  name: "b-only",
  title: "Training B alone",
  about: "Do fewer intruders come when A is fixed with all singular values 1, so that only one factor is trained?",
  source: `${ILLUSION}, appendix A.5`,
  minutes: 4,
  setting: [
    ...SETTING,
    "B only: A is drawn with orthonormal rows and not trained. Same learning rates as with both: rows of length 1 instead of 0.58 make its steps the larger ones.",
  ],
  jobs: (scale) =>
    withSpectra(
      scale,
      ranksOf(scale).flatMap((r) => [both(r), fixed(r)]),
    ),
  conclude,
};

function conclude(results: Results, scale: Scale): Conclusion {
  const ranks = ranksOf(scale);
  const counts = (run: Run) => ofSpectra(results, scale, run, totalIntruders);
  const right = (run: Run) => ofRuns(results, scale, run, accuracy);
  const claims = [
    ...ranks.map((r) =>
      claimOf(
        {
          claim: `r = ${r}: training B alone gives fewer intruders`,
          source: `${ILLUSION}, appendix A.5`,
          published: "a sharp drop",
        },
        isAbove(counts(both(r)), counts(fixed(r)), { digits: 1 }),
        `both ${spreadOf(counts(both(r)), 1)}, B only ${spreadOf(counts(fixed(r)), 1)} of 280`,
      ),
    ),
    claimOf(
      {
        claim: `… at an accuracy within ${100 * LIKE_ACCURACY} points`,
        source: `${ILLUSION}, appendix A.5`,
        published: "comparable",
      },
      allOf(ranks.map((r) => [`r = ${r}`, isSame(right(both(r)), right(fixed(r)), LIKE_ACCURACY)])),
      ranks.map((r) => `r = ${r}: ${percentOf(right(both(r)))} and ${percentOf(right(fixed(r)))}`).join("; "),
    ),
  ];
  const curve = (name: string, of: (r: number) => Run) =>
    rankCurveOf(
      name,
      ranks.map((r) => [r, counts(of(r))]),
    );
  const row = (name: string, run: Run) => [
    name,
    percentOf(right(run)),
    spreadOf(ofRuns(results, scale, run, pretrainingLoss), 3),
    spreadOf(counts(run), 1),
    spreadOf(ofSpectra(results, scale, run, effectiveRank), 1),
    spreadOf(ofSpectra(results, scale, run, relativeChange), 3),
  ];
  return {
    claims,
    figures: [
      {
        name: "intruders-b-only",
        title: "Intruders with and without training A",
        caption: "k = 10, ε = 0.5. Bars: standard deviation over seeds.",
        chart: () =>
          rankCurve([curve("A and B", both), curve("B only", fixed)], {
            title: "Intruders with and without training A",
            y: { label: "intruders among 280 vectors", from: 0 },
          }),
      },
    ],
    tables: [
      {
        name: "b-only",
        title: "Every setting: mean ± standard deviation over seeds",
        columns: ["setting", "accuracy", "pretraining loss", "intruders", "effective rank", "‖ΔW‖/‖W₀‖"],
        rows: ranks.flatMap((r) => [row(`r = ${r}, A and B`, both(r)), row(`r = ${r}, B only`, fixed(r))]),
      },
    ],
    notes: [
      "With one learning rate the two do not move equally far: compare the column ‖ΔW‖/‖W₀‖ before blaming the product.",
    ],
  };
}
