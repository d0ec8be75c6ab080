/** Learning rates at r = 8 and of full fine-tuning: what do intruders go with, forgetting or accuracy? */
import { type Spearman, spearman } from "../../analysis/measures/spearman.ts";
import type { Conclusion, CorrelationEvidence, Experiment, Holds, Results, Scale } from "../experiment.ts";
import { sweep, xyChart } from "../frame/charts.ts";
import { sampleOf, seedsText, spreadOf } from "../frame/statistics.ts";
import { isAbove, type Verdict } from "../frame/verdict.ts";
import { totalIntruders } from "../jobs/spectra.ts";
import { claimOf } from "./claims.ts";
import { sweepOf } from "./curves.ts";
import {
  accuracy,
  FULL_RATE,
  fullRun,
  ILLUSION,
  loraRun,
  ofRuns,
  ofSpectra,
  percentOf,
  pretrainingLoss,
  PRODUCT,
  type Run,
  SETTING,
  testLoss,
  withSpectra,
} from "./protocol.ts";

const RANK = 8;
/** Of the learning rate that the other experiments have. */
const LORA_TIMES = [0.5, 1, 1.5, 2, 3];
const FULL_TIMES = [0.5, 1, 2, 4];
const SIGNIFICANT = 0.05;

const rates = ({ quick }: Scale) => ({
  lora: quick ? [0.5, 1, 2] : LORA_TIMES,
  full: quick ? [1, 4] : FULL_TIMES,
});
const loraAt =
  (times: number): Run =>
  (seed) =>
    loraRun(RANK, seed, { product: PRODUCT * times });
const fullAt =
  (times: number): Run =>
  (seed) =>
    fullRun(seed, { learningRate: FULL_RATE * times });

export const LEARNING_RATE: Experiment = {
  name: "learning-rate",
  title: "Intruders, forgetting and accuracy over the learning rate",
  about:
    "Do more intruders come with a higher learning rate, and do they go with forgetting rather than with accuracy?",
  source: `${ILLUSION}, §4 and §5`,
  minutes: 6,
  setting: [
    ...SETTING,
    `Here η at r = 8 is ${LORA_TIMES.map((times) => (PRODUCT * times) / 16).join(", ")}, and that of full fine-tuning ${FULL_TIMES.map((times) => FULL_RATE * times).join(", ")}.`,
  ],
  jobs: (scale) => withSpectra(scale, [...rates(scale).lora.map(loraAt), ...rates(scale).full.map(fullAt)]),
  conclude,
};

function conclude(results: Results, scale: Scale): Conclusion {
  const { lora, full } = rates(scale);
  const counts = (run: Run) => ofSpectra(results, scale, run, totalIntruders);
  const measure = (run: Run, value: typeof accuracy | typeof pretrainingLoss) => ofRuns(results, scale, run, value);
  // A pair for each rate and seed.
  const pairs = (value: (run: Run) => number[], other: (run: Run) => number[]) =>
    lora.flatMap((times) => {
      const [x, y] = [value(loraAt(times)), other(loraAt(times))];
      return x.flatMap((one, i) => (Number.isFinite(one) && Number.isFinite(y[i]) ? [[one, y[i]!] as const] : []));
    });
  const withForgetting = related(pairs(counts, (run) => measure(run, pretrainingLoss)));
  const withAccuracy = related(pairs(counts, (run) => measure(run, accuracy)));
  const withRate = related(
    lora.flatMap((times) =>
      counts(loraAt(times)).flatMap((count) => (Number.isFinite(count) ? [[times, count] as const] : [])),
    ),
  );
  const best = (options: readonly number[], at: (times: number) => Run) =>
    options.toSorted((a, b) => sampleOf(measure(at(a), testLoss)).mean - sampleOf(measure(at(b), testLoss)).mean)[0]!;
  const [bestLora, bestFull] = [best(lora, loraAt), best(full, fullAt)];
  const claims = [
    claimOf(
      {
        claim: "A higher learning rate gives more intruders (r = 8)",
        source: `${ILLUSION}, §4`,
        published: "yes, RoBERTa and LLaMA2-7B",
      },
      positive(withRate),
      rhoText(withRate),
    ),
    claimOf(
      {
        claim: "Intruders go with forgetting",
        source: `${ILLUSION}, §5`,
        published: "RoBERTa, MNLI, r = 8: Spearman ρ = 0.971; LLaMA2-7B 0.59",
      },
      positive(withForgetting),
      rhoText(withForgetting),
    ),
    claimOf(
      {
        claim: "Intruders have nothing to do with test accuracy",
        source: `${ILLUSION}, §5`,
        published: "ρ = −0.338, p = 0.218; LLaMA2-7B −0.318, p = 0.087",
      },
      unrelated(withAccuracy),
      rhoText(withAccuracy),
    ),
    claimOf(
      {
        claim:
          "With the learning rate of the lowest test loss for each, LoRA (r = 8) has more intruders than full fine-tuning",
        source: "our own check: the published runs have one learning rate each",
        published: "not published",
      },
      isAbove(counts(loraAt(bestLora)), counts(fullAt(bestFull)), { digits: 1 }),
      `LoRA at η = ${(PRODUCT * bestLora) / 16}: ${spreadOf(counts(loraAt(bestLora)), 1)}, full at ${FULL_RATE * bestFull}: ${spreadOf(counts(fullAt(bestFull)), 1)}`,
    ),
  ];
  const seeds = seedsText(scale.seeds.length);
  const curves = (value: (run: Run) => number[]) => [
    sweepOf(
      "LoRA r = 8",
      lora.map((times) => (PRODUCT * times) / 16),
      lora.map((times) => value(loraAt(times))),
    ),
    sweepOf(
      "full fine-tuning",
      full.map((times) => FULL_RATE * times),
      full.map((times) => value(fullAt(times))),
    ),
  ];
  const x = { label: "learning rate η", log: true };
  const cloud = (value: (run: Run) => number[]) => [
    {
      name: "LoRA r = 8",
      points: pairs(counts, value).map(([a, b]) => ({ x: a, y: b })),
    },
    {
      name: "full fine-tuning",
      hollow: true,
      points: full.flatMap((times) => {
        const ys = value(fullAt(times));
        return counts(fullAt(times)).flatMap((a, i) => (Number.isFinite(a) ? [{ x: a, y: ys[i]! }] : []));
      }),
    },
  ];
  const row = (name: string, run: Run) => [
    name,
    percentOf(measure(run, accuracy)),
    spreadOf(measure(run, testLoss), 3),
    spreadOf(measure(run, pretrainingLoss), 3),
    spreadOf(counts(run), 1),
  ];
  return {
    claims,
    figures: [
      {
        name: "intruders-by-rate",
        title: "Intruders over the learning rate",
        caption: "k = 10, ε = 0.5. Bars: standard deviation over seeds.",
        chart: () =>
          sweep(curves(counts), {
            title: "Intruders over the learning rate",
            subtitle: seeds,
            x,
            y: { label: "intruders among 280 vectors", from: 0 },
          }),
      },
      {
        name: "forgetting-by-rate",
        title: "Loss on pretraining text over the learning rate",
        caption: "What is above the base's loss was forgotten.",
        chart: () =>
          sweep(
            curves((run) => measure(run, pretrainingLoss)),
            {
              title: "Forgetting over the learning rate",
              subtitle: seeds,
              x,
              y: { label: "loss (nats per token)", log: true },
            },
          ),
      },
      {
        name: "accuracy-by-rate",
        title: "Accuracy over the learning rate",
        caption: "On the test texts of the task.",
        chart: () =>
          sweep(
            curves((run) => measure(run, accuracy)),
            { title: "Accuracy over the learning rate", subtitle: seeds, x, y: { label: "accuracy" } },
          ),
      },
      {
        name: "forgetting-by-intruders",
        title: "Forgetting and intruders",
        caption: "A point for each learning rate and seed.",
        chart: () =>
          xyChart(
            cloud((run) => measure(run, pretrainingLoss)),
            {
              title: "Forgetting and intruders",
              subtitle: rhoText(withForgetting),
              width: 460,
              height: 360,
              x: { label: "intruders", from: 0 },
              y: { label: "loss on pretraining text (nats)", log: true },
            },
          ),
      },
      {
        name: "accuracy-by-intruders",
        title: "Accuracy and intruders",
        caption: "A point for each learning rate and seed.",
        chart: () =>
          xyChart(
            cloud((run) => measure(run, accuracy)),
            {
              title: "Accuracy and intruders",
              subtitle: rhoText(withAccuracy),
              width: 460,
              height: 360,
              x: { label: "intruders", from: 0 },
              y: { label: "accuracy" },
            },
          ),
      },
    ],
    tables: [
      {
        name: "learning-rates",
        title: "Every learning rate: mean ± standard deviation over seeds",
        columns: ["setting", "accuracy", "test loss", "pretraining loss", "intruders"],
        rows: [
          ...lora.map((times) => row(`LoRA r = 8, η = ${(PRODUCT * times) / 16}`, loraAt(times))),
          ...full.map((times) => row(`full, η = ${FULL_RATE * times}`, fullAt(times))),
        ],
      },
    ],
  };
}

interface Found {
  readonly x: readonly number[];
  readonly y: readonly number[];
  /** Undefined: there are too few pairs. */
  readonly relation: Spearman | undefined;
}

function related(pairs: readonly (readonly [number, number])[]): Found {
  const [x, y] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
  return { x, y, relation: pairs.length < 3 ? undefined : spearman(x, y) };
}

function rhoText({ relation: found }: Found): string {
  if (found === undefined) return "fewer than 3 runs";
  return `Spearman ρ = ${found.rho.toFixed(3)}, p = ${found.p < 0.001 ? found.p.toExponential(1) : found.p.toFixed(3)} (${found.n} runs)`;
}

/** Runs of one seed and of one rate are not independent, which makes p smaller than it should be: it is said. */
const RHO_RULE = `Spearman ρ over rates × seeds, p two-sided (runs taken as independent, which they are not quite)`;

function positive(found: Found): Verdict {
  const rule = `${RHO_RULE}: ρ > 0 and p < ${SIGNIFICANT}: yes; ρ < 0 and p < ${SIGNIFICANT}: no; else inconclusive`;
  const { relation } = found;
  const isSure = relation !== undefined && relation.p < SIGNIFICANT;
  const holds: Holds = !isSure ? "inconclusive" : relation.rho > 0 ? "yes" : "no";
  return { holds, words: "", rule, evidence: [evidenceOf("positive correlation", found, holds)] };
}

function unrelated(found: Found): Verdict {
  const rule = `${RHO_RULE}: p < ${SIGNIFICANT}: no; p above it and |ρ| < 0.5: yes; else inconclusive`;
  const { relation } = found;
  const holds: Holds =
    relation === undefined
      ? "inconclusive"
      : relation.p < SIGNIFICANT
        ? "no"
        : Math.abs(relation.rho) < 0.5
          ? "yes"
          : "inconclusive";
  return { holds, words: "", rule, evidence: [evidenceOf("no correlation", found, holds)] };
}

function evidenceOf(test: CorrelationEvidence["test"], { x, y, relation }: Found, holds: Holds): CorrelationEvidence {
  return { test, x, y, rho: relation?.rho ?? NaN, p: relation?.p ?? NaN, n: x.length, holds };
}
