/** Full fine-tuning against LoRA of every rank at comparable accuracy: intruder dimensions and effective rank. */
import { nullLevel } from "../../analysis/measures/intruders.ts";
import { corner, cosines, maxCosines, pooled } from "../../analysis/measures/similarity.ts";
import { svd } from "../../linear-algebra/svd.ts";
import type { Claim, Conclusion, Experiment, ExperimentFigure, Results, Scale } from "../experiment.ts";
import { cosineScatter, layerProfile, rankCurve, similarityMap, sweep } from "../frame/charts.ts";
import { meanOf, seedsText, spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove, isSame } from "../frame/verdict.ts";
import { baseSvds, type SpectraResult, totalIntruders } from "../jobs/spectra.ts";
import { readTuned } from "../rig/weights-file.ts";
import { claimOf } from "./claims.ts";
import { rankCurveOf, sweepOf } from "./curves.ts";
import {
  accuracy,
  effectiveRank,
  FIXED_ALPHA,
  FIXED_ALPHA_RANKS,
  FULL_RANK,
  fullRun,
  ILLUSION,
  loraRun,
  ofRuns,
  ofSpectra,
  percentOf,
  pretrainingLoss,
  RANKS,
  relativeChange,
  type Run,
  SETTING,
  testLoss,
  trained,
  withSpectra,
} from "./protocol.ts";

const EPSILONS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/** Of the vectors of each matrix. */
const SHARES = [0.02, 0.05, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1];
/** Of all matrices together, 10 of each of 28. */
const LIKE_FULL = 5;
const LIKE_ACCURACY = 0.03;

export interface RankPlan {
  readonly ranks: readonly number[];
  readonly fixedAlphaRanks: readonly number[];
}

export function rankPlan({ quick }: Scale): RankPlan {
  return quick
    ? { ranks: [1, 8, FULL_RANK], fixedAlphaRanks: [FULL_RANK] }
    : { ranks: RANKS, fixedAlphaRanks: FIXED_ALPHA_RANKS };
}

export const ofRank =
  (r: number): Run =>
  (seed) =>
    loraRun(r, seed);
export const ofFixedAlpha =
  (r: number): Run =>
  (seed) =>
    loraRun(r, seed, { alpha: FIXED_ALPHA });
export const ofFull: Run = (seed) => fullRun(seed);

/** All runs of the sweep over ranks. */
export function rankRuns(scale: Scale): Run[] {
  const { ranks, fixedAlphaRanks } = rankPlan(scale);
  return [ofFull, ...ranks.map(ofRank), ...fixedAlphaRanks.map(ofFixedAlpha)];
}

export const INTRUDERS: Experiment = {
  name: "intruders",
  title: "Intruder dimensions of LoRA and of full fine-tuning",
  about: "Does LoRA put new high-ranking singular vectors into the weights, and full fine-tuning not?",
  source: `${ILLUSION}, §3 and §4, appendices H to M`,
  minutes: 8,
  setting: SETTING,
  jobs: (scale) => withSpectra(scale, rankRuns(scale)),
  conclude,
};

async function conclude(results: Results, scale: Scale): Promise<Conclusion> {
  const { ranks, fixedAlphaRanks } = rankPlan(scale);
  const counts = (run: Run) => ofSpectra(results, scale, run, totalIntruders);
  const right = (run: Run) => ofRuns(results, scale, run, accuracy);
  const effective = (run: Run) => ofSpectra(results, scale, run, effectiveRank);
  const [full, eight, whole] = [counts(ofFull), counts(ofRank(8)), counts(ofRank(FULL_RANK))];
  const low = ranks.filter((r) => r <= 16);
  const claims: Claim[] = [];
  const claim = (...parts: Parameters<typeof claimOf>) => claims.push(claimOf(...parts));
  claim(
    {
      claim: `LoRA (r = 8) reaches the accuracy of full fine-tuning, less ${100 * LIKE_ACCURACY} points at most`,
      source: `${ILLUSION}, table 2`,
      published: "MNLI: full 87.5 %, r = 8 87.0 %",
    },
    isAbove(right(ofRank(8)), right(ofFull), { digits: 3, least: -LIKE_ACCURACY }),
    `full ${percentOf(right(ofFull))}, r = 8 ${percentOf(right(ofRank(8)))}`,
  );
  claim(
    {
      claim: "LoRA of rank up to 16 has more intruders than full fine-tuning, at each rank",
      source: `${ILLUSION}, fig. 4`,
      published: "RoBERTa: all r ≤ 16 have them, full fine-tuning almost none",
    },
    allOf(low.map((r) => [`r = ${r}`, isAbove(counts(ofRank(r)), full, { digits: 1 })])),
    `full ${spreadOf(full, 1)}, ${low.map((r) => `r = ${r}: ${spreadOf(counts(ofRank(r)), 1)}`).join(", ")} of 280`,
  );
  claim(
    {
      claim: "The lowest rank has more intruders than full fine-tuning",
      source: `${ILLUSION}, fig. 4`,
      published: "r = 1 has many, full fine-tuning almost none",
    },
    isAbove(counts(ofRank(1)), full, { digits: 1 }),
    `r = 1 ${spreadOf(counts(ofRank(1)), 1)}, full ${spreadOf(full, 1)}`,
  );
  const atEpsilon = (run: Run, epsilon: number) =>
    ofSpectra(results, scale, run, (of) => totalIntruders(of, { epsilon }));
  claim(
    {
      claim: "The difference (r = 8) stays for ε from 0.6 to 0.9",
      source: `${ILLUSION}, fig. 4`,
      published: "full fine-tuning has almost none even at ε = 0.6 to 0.9",
    },
    allOf(
      [0.6, 0.7, 0.8, 0.9].map((e) => [
        `ε = ${e}`,
        isAbove(atEpsilon(ofRank(8), e), atEpsilon(ofFull, e), { digits: 0 }),
      ]),
    ),
    [0.6, 0.9]
      .map((e) => `ε = ${e}: r = 8 ${spreadOf(atEpsilon(ofRank(8), e), 0)}, full ${spreadOf(atEpsilon(ofFull, e), 0)}`)
      .join("; "),
  );
  claim(
    {
      claim: "With α = 2r the number falls as the rank rises",
      source: `${ILLUSION}, fig. 4`,
      published: "LLaMA2-7B: many up to r = 256, none at r = 2048",
    },
    isAbove(counts(ofRank(1)), whole, { digits: 1 }),
    `r = 1 ${spreadOf(counts(ofRank(1)), 1)}, r = 8 ${spreadOf(eight, 1)}, r = ${FULL_RANK} ${spreadOf(whole, 1)}`,
  );
  claim(
    {
      claim: "LoRA of full rank (α = 2r) has as few as full fine-tuning",
      source: `${ILLUSION}, fig. 4`,
      published: "r = 2048 has a curve like full fine-tuning",
    },
    isSame(whole, full, LIKE_FULL, 1),
    `r = ${FULL_RANK} ${spreadOf(whole, 1)}, full ${spreadOf(full, 1)}`,
  );
  const fixedWhole = counts(ofFixedAlpha(FULL_RANK));
  claim(
    {
      claim: "With α = 8 even full rank has more than with α = 2r",
      source: `${ILLUSION}, appendix M`,
      published: "α = 8: every rank, even large ones, has many",
    },
    isAbove(fixedWhole, whole, { digits: 1 }),
    `r = ${FULL_RANK}: α = 8 ${spreadOf(fixedWhole, 1)}, α = ${2 * FULL_RANK} ${spreadOf(whole, 1)}`,
  );
  const share = (run: Run, part: number) => ofSpectra(results, scale, run, (of) => firstShare(of, part));
  claim(
    {
      claim: "r = 8 is above full fine-tuning for every k up to 80 % of the vectors (ε = 0.5)",
      source: `${ILLUSION}, fig. 15, appendix I`,
      published: "for nearly any k; exceptions: the last 20 % against r = 1 on some data sets",
    },
    allOf(
      SHARES.filter((part) => part <= 0.8).map((part) => [
        `k = ${100 * part} %`,
        isAbove(share(ofRank(8), part), share(ofFull, part), { digits: 0 }),
      ]),
    ),
    [0.1, 0.4, 0.8]
      .map(
        (part) =>
          `k = ${100 * part} %: ${spreadOf(share(ofRank(8), part), 0)} against ${spreadOf(share(ofFull, part), 0)}`,
      )
      .join("; "),
  );
  claim(
    {
      claim: "Full fine-tuning's ΔW has a higher effective rank than that of LoRA, even of full rank",
      source: `${ILLUSION} v1, fig. 6; v3, appendix H`,
      published: "full above 400 of 768; r = 768 about 300 (v1), above 100 (v3)",
    },
    isAbove(effective(ofFull), effective(ofRank(FULL_RANK)), { digits: 1 }),
    `full ${spreadOf(effective(ofFull), 1)}, r = ${FULL_RANK} ${spreadOf(effective(ofRank(FULL_RANK)), 1)}`,
  );
  claim(
    {
      claim: "With α = 8 the effective rank of full-rank LoRA is lower than with α = 2r",
      source: `${ILLUSION} v3, appendix H`,
      published: "r = 768: α = 8 below 50, α = 2r above 100",
    },
    isAbove(effective(ofRank(FULL_RANK)), effective(ofFixedAlpha(FULL_RANK)), { digits: 1 }),
    `α = ${2 * FULL_RANK} ${spreadOf(effective(ofRank(FULL_RANK)), 1)}, α = 8 ${spreadOf(effective(ofFixedAlpha(FULL_RANK)), 1)}`,
  );

  const seeds = seedsText(scale.seeds.length);
  const [subtitle, meanSubtitle] = [`${seeds}, sum over 28 matrices`, `${seeds}, mean over the matrices`];
  const curve = (name: string, runs: readonly (readonly [number, Run])[], value: (run: Run) => number[]) =>
    rankCurveOf(
      name,
      runs.map(([rank, run]) => [rank, value(run)]),
    );
  const doubled = ranks.map((r) => [r, ofRank(r)] as const);
  const fixed = fixedAlphaRanks.map((r) => [r, ofFixedAlpha(r)] as const);
  const level = (values: readonly number[], digits: number) => ({
    y: meanOf(values.filter(Number.isFinite)),
    label: `full fine-tuning: ${spreadOf(values, digits)}`,
  });
  const lines: readonly (readonly [string, Run])[] = [
    ["full", ofFull],
    ...ranks.filter((r) => [1, 8, 64, FULL_RANK].includes(r)).map((r) => [`r = ${r}`, ofRank(r)] as const),
  ];
  const swept = (xs: readonly number[], of: (run: Run, x: number) => number[]) =>
    lines.map(([name, run]) =>
      sweepOf(
        name,
        xs,
        xs.map((x) => of(run, x)),
      ),
    );
  const figures: ExperimentFigure[] = [
    {
      name: "intruders-by-rank",
      title: "Intruders by rank",
      caption: "k = 10, ε = 0.5, left vectors. Bars: standard deviation over seeds.",
      chart: () =>
        rankCurve([curve("LoRA, α = 2r", doubled, counts), curve("LoRA, α = 8", fixed, counts)], {
          title: "Intruders by rank",
          subtitle,
          y: { label: "intruders among 280 vectors", from: 0 },
          level: level(full, 1),
        }),
    },
    {
      name: "effective-rank",
      title: "Effective rank of the update by rank",
      caption: "exp of the entropy of σ/Σσ of ΔW, mean over the matrices.",
      chart: () =>
        rankCurve([curve("LoRA, α = 2r", doubled, effective), curve("LoRA, α = 8", fixed, effective)], {
          title: "Effective rank of ΔW by rank",
          subtitle: meanSubtitle,
          y: { label: "effective rank", from: 0 },
          level: level(effective(ofFull), 1),
        }),
    },
    {
      name: "epsilon-sweep",
      title: "Intruders over ε",
      caption: "How many of the first 10 vectors of each matrix have no |cosine| of ε or more with a base vector.",
      chart: () =>
        sweep(swept(EPSILONS, atEpsilon), {
          title: "Intruders over ε (k = 10)",
          subtitle,
          x: { label: "ε" },
          y: { label: "intruders among 280 vectors", from: 0 },
        }),
    },
    {
      name: "k-sweep",
      title: "Intruders over k",
      caption: "ε = 0.5. In the tail σ lie close together, and vectors turn into each other by small changes.",
      chart: () =>
        sweep(
          swept(
            SHARES.map((part) => 100 * part),
            (run, percent) => share(run, percent / 100),
          ),
          {
            title: "Intruders over k (ε = 0.5)",
            subtitle,
            x: { label: "k (% of the vectors of a matrix)" },
            y: { label: "intruders", from: 0 },
          },
        ),
    },
    {
      name: "effective-rank-by-layer",
      title: "Effective rank by layer",
      caption: "Mean over the seven matrices of a layer, and over seeds.",
      chart: () =>
        layerProfile(
          lines.map(([name, run]) => ({ name, values: byLayer(results, scale, run) })),
          { title: "Effective rank of ΔW by layer", subtitle: meanSubtitle, y: { label: "effective rank", from: 0 } },
        ),
    },
    ...(await pictures(results, scale)),
  ];
  const row = (name: string, run: Run) => [
    name,
    percentOf(right(run)),
    spreadOf(ofRuns(results, scale, run, testLoss), 3),
    spreadOf(ofRuns(results, scale, run, pretrainingLoss), 3),
    spreadOf(counts(run), 1),
    spreadOf(
      ofSpectra(results, scale, run, (of) => totalIntruders(of, { side: "right" })),
      1,
    ),
    spreadOf(
      ofSpectra(results, scale, run, (of) => totalIntruders(of, { side: "spanning" })),
      1,
    ),
    spreadOf(
      ofSpectra(results, scale, run, ({ matrices }) => matrices.reduce((sum, { loose }) => sum + loose, 0)),
      1,
    ),
    spreadOf(effective(run), 1),
    spreadOf(ofSpectra(results, scale, run, relativeChange), 3),
  ];
  return {
    claims,
    figures,
    tables: [
      {
        name: "runs",
        title: "Every setting: mean ± standard deviation over seeds",
        columns: [
          "setting",
          "accuracy",
          "test loss",
          "pretraining loss",
          "intruders (left)",
          "(right)",
          "(side that spans)",
          "of which loose",
          "effective rank",
          "‖ΔW‖/‖W₀‖",
        ],
        rows: [
          row("full", ofFull),
          ...ranks.map((r) => row(`LoRA r = ${r}, α = ${2 * r}`, ofRank(r))),
          ...fixedAlphaRanks
            .filter((r) => r !== FIXED_ALPHA / 2)
            .map((r) => row(`LoRA r = ${r}, α = 8`, ofFixedAlpha(r))),
        ],
      },
    ],
    notes: [
      "Intruders are counted on the left side, as in the authors' code. For gate and up (384 × 128) the base's left vectors do not span the space; the column `side that spans` counts those on the right.",
      "The runs do not move equally far, see ‖ΔW‖/‖W₀‖: at one learning rate after the other, `learning-rate` shows that full fine-tuning has intruders, too, once it moves as far.",
      "At width 128 a random vector has a largest |cosine| of about 0.25: counts below that ε mean nothing.",
    ],
  };
}

/** Intruders among the first part of each matrix's vectors. */
function firstShare({ matrices }: SpectraResult, part: number): number {
  return matrices.reduce((sum, { maxCos }) => {
    const k = Math.max(1, Math.round(part * maxCos.length));
    return sum + maxCos.slice(0, k).filter((cosine) => cosine < 0.5).length;
  }, 0);
}

function byLayer(results: Results, scale: Scale, run: Run): (number | null)[] {
  return [0, 1, 2, 3].map((layer) => {
    const values = ofSpectra(results, scale, run, ({ matrices }) =>
      meanOf(
        matrices
          .filter(({ name }) => name.includes(`.layers.${layer}.`))
          .map(({ effectiveRankDelta }) => effectiveRankDelta),
      ),
    ).filter(Number.isFinite);
    return values.length === 0 ? null : meanOf(values);
  });
}

/** Similarity maps and the scatter of one matrix of the first seed: the one in which r = 8 has most intruders. */
async function pictures(results: Results, scale: Scale): Promise<ExperimentFigure[]> {
  const [seed] = scale.seeds;
  const runs = [
    ["full", "full fine-tuning", ofFull],
    ["r1", "LoRA r = 1", ofRank(1)],
    ["r8", "LoRA r = 8", ofRank(8)],
  ] as const;
  const found = runs.flatMap(([id, name, run]) =>
    results.of(trained(run(seed!))) === undefined ? [] : [{ id, name, folder: results.folder(trained(run(seed!))) }],
  );
  const chosen = found.find(({ id }) => id === "r1") ?? found[0];
  if (chosen === undefined) return [];
  const bases = await baseSvds();
  const matrices = (await readTuned(chosen.folder)).matrices;
  const below = (maxCos: readonly number[]) => maxCos.slice(0, 10).filter((cosine) => cosine < 0.5).length;
  const scored = matrices
    .filter(({ base }) => base.rows <= base.columns)
    .map(({ name, tuned }) => ({ name, score: below(maxCosines(cosines(bases.get(name)!.left, svd(tuned).left)).max) }))
    .toSorted((a, b) => b.score - a.score);
  const { name } = scored[0]!;
  const figures: ExperimentFigure[] = [];
  for (const one of found) {
    const matrix = (await readTuned(one.folder)).matrices.find((candidate) => candidate.name === name)!;
    const left = svd(matrix.tuned).left;
    const grid = cosines(bases.get(name)!.left, left);
    const { max: maxCos } = maxCosines(grid);
    const intruderRanks = maxCos.slice(0, 10).flatMap((cosine, i) => (cosine < 0.5 ? [i + 1] : []));
    const short = name.replace("model.", "").replace(".weight", "");
    figures.push(
      {
        name: `similarity-top-${one.id}`,
        title: `|U₀ᵀU| of ${short}, top 10: ${one.name}`,
        caption: "An intruder is a dark column, outlined, which moves the diagonal after it to the right.",
        chart: () =>
          similarityMap({
            title: `${one.name}: first 10 vectors of ${short}`,
            values: corner(grid, 10),
            intruderRanks,
          }),
      },
      {
        name: `similarity-all-${one.id}`,
        title: `|U₀ᵀU| of ${short}: ${one.name}`,
        caption: "All vectors; each cell the largest value of those that it stands for.",
        chart: () =>
          similarityMap({
            title: `${one.name}: all vectors of ${short}`,
            values: pooled(grid, 64),
            pooledFrom: { rows: grid.rows, columns: grid.columns },
          }),
      },
      {
        name: `cosines-${one.id}`,
        title: `Largest cosines of ${short}: ${one.name}`,
        caption: "Points at the left below ε are intruders.",
        chart: () =>
          cosineScatter({
            title: `${one.name}: ${short}`,
            maxCos,
            epsilon: 0.5,
            k: 10,
            nullLevel: nullLevel(grid.rows),
          }),
      },
    );
  }
  return figures;
}
