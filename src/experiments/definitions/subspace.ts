/** Subspaces of learned adapters: r = 8 against r = 64, and two seeds against two random matrices. */
import { subspaceSimilarity } from "../../analysis/measures/subspace-similarity.ts";
import { factoredSvd } from "../../analysis/factored-svd.ts";
import { lowerTriangle, overlapPanelsSvg } from "../../figures/overlap-panels.ts";
import type { Columns } from "../../linear-algebra/columns.ts";
import { type Matrix, svd } from "../../linear-algebra/svd.ts";
import { Random } from "../../random.ts";
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { meanOf, spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove, isAboveLevel } from "../frame/verdict.ts";
import { columnsOf, rowsOf } from "../rig/columns.ts";
import { type Factors, readTuned } from "../rig/weights-file.ts";
import { claimOf } from "./claims.ts";
import { ofRank } from "./intruders.ts";
import { LORA_PAPER, SETTING, trained, type Run } from "./protocol.ts";

const [SMALL, LARGE] = [8, 64];
/** Directions of two seeds whose mean overlap is compared. */
const COMPARED = 8;
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

type Kind = "q_proj" | "v_proj";

interface Directions {
  /** Right-singular vectors of A. */
  readonly A: Columns;
  /** Of ΔW. */
  readonly delta: Columns;
}

async function conclude(results: Results, scale: Scale): Promise<Conclusion> {
  const loaded = new Map<string, Promise<ReadonlyMap<string, Directions> | undefined>>();
  const load = (run: Run, seed: number) => {
    const settings = run(seed);
    const key = JSON.stringify(settings);
    const known = loaded.get(key);
    if (known !== undefined) return known;
    const wanted = trained(settings);
    const made = results.of(wanted) === undefined ? Promise.resolve(undefined) : directionsIn(results.folder(wanted));
    loaded.set(key, made);
    return made;
  };
  const of = (all: ReadonlyMap<string, Directions> | undefined, kind: Kind, layer: number) =>
    all?.get(`model.layers.${layer}.self_attn.${kind}.weight`);

  // r = 8 against r = 64, for each seed: mean over the layers.
  const sharedTop = async (kind: Kind, part: keyof Directions, i: number) =>
    Promise.all(
      scale.seeds.map(async (seed) => {
        const [a, b] = [await load(ofRank(SMALL), seed), await load(ofRank(LARGE), seed)];
        return meanOf(
          [0, 1, 2, 3].map((layer) => {
            const [x, y] = [of(a, kind, layer), of(b, kind, layer)];
            return x === undefined || y === undefined ? NaN : phi(x[part], y[part], i, i);
          }),
        );
      }),
    );
  const [topQ, topV] = [await sharedTop("q_proj", "delta", 1), await sharedTop("v_proj", "delta", 1)];
  const [lastQ, lastV] = [await sharedTop("q_proj", "delta", SMALL), await sharedTop("v_proj", "delta", SMALL)];
  const [topQA, topVA] = [await sharedTop("q_proj", "A", 1), await sharedTop("v_proj", "A", 1)];

  // Two seeds of r = 64.
  const pairs = seedPairs(scale.seeds, scale.quick);
  const between = async (kind: Kind, part: keyof Directions) =>
    Promise.all(
      pairs.map(async ([one, other]) => {
        const [a, b] = [await load(ofRank(LARGE), one), await load(ofRank(LARGE), other)];
        return meanOf(
          [0, 1, 2, 3].map((layer) => {
            const [x, y] = [of(a, kind, layer), of(b, kind, layer)];
            return x === undefined || y === undefined ? NaN : meanDiagonal(x[part], y[part]);
          }),
        );
      }),
    );
  const gaussian = pairs.map(([one, other]) => meanDiagonal(gaussianRows(LARGE, one), gaussianRows(LARGE, other)));
  const [seedsQ, seedsV] = [await between("q_proj", "delta"), await between("v_proj", "delta")];
  const [seedsQA, seedsVA] = [await between("q_proj", "A"), await between("v_proj", "A")];
  const random1 = 1 / WIDTH;
  const text = (name: string, values: readonly number[]) => `${name} ${spreadOf(values, 3)}`;
  const claims = [
    claimOf(
      {
        claim: "The top direction of ΔW is the same with r = 8 and r = 64: φ(1, 1) above 0.5",
        source: `${LORA_PAPER}, fig. 3`,
        published: "φ > 0.5 for ΔWq and ΔWv, GPT-3",
      },
      allOf([isAboveLevel(topQ, 0.5, 3), isAboveLevel(topV, 0.5, 3)]),
      `ΔW: ${text("q", topQ)}, ${text("v", topV)}; of A: ${text("q", topQA)}, ${text("v", topVA)}; random ${random1.toFixed(3)}`,
    ),
    claimOf(
      {
        claim: "The other directions share less: φ(8, 8) is below φ(1, 1)",
        source: `${LORA_PAPER}, fig. 3`,
        published: "top directions overlap, others do not",
      },
      allOf([isAbove(topQ, lastQ, { digits: 3 }), isAbove(topV, lastV, { digits: 3 })]),
      `φ(8, 8): ${text("q", lastQ)}, ${text("v", lastV)}; random ${(SMALL / WIDTH).toFixed(3)}`,
    ),
    claimOf(
      {
        claim: "Two seeds (r = 64) share directions that two random matrices do not",
        source: `${LORA_PAPER}, fig. 4`,
        published: "ΔWq and ΔWv share directions, Gaussians none",
      },
      allOf([isAbove(seedsQ, gaussian, { digits: 3 }), isAbove(seedsV, gaussian, { digits: 3 })]),
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
  const [low, high] = [await load(ofRank(SMALL), seed!), await load(ofRank(LARGE), seed!)];
  const [one, other] = pairs[0]!;
  const [first, second] = [await load(ofRank(LARGE), one), await load(ofRank(LARGE), other)];
  const ranksPanels = (part: keyof Directions, zoom: boolean) =>
    (["q_proj", "v_proj"] as const).flatMap((kind) => {
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
    const trainedPanels = (["q_proj", "v_proj"] as const).flatMap((kind) => {
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
  const figure = (name: string, title: string, caption: string, panels: Parameters<typeof overlapPanelsSvg>[0]) =>
    panels.length === 0
      ? []
      : [{ name, title, caption, svg: () => overlapPanelsSvg(panels, { columns: panels.length }) }];
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
            ...[lastQ, lastV, await sharedTop("q_proj", "A", SMALL), await sharedTop("v_proj", "A", SMALL)].map(
              (values) => spreadOf(values, 3),
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
    notes: [
      "Three seeds make three pairs, which are not quite independent of each other.",
      "v_proj has 64 outputs here (two key and value heads for four of queries), q_proj 128: with r = 64, B of v can have full rank.",
    ],
  };
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

function phi(a: Columns, b: Columns, i: number, j: number): number {
  return subspaceSimilarity(a.slice(0, i), b.slice(0, j)).at(-1)?.at(-1) ?? NaN;
}

/** Mean of φ(i, i). */
function meanDiagonal(a: Columns, b: Columns): number {
  const grid = subspaceSimilarity(a.slice(0, COMPARED), b.slice(0, COMPARED));
  return meanOf(grid.map((row, i) => row[i] ?? NaN));
}
