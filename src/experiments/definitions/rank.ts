/** How small may the rank be? (LoRA §7.2, table 6) */
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { rankCurve } from "../frame/charts.ts";
import { spreadOf } from "../frame/statistics.ts";
import { isAbove } from "../frame/verdict.ts";
import { attentionRun, type Matrices } from "./attention-targets.ts";
import { claimOf } from "./claims.ts";
import { rankCurveOf } from "./curves.ts";
import { accuracy, LORA_PAPER, ofRuns, percentOf, SETTING, testLoss, trained } from "./protocol.ts";

const RANKS: readonly number[] = [1, 2, 4, 8, 64];
const QUICK_RANKS: readonly number[] = [1, 8];
const CHOICES: readonly Matrices[] = ["q", "q,v", "q,k,v,o"];
/** Of accuracy. */
const MARGIN = 0.03;

const ranksOf = ({ quick }: Scale) => (quick ? QUICK_RANKS : RANKS);

export const RANK: Experiment = {
  name: "rank",
  title: "The rank of LoRA",
  about: "Is a very small rank enough, and does q alone need a larger one?",
  source: `${LORA_PAPER}, §7.2, table 6`,
  minutes: 8,
  setting: [...SETTING, "Here only matrices of attention are adapted: q, q and v, or q, k, v and o."],
  jobs: (scale) =>
    scale.seeds.flatMap((seed) =>
      CHOICES.flatMap((matrices) => ranksOf(scale).map((r) => trained(attentionRun(matrices, r)(seed)))),
    ),
  conclude,
};

function conclude(results: Results, scale: Scale): Conclusion {
  const ranks = ranksOf(scale);
  const right = (matrices: Matrices, r: number) => ofRuns(results, scale, attentionRun(matrices, r), accuracy);
  const loss = (matrices: Matrices, r: number) => ofRuns(results, scale, attentionRun(matrices, r), testLoss);
  const words = (matrices: Matrices) => ranks.map((r) => `r = ${r} ${percentOf(right(matrices, r))}`).join(", ");
  const highest = ranks.at(-1)!;
  const isEnough = (matrices: Matrices, named: string, published: string) =>
    claimOf(
      {
        claim: `${named}: r = 1 reaches the accuracy of r = ${highest}, less ${100 * MARGIN} points at most`,
        source: `${LORA_PAPER}, table 6`,
        published,
      },
      isAbove(right(matrices, 1), right(matrices, highest), { digits: 3, least: -MARGIN }),
      words(matrices),
    );
  const claims = [
    isEnough("q,v", "q and v", "WikiSQL 73.4 at r = 1, 73.5 at r = 64; MNLI 91.3 and 91.4"),
    claimOf(
      {
        claim: "q alone: r = 1 is below r = 8",
        source: `${LORA_PAPER}, table 6`,
        published: "WikiSQL 68.8 against 70.4",
      },
      isAbove(right("q", 8), right("q", 1), { digits: 3 }),
      words("q"),
    ),
    isEnough("q,k,v,o", "q, k, v, o", "WikiSQL 74.1 at r = 1, 73.9 at r = 64"),
    claimOf(
      {
        claim: "At r = 1, q and v are better than q alone",
        source: `${LORA_PAPER}, table 6`,
        published: "WikiSQL 73.4 against 68.8",
      },
      isAbove(right("q,v", 1), right("q", 1), { digits: 3 }),
      `q ${percentOf(right("q", 1))}, q,v ${percentOf(right("q,v", 1))}`,
    ),
  ];
  return {
    claims,
    figures: [
      {
        name: "accuracy-by-rank",
        title: "Accuracy by rank",
        caption: "Bars: standard deviation over seeds.",
        chart: () =>
          rankCurve(
            CHOICES.map((matrices) =>
              rankCurveOf(
                matrices,
                ranks.map((r) => [r, right(matrices, r)]),
                100,
              ),
            ),
            { title: "Accuracy by rank", y: { label: "accuracy (%)" } },
          ),
      },
    ],
    tables: [
      {
        name: "table-6",
        title: "Table 6 on this model: mean ± standard deviation over seeds",
        columns: ["matrices", "rank", "accuracy", "test loss"],
        rows: CHOICES.flatMap((matrices) =>
          ranks.map((r) => [matrices, r, percentOf(right(matrices, r)), spreadOf(loss(matrices, r), 3)]),
        ),
      },
    ],
  };
}
