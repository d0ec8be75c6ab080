/** Intruders over the number of training texts. */
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { sweep } from "../frame/charts.ts";
import { spreadOf } from "../frame/statistics.ts";
import { isAbove, isSame } from "../frame/verdict.ts";
import { totalIntruders } from "../jobs/spectra.ts";
import { claimOf } from "./claims.ts";
import { sweepOf } from "./curves.ts";
import {
  accuracy,
  ILLUSION,
  loraRun,
  ofRuns,
  ofSpectra,
  percentOf,
  pretrainingLoss,
  PRODUCT,
  type Run,
  SETTING,
  withSpectra,
} from "./protocol.ts";

/** Ranks, and the multiple of the learning rate of the other experiments: with that, r = 8 has hardly any intruders. */
const LOW = { r: 1, times: 1 };
const HIGH = { r: 8, times: 2 };
const SIZES: readonly number[] = [64, 128, 256, 512, 1024];
const QUICK_SIZES: readonly number[] = [128, 512];
/** Of 280. */
const FLAT = 5;

const sizesOf = ({ quick }: Scale) => (quick ? QUICK_SIZES : SIZES);
const at =
  ({ r, times }: typeof LOW, texts: number): Run =>
  (seed) =>
    loraRun(r, seed, { texts, product: times * PRODUCT });

export const DATA_SIZE: Experiment = {
  name: "data-size",
  title: "Intruders over the amount of data",
  about: "Do more training data give more intruders?",
  source: `${ILLUSION}, §4`,
  minutes: 6,
  setting: [
    ...SETTING,
    `Here ${SIZES.join(", ")} training texts, five passes each: more data are more steps, too. r = 8 with α · η = ${HIGH.times * PRODUCT}, twice that of the other experiments, where it has hardly any intruders; r = 1 with ${PRODUCT}.`,
  ],
  jobs: (scale) =>
    withSpectra(
      scale,
      sizesOf(scale).flatMap((texts) => [at(LOW, texts), at(HIGH, texts)]),
    ),
  conclude,
};

function conclude(results: Results, scale: Scale): Conclusion {
  const sizes = sizesOf(scale);
  const counts = (run: Run) => ofSpectra(results, scale, run, totalIntruders);
  const words = (one: typeof LOW) =>
    sizes.map((texts) => `${texts}: ${spreadOf(counts(at(one, texts)), 1)}`).join(", ");
  const [least, most, before] = [sizes[0]!, sizes.at(-1)!, sizes.at(-2)!];
  const growth = (one: typeof LOW, from: number, to: number) => {
    const [a, b] = [counts(at(one, from)), counts(at(one, to))];
    return b.map((value, i) => value - a[i]!);
  };
  const claims = [
    claimOf(
      {
        claim: "r = 8: more data give more intruders",
        source: `${ILLUSION}, §4`,
        published: "r = 8 grows with the data, and saturates",
      },
      isAbove(counts(at(HIGH, most)), counts(at(HIGH, least)), { digits: 1 }),
      words(HIGH),
    ),
    claimOf(
      {
        claim: "r = 8: it saturates: the last doubling adds less than all before it",
        source: `${ILLUSION}, §4`,
        published: "saturating",
      },
      isAbove(growth(HIGH, least, before), growth(HIGH, before, most), { digits: 1 }),
      `${least} to ${before} texts ${spreadOf(growth(HIGH, least, before), 1)}, ${before} to ${most} ${spreadOf(growth(HIGH, before, most), 1)}`,
    ),
    claimOf(
      { claim: "r = 1: the number is flat", source: `${ILLUSION}, §4`, published: "flat" },
      isSame(counts(at(LOW, most)), counts(at(LOW, least)), FLAT, 1),
      words(LOW),
    ),
  ];
  const lines = (value: (run: Run) => number[]) =>
    [
      { name: "LoRA r = 1", one: LOW },
      { name: "LoRA r = 8, 2η", one: HIGH },
    ].map(({ name, one }) =>
      sweepOf(
        name,
        sizes,
        sizes.map((texts) => value(at(one, texts))),
      ),
    );
  const x = { label: "training texts (5 passes each)", log: true, ticks: sizes };
  return {
    claims,
    figures: [
      {
        name: "intruders-by-data",
        title: "Intruders over the amount of data",
        caption: "k = 10, ε = 0.5. Bars: standard deviation over seeds.",
        chart: () =>
          sweep(lines(counts), {
            title: "Intruders over the amount of data",
            x,
            y: { label: "intruders among 280 vectors", from: 0 },
          }),
      },
      {
        name: "accuracy-by-data",
        title: "Accuracy over the amount of data",
        caption: "On the test texts of the task.",
        chart: () =>
          sweep(
            lines((run) => ofRuns(results, scale, run, accuracy)),
            { title: "Accuracy over the amount of data", x, y: { label: "accuracy" } },
          ),
      },
    ],
    tables: [
      {
        name: "data-sizes",
        title: "Every size: mean ± standard deviation over seeds",
        columns: ["setting", "texts", "accuracy", "pretraining loss", "intruders"],
        rows: [LOW, HIGH].flatMap((one) =>
          sizes.map((texts) => [
            `r = ${one.r}, α · η = ${one.times * PRODUCT}`,
            texts,
            percentOf(ofRuns(results, scale, at(one, texts), accuracy)),
            spreadOf(ofRuns(results, scale, at(one, texts), pretrainingLoss), 3),
            spreadOf(counts(at(one, texts)), 1),
          ]),
        ),
      },
    ],
  };
}
