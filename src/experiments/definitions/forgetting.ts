/** What is forgotten of pretraining, over the rank: the two versions of one paper disagree, and here is what the data give. */
import { type Conclusion, type Experiment, job, type Results, type Scale } from "../experiment.ts";
import { rankCurve } from "../frame/charts.ts";
import { spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove } from "../frame/verdict.ts";
import { TRAIN } from "../jobs/train.ts";
import { claimOf } from "./claims.ts";
import { rankCurveOf } from "./curves.ts";
import { ofFixedAlpha, ofFull, ofRank, rankPlan, rankRuns } from "./intruders.ts";
import {
  accuracy,
  baseJob,
  FULL_RANK,
  ILLUSION,
  ofRuns,
  percentOf,
  pretrainingLoss,
  type Run,
  SETTING,
} from "./protocol.ts";

export const FORGETTING: Experiment = {
  name: "forgetting",
  title: "Forgetting over the rank",
  about: "Does LoRA forget less of pretraining than full fine-tuning, and at which rank least?",
  source: `${ILLUSION}, v1 fig. 9 and v3 fig. 6`,
  minutes: 6,
  setting: SETTING,
  jobs: (scale) => [baseJob, ...scale.seeds.flatMap((seed) => rankRuns(scale).map((run) => job(TRAIN, run(seed))))],
  conclude,
};

function conclude(results: Results, scale: Scale): Conclusion {
  const { ranks, fixedAlphaRanks } = rankPlan(scale);
  const base = results.of(baseJob)?.pretrainingLoss ?? NaN;
  /** Nats above the base. */
  const forgotten = (run: Run) => ofRuns(results, scale, run, pretrainingLoss).map((loss) => loss - base);
  const words = (run: Run) => spreadOf(forgotten(run), 3);
  const inner = ranks.filter((r) => r >= 8 && r < FULL_RANK);
  const full = forgotten(ofFull);
  const claims = [
    claimOf(
      {
        claim: "v1: r = 1 forgets more than full fine-tuning",
        source: `${ILLUSION} v1, fig. 9: left end of the U curve`,
        published: "r = 1 above full fine-tuning",
      },
      isAbove(forgotten(ofRank(1)), full, { digits: 3 }),
      `r = 1 ${words(ofRank(1))}, full ${words(ofFull)} nats`,
    ),
    claimOf(
      {
        claim: `v1: full rank forgets more than full fine-tuning`,
        source: `${ILLUSION} v1, fig. 9: right end of the U curve`,
        published: "r = 768 above full fine-tuning",
      },
      isAbove(forgotten(ofRank(FULL_RANK)), full, { digits: 3 }),
      `r = ${FULL_RANK} ${words(ofRank(FULL_RANK))}, full ${words(ofFull)} nats`,
    ),
    claimOf(
      {
        claim: "v1: ranks between forget less than full fine-tuning",
        source: `${ILLUSION} v1, fig. 9: bottom of the U curve`,
        published: "r = 8 and r = 64 below full fine-tuning, r = 64 lowest",
      },
      allOf(inner.map((r) => [`r = ${r}`, isAbove(full, forgotten(ofRank(r)), { digits: 3 })])),
      `${inner.map((r) => `r = ${r} ${words(ofRank(r))}`).join(", ")}, full ${words(ofFull)} nats`,
    ),
    claimOf(
      {
        claim: "v3: with α = 2r LoRA forgets less than full fine-tuning at every rank",
        source: `${ILLUSION} v3, fig. 6`,
        published: "less at all tested ranks, 1 to 64",
      },
      allOf(
        ranks.filter((r) => r < FULL_RANK).map((r) => [`r = ${r}`, isAbove(full, forgotten(ofRank(r)), { digits: 3 })]),
      ),
      `${ranks
        .filter((r) => r < FULL_RANK)
        .map((r) => `r = ${r} ${words(ofRank(r))}`)
        .join(", ")}, full ${words(ofFull)} nats`,
    ),
    claimOf(
      {
        claim: "v3: with α = 8 high ranks forget more than with α = 2r",
        source: `${ILLUSION} v3, §4 and appendix M`,
        published: "more forgetting for α = 8",
      },
      allOf(
        fixedAlphaRanks
          .filter((r) => r >= 64)
          .map((r) => [`r = ${r}`, isAbove(forgotten(ofFixedAlpha(r)), forgotten(ofRank(r)), { digits: 3 })]),
      ),
      fixedAlphaRanks
        .filter((r) => r >= 64)
        .map((r) => `r = ${r}: α = 8 ${words(ofFixedAlpha(r))}, α = ${2 * r} ${words(ofRank(r))}`)
        .join("; "),
    ),
  ];
  const curve = (name: string, runs: readonly (readonly [number | "full", Run])[]) =>
    rankCurveOf(
      name,
      runs.map(([rank, run]) => [rank, forgotten(run)]),
    );
  const everyRun: readonly (readonly [string, Run])[] = [
    ["full", ofFull],
    ...ranks.map((r) => [`LoRA r = ${r}, α = ${2 * r}`, ofRank(r)] as const),
    ...fixedAlphaRanks.map((r) => [`LoRA r = ${r}, α = 8`, ofFixedAlpha(r)] as const),
  ];
  return {
    claims,
    figures: [
      {
        name: "forgetting-by-rank",
        title: "Forgetting by rank",
        caption:
          "Loss on pretraining text after tuning, less that of the base. v1 of the paper has a U curve, v3 has LoRA below full fine-tuning at every rank.",
        chart: () =>
          rankCurve(
            [
              curve(
                "LoRA, α = 2r",
                ranks.map((r) => [r, ofRank(r)]),
              ),
              curve(
                "LoRA, α = 8",
                fixedAlphaRanks.map((r) => [r, ofFixedAlpha(r)]),
              ),
              curve("full fine-tuning", [["full", ofFull]]),
            ],
            {
              title: "Forgetting by rank",
              subtitle: `${scale.seeds.length} seeds; bars: standard deviation`,
              y: { label: "nats per token above the base, logarithmic", log: true },
            },
          ),
      },
    ],
    tables: [
      {
        name: "forgetting",
        title: "Forgetting and accuracy: mean ± standard deviation over seeds",
        columns: ["setting", "accuracy", "loss on pretraining text", "above the base"],
        rows: everyRun.map(([name, run]) => [
          name,
          percentOf(ofRuns(results, scale, run, accuracy)),
          spreadOf(ofRuns(results, scale, run, pretrainingLoss), 3),
          words(run),
        ]),
      },
    ],
    notes: [`The base's loss is ${base.toFixed(4)} nats per token. The two versions are labelled v1 and v3.`],
  };
}
