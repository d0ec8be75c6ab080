/** Subspaces of learned adapters: r = 8 against r = 64, and two seeds against two random matrices. */
import { subspaceSimilarity } from "../../analysis/measures/subspace-similarity.ts";
import { factoredSvd } from "../../analysis/factored-svd.ts";
import { lowerTriangle, type OverlapPanel } from "../../figures/overlap-panels.ts";
import type { Columns } from "../../linear-algebra/columns.ts";
import { type Matrix, svd } from "../../linear-algebra/svd.ts";
import { Random } from "../../random.ts";
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { overlapPanels } from "../frame/charts.ts";
import { meanOf, spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove, isAboveLevel } from "../frame/verdict.ts";
import { columnsOf, rowsOf } from "../rig/columns.ts";
import { type Factors, readTuned } from "../rig/weights-file.ts";
import { claimOf } from "./claims.ts";
import { ofRank } from "./intruders.ts";
import { LORA_PAPER, SETTING, trained, type Run } from "./protocol.ts";

const [SMALL, LARGE] = [8, 64];
/** Directions whose overlap is compared: of two seeds its mean, of two ranks the first and the last. */
const COMPARED = SMALL;
/** Length of the rows of A in the matrices that are compared. */
const WIDTH = 128;
/** As layer 48 of 96. */
const SHOWN_LAYER = 2;

export const SUBSPACE: Experiment = {
  name: "subspace",
  title: "Subspaces of LoRA: ranks and seeds",
  about: "Do adapters of different ranks, or seeds, learn the same directions?",
  source: `${LORA_PAPER}, §7.2 and appendix H`,
  minutes: 2,
  setting: [
    ...SETTING,
    "φ(i, j) = ‖Uᵢᵀ Uⱼ‖² / min(i, j) of the first right-singular directions: of A, as published; and of ΔW = BA, which no direction enters that A started with and B does not use.",
    "q_proj and v_proj of all four layers; figures show the third.",
  ],
  jobs: ({ seeds, quick }) =>
    seedPairs(seeds, quick)
      .flat()
      .concat(seeds)
      .flatMap((seed) => [ofRank(SMALL)(seed), ofRank(LARGE)(seed)].map(trained)),
  conclude,
};

/** Each seed with the next one: as many pairs as there are seeds, from three on. A single seed gets a second one. */
function seedPairs(seeds: readonly number[], _quick: boolean): (readonly [number, number])[] {
  if (seeds.length === 1) return [[seeds[0]!, seeds[0]! + 1]];
  if (seeds.length === 2) return [[seeds[0]!, seeds[1]!]];
  return seeds.map((seed, i) => [seed, seeds[(i + 1) % seeds.length]!]);
}

const KINDS = ["q_proj", "v_proj"] as const;
type Kind = (typeof KINDS)[number];
const PARTS = ["delta", "A"] as const;
const LAYERS = [0, 1, 2, 3] as const;

interface Directions {
  /** Right-singular vectors of A. */
  readonly A: Columns;
  /** Of ΔW. */
  readonly delta: Columns;
}

/** By the names of weights; undefined: the run has failed, or is still to be run. */
type Loaded = ReadonlyMap<string, Directions> | undefined;

/** φ(1, 1) to φ(8, 8) of one matrix in two runs. */
interface Overlap {
  readonly of: "ranks" | "seeds";
  readonly kind: Kind;
  readonly part: (typeof PARTS)[number];
  readonly seed: number;
  readonly otherSeed: number;
  readonly layer: number;
  readonly diagonal: readonly number[];
}

async function conclude(results: Results, scale: Scale): Promise<Conclusion> {
  const pairs = seedPairs(scale.seeds, scale.quick);
  const [small, large] = [new Map<number, Loaded>(), new Map<number, Loaded>()];
  for (const seed of new Set([...scale.seeds, ...pairs.flat()])) {
    small.set(seed, await directionsOfRun(results, ofRank(SMALL), seed));
    large.set(seed, await directionsOfRun(results, ofRank(LARGE), seed));
  }
  const of = (all: Loaded, kind: Kind, layer: number) => all?.get(`model.layers.${layer}.self_attn.${kind}.weight`);
  const overlaps = (which: Overlap["of"], [seed, otherSeed]: readonly [number, number], a: Loaded, b: Loaded) =>
    KINDS.flatMap((kind) =>
      PARTS.flatMap((part) =>
        LAYERS.flatMap((layer): Overlap[] => {
          const [x, y] = [of(a, kind, layer), of(b, kind, layer)];
          if (x === undefined || y === undefined) return [];
          return [{ of: which, kind, part, seed, otherSeed, layer, diagonal: diagonal(x[part], y[part]) }];
        }),
      ),
    );
  const found = [
    ...scale.seeds.flatMap((seed) => overlaps("ranks", [seed, seed], small.get(seed), large.get(seed))),
    ...pairs.flatMap((pair) => overlaps("seeds", pair, large.get(pair[0]), large.get(pair[1]))),
  ];
  /** Mean over the layers. */
  const mean = (
    wanted: Pick<Overlap, "of" | "kind" | "part" | "seed" | "otherSeed">,
    value: (phi: readonly number[]) => number,
  ) => {
    const layers = found.filter((one) =>
      (["of", "kind", "part", "seed", "otherSeed"] as const).every((key) => one[key] === wanted[key]),
    );
    return layers.length < LAYERS.length ? NaN : meanOf(layers.map((one) => value(one.diagonal)));
  };

  // r = 8 against r = 64, for each seed.
  const shared = (kind: Kind, part: Overlap["part"], i: number) =>
    scale.seeds.map((seed) => mean({ of: "ranks", kind, part, seed, otherSeed: seed }, (phi) => phi[i - 1]!));
  const [topQ, topV] = [shared("q_proj", "delta", 1), shared("v_proj", "delta", 1)];
  const [lastQ, lastV] = [shared("q_proj", "delta", SMALL), shared("v_proj", "delta", SMALL)];
  const [topQA, topVA] = [shared("q_proj", "A", 1), shared("v_proj", "A", 1)];

  // Two seeds of r = 64.
  const between = (kind: Kind, part: Overlap["part"]) =>
    pairs.map(([seed, otherSeed]) => mean({ of: "seeds", kind, part, seed, otherSeed }, meanOf));
  const gaussianOverlaps = pairs.map(([one, other]) => diagonal(gaussianRows(LARGE, one), gaussianRows(LARGE, other)));
  const gaussian = gaussianOverlaps.map(meanOf);
  const [seedsQ, seedsV] = [between("q_proj", "delta"), between("v_proj", "delta")];
  const [seedsQA, seedsVA] = [between("q_proj", "A"), between("v_proj", "A")];
  const random1 = 1 / WIDTH;
  const text = (name: string, values: readonly number[]) => `${name} ${spreadOf(values, 3)}`;
  const claims = [
    claimOf(
      {
        claim: "The top direction of ΔW is the same with r = 8 and r = 64: φ(1, 1) above 0.5",
        source: `${LORA_PAPER}, fig. 3`,
        published: "φ > 0.5 for ΔWq and ΔWv, GPT-3",
      },
      allOf([
        ["q", isAboveLevel(topQ, 0.5, 3)],
        ["v", isAboveLevel(topV, 0.5, 3)],
      ]),
      `ΔW: ${text("q", topQ)}, ${text("v", topV)}; of A: ${text("q", topQA)}, ${text("v", topVA)}; random ${random1.toFixed(3)}`,
    ),
    claimOf(
      {
        claim: "The other directions share less: φ(8, 8) is below φ(1, 1)",
        source: `${LORA_PAPER}, fig. 3`,
        published: "top directions overlap, others do not",
      },
      allOf([
        ["q", isAbove(topQ, lastQ, { digits: 3 })],
        ["v", isAbove(topV, lastV, { digits: 3 })],
      ]),
      `φ(8, 8): ${text("q", lastQ)}, ${text("v", lastV)}; random ${(SMALL / WIDTH).toFixed(3)}`,
    ),
    claimOf(
      {
        claim: "Two seeds (r = 64) share directions that two random matrices do not",
        source: `${LORA_PAPER}, fig. 4`,
        published: "ΔWq and ΔWv share directions, Gaussians none",
      },
      allOf([
        ["q", isAbove(seedsQ, gaussian, { digits: 3 })],
        ["v", isAbove(seedsV, gaussian, { digits: 3 })],
      ]),
      `mean φ(i, i) to i = ${COMPARED}: ${text("q", seedsQ)}, ${text("v", seedsV)}, ${text("Gaussian", gaussian)}; of A: ${text("q", seedsQA)}, ${text("v", seedsVA)}`,
    ),
    claimOf(
      {
        claim: "ΔWq of two seeds share more than ΔWv",
        source: `${LORA_PAPER}, fig. 4`,
        published: "ΔWq has a higher intrinsic rank: more shared directions",
      },
      isAbove(seedsQ, seedsV, { digits: 3 }),
      `${text("q", seedsQ)}, ${text("v", seedsV)}`,
    ),
  ];

  const [seed] = scale.seeds;
  const [low, high] = [small.get(seed!), large.get(seed!)];
  const [one, other] = pairs[0]!;
  const [first, second] = [large.get(one), large.get(other)];
  const ranksPanels = (part: keyof Directions, zoom: boolean) =>
    KINDS.flatMap((kind) => {
      const [x, y] = [of(low, kind, SHOWN_LAYER), of(high, kind, SHOWN_LAYER)];
      if (x === undefined || y === undefined) return [];
      const grid = subspaceSimilarity(x[part].slice(0, SMALL), y[part].slice(0, LARGE));
      return [
        {
          title: `${kind}: ${part === "A" ? "A" : "ΔW"}, r = 8 and r = 64`,
          grid: zoom ? lowerTriangle(grid, SMALL) : grid,
          rowLabel: "i: directions of r = 8",
          columnLabel: "j: directions of r = 64",
        },
      ];
    });
  const seedPanels = (part: keyof Directions) => {
    const trainedPanels = KINDS.flatMap((kind) => {
      const [x, y] = [of(first, kind, SHOWN_LAYER), of(second, kind, SHOWN_LAYER)];
      if (x === undefined || y === undefined) return [];
      return [{ title: `${kind}, two seeds`, grid: subspaceSimilarity(x[part], y[part]) }];
    });
    const random = subspaceSimilarity(gaussianRows(LARGE, one), gaussianRows(LARGE, other));
    return [...trainedPanels, { title: "two random Gaussian matrices", grid: random }].map((panel) => ({
      ...panel,
      rowLabel: `i: directions of seed ${one}`,
      columnLabel: `j: directions of seed ${other}`,
    }));
  };
  const figure = (name: string, title: string, caption: string, panels: readonly OverlapPanel[]) =>
    panels.length === 0
      ? []
      : [{ name, title, caption, chart: () => overlapPanels(panels, { columns: panels.length }) }];
  return {
    claims,
    figures: [
      ...figure(
        "ranks-delta",
        "r = 8 and r = 64: ΔW",
        "Full grid, 8 × 64. Random subspaces give max(i, j) / 128.",
        ranksPanels("delta", false),
      ),
      ...figure(
        "ranks-delta-zoom",
        "r = 8 and r = 64: ΔW, first 8 directions",
        "The zoomed triangle.",
        ranksPanels("delta", true),
      ),
      ...figure(
        "ranks-A",
        "r = 8 and r = 64: A, as published",
        "Directions that A started with are in it.",
        ranksPanels("A", false),
      ),
      ...figure(
        "ranks-A-zoom",
        "r = 8 and r = 64: A, first 8 directions",
        "The zoomed triangle.",
        ranksPanels("A", true),
      ),
      ...figure(
        "seeds-delta",
        "Two seeds, r = 64: ΔW",
        "The last panel shows what chance gives: max(i, j) / 128.",
        seedPanels("delta"),
      ),
      ...figure(
        "seeds-A",
        "Two seeds, r = 64: A, as published",
        "The last panel shows what chance gives.",
        seedPanels("A"),
      ),
    ],
    tables: [
      {
        name: "overlaps",
        title: "Overlaps: mean ± standard deviation over seeds, or pairs of seeds; mean over four layers",
        columns: ["measure", "q of ΔW", "v of ΔW", "q of A", "v of A", "random"],
        rows: [
          ["φ(1, 1), r = 8 and r = 64", ...[topQ, topV, topQA, topVA].map((values) => spreadOf(values, 3)), random1],
          [
            "φ(8, 8), r = 8 and r = 64",
            ...[lastQ, lastV, shared("q_proj", "A", SMALL), shared("v_proj", "A", SMALL)].map((values) =>
              spreadOf(values, 3),
            ),
            SMALL / WIDTH,
          ],
          [
            `mean φ(i, i), i ≤ ${COMPARED}, two seeds of r = 64`,
            ...[seedsQ, seedsV, seedsQA, seedsVA].map((values) => spreadOf(values, 3)),
            meanOf(Array.from({ length: COMPARED }, (_, i) => (i + 1) / WIDTH)),
          ],
        ],
      },
    ],
    measurements: [
      {
        name: "overlaps-by-layer",
        title: "φ(1, 1) to φ(8, 8) of every matrix, seed and layer, and of random Gaussian matrices",
        columns: [
          "compared",
          "directions of",
          "matrix",
          "seed",
          "other seed",
          "layer",
          ...Array.from({ length: COMPARED }, (_, i) => `φ(${i + 1}, ${i + 1})`),
        ],
        rows: [
          ...found.map((overlap) => [
            overlap.of === "ranks" ? `r = ${SMALL} and r = ${LARGE}` : `two seeds of r = ${LARGE}`,
            overlap.part === "A" ? "A" : "ΔW",
            overlap.kind,
            overlap.seed,
            overlap.otherSeed,
            overlap.layer,
            ...overlap.diagonal,
          ]),
          ...pairs.map(([a, b], i) => ["two random matrices", "Gaussian", null, a, b, null, ...gaussianOverlaps[i]!]),
        ],
      },
    ],
    notes: [
      "Three seeds make three pairs, which are not quite independent of each other.",
      "v_proj has 64 outputs here (two key and value heads for four of queries), q_proj 128: with r = 64, B of v can have full rank.",
    ],
  };
}

async function directionsOfRun(results: Results, run: Run, seed: number): Promise<Loaded> {
  const wanted = trained(run(seed));
  return results.of(wanted) === undefined ? undefined : directionsIn(results.folder(wanted));
}

async function directionsIn(folder: string): Promise<ReadonlyMap<string, Directions>> {
  const { matrices } = await readTuned(folder);
  return new Map(
    matrices.flatMap(({ name, factors }) =>
      factors === undefined || !/\.[qv]_proj\./.test(name) ? [] : [[name, directionsOf(factors)] as const],
    ),
  );
}

function directionsOf({ A, B }: Factors): Directions {
  const { right } = factoredSvd({ B: columnsOf(B), A: rowsOf(A) });
  return { A: svd(A).right, delta: right };
}

/** Right-singular directions of a random matrix. */
function gaussianRows(r: number, seed: number): Columns {
  const random = new Random(seed, 77);
  const A: Matrix = { rows: r, columns: WIDTH, data: Float64Array.from({ length: r * WIDTH }, () => random.normal()) };
  return svd(A).right;
}

/** φ(i, i) of the first directions. */
function diagonal(a: Columns, b: Columns): number[] {
  const grid = subspaceSimilarity(a.slice(0, COMPARED), b.slice(0, COMPARED));
  return grid.map((row, i) => row[i] ?? NaN);
}
