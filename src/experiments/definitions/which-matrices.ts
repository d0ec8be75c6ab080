/** Which matrices of attention should be adapted, with one budget of parameters? (LoRA §7.1) */
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { dotRows } from "../frame/charts.ts";
import { sampleOf, spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove } from "../frame/verdict.ts";
import { attentionRun, type Matrices } from "./attention-targets.ts";
import { claimOf } from "./claims.ts";
import { accuracy, LORA_PAPER, ofRuns, percentOf, type Run, SETTING, testLoss, trained } from "./protocol.ts";

/**
 * Each is 5376 parameters in a layer, exactly: q and o are 128 × 128, k and v 64 × 128, so that a rank costs 256 and 192.
 * Ranks fall with the number of matrices as in the paper (8, 4, 2).
 */
const CHOICES: readonly (readonly [Matrices, number])[] = [
  ["q", 21],
  ["k", 28],
  ["v", 28],
  ["o", 21],
  ["q,k", 12],
  ["q,v", 12],
  ["q,k,v,o", 6],
];
const QUICK: readonly Matrices[] = ["q", "v", "q,v", "q,k,v,o"];

const choicesOf = ({ quick }: Scale) => (quick ? CHOICES.filter(([matrices]) => QUICK.includes(matrices)) : CHOICES);

export const WHICH_MATRICES: Experiment = {
  name: "which-matrices",
  title: "Which matrices to adapt",
  about: "With one budget of parameters: one kind of matrix at a high rank, or several at a low one?",
  source: `${LORA_PAPER}, §7.1, table 5`,
  minutes: 4,
  setting: [
    ...SETTING,
    "Here only matrices of attention are adapted, 5,376 parameters in each layer: q or o of rank 21, k or v of 28, two of 12, all four of 6.",
  ],
  jobs: (scale) =>
    scale.seeds.flatMap((seed) => choicesOf(scale).map(([matrices, r]) => trained(attentionRun(matrices, r)(seed)))),
  conclude,
};

function conclude(results: Results, scale: Scale): Conclusion {
  const choices = choicesOf(scale);
  const runs = new Map(choices.map(([matrices, r]) => [matrices, attentionRun(matrices, r)]));
  const right = (matrices: Matrices) => ofRun(runs.get(matrices), accuracy);
  const loss = (matrices: Matrices) => ofRun(runs.get(matrices), testLoss);
  const ofRun = (run: Run | undefined, value: typeof accuracy) =>
    run === undefined ? [] : ofRuns(results, scale, run, value);
  const words = (list: readonly Matrices[]) =>
    list
      .filter((one) => runs.has(one))
      .map((one) => `${one} ${percentOf(right(one))}`)
      .join(", ");
  const claims = [
    claimOf(
      {
        claim: "Adapting q and v is better than q alone",
        source: `${LORA_PAPER}, table 5`,
        published: "WikiSQL 73.7 against 70.4, MNLI 91.3 against 91.0",
      },
      isAbove(right("q,v"), right("q"), { digits: 3 }),
      words(["q", "q,v"]),
    ),
    claimOf(
      {
        claim: "All four at the lowest rank are better than q alone and than k alone",
        source: `${LORA_PAPER}, table 5`,
        published: "WikiSQL 73.7 against 70.4 and 70.0, MNLI 91.7 against 91.0 and 90.8",
      },
      allOf(
        (["q", "k"] as const).map((one) => [
          `q,k,v,o above ${one}`,
          isAbove(right("q,k,v,o"), right(one), { digits: 3 }),
        ]),
      ),
      words(["q", "k", "q,k,v,o"]),
    ),
    claimOf(
      {
        claim: "v alone and o alone are better than q alone and than k alone",
        source: `${LORA_PAPER}, table 5`,
        published: "WikiSQL 73.0 and 73.2 against 70.4 and 70.0",
      },
      allOf(
        (["v", "o"] as const).flatMap((one) =>
          (["q", "k"] as const).map(
            (other) => [`${one} above ${other}`, isAbove(right(one), right(other), { digits: 3 })] as const,
          ),
        ),
      ),
      words(["q", "k", "v", "o"]),
    ),
  ];
  const dot = (values: readonly number[], scaleBy: number) => {
    const { mean, deviation, n } = sampleOf(values);
    return n === 0 ? undefined : { value: scaleBy * mean, spread: scaleBy * deviation };
  };
  return {
    claims,
    figures: [
      {
        name: "which-matrices",
        title: "Accuracy by adapted matrices",
        caption: "The same number of parameters in each row. Bars: standard deviation over seeds.",
        chart: () =>
          dotRows(
            choices.map(([matrices, r]) => ({
              label: `${matrices} (r = ${r})`,
              group: matrices.includes(",") ? "several kinds" : "one kind",
              values: [dot(right(matrices), 100), dot(loss(matrices), 1)],
            })),
            [
              { title: "accuracy (%)", format: String },
              { title: "test loss (nats)", format: String },
            ],
            { title: "Which matrices to adapt, with one budget" },
          ),
      },
    ],
    tables: [
      {
        name: "table-5",
        title: "Table 5 on this model: mean ± standard deviation over seeds",
        columns: ["matrices", "rank", "accuracy", "test loss"],
        rows: choices.map(([matrices, r]) => [matrices, r, percentOf(right(matrices)), spreadOf(loss(matrices), 3)]),
      },
    ],
  };
}
