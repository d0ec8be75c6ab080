/** λ: intruders are scaled down, or up, and their neighbours as a baseline; what happens to forgetting and accuracy? */
import { forgettingChange } from "../../analysis/measures/intervention.ts";
import { job, type Conclusion, type Experiment, type Results, type Scale } from "../experiment.ts";
import { sweep } from "../frame/charts.ts";
import { meanOf, spreadOf } from "../frame/statistics.ts";
import { isAbove, isSame } from "../frame/verdict.ts";
import { INTERVENE, type Intervened, type InterveneResult } from "../jobs/intervene.ts";
import { claimOf } from "./claims.ts";
import { baseJob, ILLUSION, loraRun, percentOf, PRODUCT, SETTING } from "./protocol.ts";

/** The first has its intruders at the learning rate of the other experiments; the second has hardly any there, and is run at twice that. */
const RUNS = [
  { name: "r = 1", run: (seed: number) => loraRun(1, seed) },
  { name: "r = 8, 2η", run: (seed: number) => loraRun(8, seed, { product: 2 * PRODUCT }) },
] as const;
const LAMBDAS: readonly number[] = [0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.9, 1, 1.5, 2];
const QUICK_LAMBDAS: readonly number[] = [0, 0.5, 0.7, 1, 2];
/** Of accuracy. */
const HARMLESS = 0.02;

type Which = "intruder" | "neighbour";

export const LAMBDA: Experiment = {
  name: "lambda",
  title: "Scaling intruders: does it undo forgetting?",
  about: "Does scaling down the highest-ranking intruder of each matrix bring back what was forgotten, at little cost?",
  source: `${ILLUSION}, §5, tables 3 and 4, appendix G`,
  minutes: 10,
  setting: [
    ...SETTING,
    `r = 1 with α · η = ${PRODUCT}, and r = 8 with ${2 * PRODUCT}, since with ${PRODUCT} it has almost no intruders.`,
    "W(λ) = W + (λ − 1) uᵢ σᵢ vᵢᵀ of the highest-ranking intruder (k = 10, ε = 0.5, left) of every matrix that has one; baseline: the vector next to it that is no intruder.",
  ],
  jobs: (scale) => [baseJob, ...scale.seeds.flatMap((seed) => RUNS.map(({ run }) => interveneJob(run(seed), scale)))],
  conclude,
};

function interveneJob(of: ReturnType<typeof loraRun>, { quick }: Scale) {
  return job(INTERVENE, { of, k: 10, epsilon: 0.5, lambdas: quick ? QUICK_LAMBDAS : LAMBDAS });
}

function conclude(results: Results, scale: Scale): Conclusion {
  const lambdas = scale.quick ? QUICK_LAMBDAS : LAMBDAS;
  const base = results.of(baseJob)?.pretrainingLoss ?? NaN;
  const foundOf = (run: (seed: number) => ReturnType<typeof loraRun>) =>
    scale.seeds.map((seed) => {
      const found = results.of(interveneJob(run(seed), scale));
      // Without an intruder nothing was scaled, which says nothing.
      return found === undefined || found.matrices.length === 0 ? undefined : found;
    });
  const at = (
    found: readonly (InterveneResult | undefined)[],
    which: Which,
    lambda: number,
    value: (one: Intervened) => number | null,
  ) =>
    found.map((one) => {
      const point = one?.[which].find((candidate) => candidate.lambda === lambda);
      return point === undefined ? NaN : (value(point) ?? NaN);
    });
  const loss = ({ pretrainingLoss }: Intervened) => pretrainingLoss;
  const accuracy = ({ accuracy: value }: Intervened) => value;
  const claims = RUNS.flatMap(({ name, run }) => {
    const found = foundOf(run);
    const of = (which: Which, lambda: number, value: typeof loss) => at(found, which, lambda, value);
    const whole = of("intruder", 1, loss);
    const change = (which: Which, lambda: number) => {
      const parts = of(which, lambda, loss).map((value, i) => forgettingChange(value, whole[i]!, base));
      return `${percentOf(parts.map((part) => part.ofForgetting ?? NaN))} of what was forgotten, ${percentOf(parts.map((part) => part.ofLoss))} of the loss`;
    };
    return [
      claimOf(
        {
          claim: `${name}: λ = 0.7 on intruders lowers forgetting`,
          source: `${ILLUSION}, table 3`,
          published: "MNLI: r = 1 −11.0 %, r = 8 −14.5 %",
        },
        isAbove(whole, of("intruder", 0.7, loss), { digits: 3 }),
        change("intruder", 0.7),
      ),
      claimOf(
        {
          claim: `${name}: … at a cost of at most ${100 * HARMLESS} points of accuracy`,
          source: `${ILLUSION}, table 3`,
          published: "MNLI: r = 1 −0.6 %, r = 8 −0.2 %",
        },
        isSame(of("intruder", 0.7, accuracy), of("intruder", 1, accuracy), HARMLESS),
        `${percentOf(of("intruder", 1, accuracy))} to ${percentOf(of("intruder", 0.7, accuracy))}`,
      ),
      claimOf(
        {
          claim: `${name}: λ = 2 raises forgetting`,
          source: `${ILLUSION}, §5`,
          published: "doubling intruders makes it worse",
        },
        isAbove(of("intruder", 2, loss), whole, { digits: 3 }),
        change("intruder", 2),
      ),
      claimOf(
        {
          claim: `${name}: λ = 0.5 on the neighbour makes forgetting worse instead`,
          source: `${ILLUSION}, §5, baseline`,
          published: "loss and accuracy get worse",
        },
        isAbove(of("neighbour", 0.5, loss), of("neighbour", 1, loss), { digits: 3 }),
        change("neighbour", 0.5),
      ),
    ];
  });
  const curves = (value: (one: Intervened) => number | null, which: readonly Which[], bars: boolean) =>
    RUNS.flatMap(({ name, run }) => {
      const found = foundOf(run);
      return which.flatMap((one) => {
        const samples = lambdas.map((lambda) => at(found, one, lambda, value));
        if (!samples.flat().some(Number.isFinite)) return [];
        return [{ name: `${name}: ${one}`, x: lambdas, samples, dashed: one === "neighbour", bars }];
      });
    });
  const both = ["intruder", "neighbour"] as const;
  const [losses, accuracies] = [curves(loss, both, false), curves(accuracy, both, true)];
  const matrixCounts = RUNS.map(({ name, run }) => {
    const counts = scale.seeds.map((seed) => results.of(interveneJob(run(seed), scale))?.matrices.length ?? NaN);
    return `${name}: ${counts.map((count) => (Number.isFinite(count) ? count : "–")).join(", ")}`;
  });
  return {
    claims,
    figures: [
      ...(losses.length === 0
        ? []
        : [
            {
              name: "forgetting-by-lambda",
              title: "Loss on pretraining text over λ",
              caption: "λ = 1 is the model as it was trained, 0 without the vector. Mean over seeds.",
              chart: () =>
                sweep(losses, {
                  title: "Loss on pretraining text over λ",
                  x: { label: "λ" },
                  y: { label: "loss (nats per token)", log: true },
                  level: { y: base, label: `base: ${base.toFixed(3)}` },
                }),
            },
          ]),
      ...(accuracies.length === 0
        ? []
        : [
            {
              name: "accuracy-by-lambda",
              title: "Accuracy over λ",
              caption: "Mean and standard deviation over seeds.",
              chart: () =>
                sweep(accuracies, {
                  title: "Accuracy over λ",
                  x: { label: "λ" },
                  y: { label: "accuracy", to: 1 },
                }),
            },
          ]),
    ],
    tables: [
      {
        name: "lambda",
        title: "Every λ: mean ± standard deviation over seeds",
        columns: [
          "run",
          "scaled",
          "λ",
          "accuracy",
          "loss on pretraining text",
          "(L(λ) − L(1)) / (L(1) − L_pre)",
          "(L(λ) − L(1)) / L(1)",
        ],
        rows: RUNS.flatMap(({ name, run }) =>
          both.flatMap((which) => {
            const found = foundOf(run);
            const whole = at(found, which, 1, loss);
            return lambdas.map((lambda) => {
              const values = at(found, which, lambda, loss);
              const parts = values.map((value, i) => forgettingChange(value, whole[i]!, base));
              return [
                name,
                which,
                lambda,
                percentOf(at(found, which, lambda, accuracy)),
                spreadOf(values, 3),
                percentOf(parts.map((part) => part.ofForgetting ?? NaN)),
                percentOf(parts.map((part) => part.ofLoss)),
              ];
            });
          }),
        ),
      },
    ],
    notes: [
      `Matrices with an intruder, by seed (of 28): ${matrixCounts.join("; ")}. Seeds without any are left out.`,
      `The paper's text fits two denominators, so both are given. L_pre, the base's loss, is ${meanOf([base]).toFixed(4)}.`,
    ],
  };
}
