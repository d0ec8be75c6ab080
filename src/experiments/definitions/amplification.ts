/** How much ΔW amplifies directions that W₀ does not emphasise (LoRA, table 7). */
import { amplification } from "../../analysis/measures/amplification.ts";
import { factoredSvd } from "../../analysis/factored-svd.ts";
import type { Amplification } from "../../analysis/report.ts";
import type { Conclusion, Experiment, Results, Scale } from "../experiment.ts";
import { layerProfile, xyChart } from "../frame/charts.ts";
import { meanOf, sampleOf, spreadOf } from "../frame/statistics.ts";
import { allOf, isAbove, isSame, type Verdict } from "../frame/verdict.ts";
import { baseSvds } from "../jobs/spectra.ts";
import { columnsOf, rowsOf } from "../rig/columns.ts";
import { readTuned } from "../rig/weights-file.ts";
import { claimOf } from "./claims.ts";
import { ofRank } from "./intruders.ts";
import { LORA_PAPER, SETTING, trained } from "./protocol.ts";

const [LOW, HIGH] = [4, 64];

export const AMPLIFICATION: Experiment = {
  name: "amplification",
  title: "What ΔW amplifies",
  about: "Does LoRA amplify directions that the weights have but do not emphasise, and more so at low rank?",
  source: `${LORA_PAPER}, §7.3, table 7`,
  minutes: 2,
  setting: [
    ...SETTING,
    "‖ΔW‖_F / ‖Uᵀ W₀ V‖_F with the r first singular vectors U, V of ΔW, on q_proj: mean over the four layers. Beside it ‖Uᵀ W₀ V‖_F with the vectors of W₀ and of a random matrix.",
  ],
  jobs: ({ seeds }) => seeds.flatMap((seed) => [ofRank(LOW)(seed), ofRank(HIGH)(seed)].map(trained)),
  conclude,
};

type Measured = Amplification & { readonly normDelta: number };

async function conclude(results: Results, scale: Scale): Promise<Conclusion> {
  // By seed: q_proj of each layer.
  const byRankAndSeed = new Map<number, (readonly Measured[] | undefined)[]>();
  for (const r of [LOW, HIGH]) {
    const bySeed = [];
    for (const seed of scale.seeds) {
      const wanted = trained(ofRank(r)(seed));
      bySeed.push(results.of(wanted) === undefined ? undefined : await measured(results.folder(wanted), r, seed));
    }
    byRankAndSeed.set(r, bySeed);
  }
  const of = (r: number, value: (one: Measured) => number) =>
    byRankAndSeed.get(r)!.map((layers) => (layers === undefined ? NaN : meanOf(layers.map(value))));
  const along = (r: number) => ({
    delta: of(r, (one) => one.along_delta),
    base: of(r, (one) => one.along_base),
    random: of(r, (one) => one.along_random),
    expected: of(r, (one) => one.random_expected),
    factor: of(r, (one) => one.factor ?? NaN),
    norm: of(r, (one) => one.normDelta),
  });
  const [low, high] = [along(LOW), along(HIGH)];
  const byRank = (verdict: (one: typeof low) => Verdict): (readonly [string, Verdict])[] => [
    [`r = ${LOW}`, verdict(low)],
    [`r = ${HIGH}`, verdict(high)],
  ];
  const columns = (one: typeof low) =>
    `ΔW ${spreadOf(one.delta, 3)}, W ${spreadOf(one.base, 3)}, random ${spreadOf(one.random, 3)}`;
  const claims = [
    claimOf(
      {
        claim: "ΔW amplifies directions that W has: its projection is above that on random ones",
        source: `${LORA_PAPER}, table 7`,
        published: "r = 4: 0.32 against 0.02; r = 64: 1.90 against 0.33",
      },
      allOf(byRank((one) => isAbove(one.delta, one.random, { digits: 3 }))),
      `‖Uᵀ W₀ V‖: r = 4: ${columns(low)}; r = 64: ${columns(high)}`,
    ),
    claimOf(
      {
        claim: "… but does not repeat W's top directions",
        source: `${LORA_PAPER}, table 7`,
        published: "r = 4: 0.32 against 21.67; r = 64: 1.90 against 37.71",
      },
      allOf(byRank((one) => isAbove(one.base, one.delta, { digits: 3 }))),
      `share of what W's own directions have: r = 4 ${percent(low)}, r = 64 ${percent(high)}`,
    ),
    claimOf(
      {
        claim: "The lower the rank, the larger the amplification",
        source: `${LORA_PAPER}, table 7`,
        published: "21.5 at r = 4, about 2 at r = 64",
      },
      isAbove(low.factor, high.factor, { digits: 2 }),
      `r = 4: ${spreadOf(low.factor, 2)}, r = 64: ${spreadOf(high.factor, 2)}`,
    ),
    claimOf(
      {
        claim: "The random column is ‖W‖ r / √(out · in), within 5 %",
        source: "arithmetic",
        published: "0.0202 and 0.3227 for the table's 0.02 and 0.33",
      },
      isSame(
        high.random.map((value, i) => value / high.expected[i]!),
        high.random.map(() => 1),
        0.05,
      ),
      `r = 64: ${spreadOf(high.random, 4)} found, ${spreadOf(high.expected, 4)} expected`,
    ),
  ];
  const line = (name: string, r: number) => ({
    name,
    values: [0, 1, 2, 3].map((layer) => {
      const values = byRankAndSeed.get(r)!.flatMap((layers) => layers?.[layer]?.factor ?? []);
      return values.length === 0 ? null : meanOf(values);
    }),
  });
  const rowOf = (r: number, one: typeof low) => [
    r,
    ...[one.delta, one.base, one.random, one.expected, one.norm].map((values) => spreadOf(values, 3)),
    spreadOf(one.factor, 2),
  ];
  const bars = [
    ["ΔW", low.delta, high.delta],
    ["W₀", low.base, high.base],
    ["random", low.random, high.random],
  ] as const;
  return {
    claims,
    figures: [
      {
        name: "amplification-by-layer",
        title: "Amplification of q_proj by layer",
        caption: "‖ΔW‖ / ‖Uᵀ W₀ V‖ with the vectors of ΔW, mean over seeds.",
        chart: () =>
          layerProfile([line("r = 4", LOW), line("r = 64", HIGH)], {
            title: "Amplification of q_proj by layer",
            y: { label: "amplification factor", log: true },
          }),
      },
      {
        name: "projections",
        title: "‖Uᵀ W₀ V‖ by the origin of the directions",
        caption: "Those of ΔW lie between random ones and W's own.",
        chart: () =>
          xyChart(
            bars.map(([name, ...values]) => ({
              name: `directions of ${name}`,
              joined: true,
              points: values.map((found, i) => ({
                x: [LOW, HIGH][i]!,
                y: sampleOf(found).mean,
                ySpread: sampleOf(found).deviation,
              })),
            })),
            {
              title: "‖Uᵀ W₀ V‖ of q_proj",
              width: 460,
              height: 360,
              x: { label: "rank r", log: true, ticks: [LOW, HIGH] },
              y: { label: "Frobenius norm", log: true },
            },
          ),
      },
    ],
    tables: [
      {
        name: "table-7",
        title: "Table 7 on this model: q_proj, mean over layers, mean ± standard deviation over seeds",
        columns: ["r", "ΔW", "W₀", "random", "random, expected", "‖ΔW‖", "amplification"],
        rows: [rowOf(LOW, low), rowOf(HIGH, high)],
      },
    ],
    measurements: [
      {
        name: "projections-by-layer",
        title:
          "q_proj by rank, seed and layer: ‖Uᵀ W₀ V‖ with the directions of ΔW, of W₀ and of a random matrix, and ‖ΔW‖",
        columns: ["r", "seed", "layer", "ΔW", "W₀", "random", "random, expected", "‖ΔW‖", "amplification"],
        rows: [...byRankAndSeed].flatMap(([r, bySeed]) =>
          bySeed.flatMap((layers, i) =>
            (layers ?? []).map((one, layer) => [
              r,
              scale.seeds[i]!,
              layer,
              one.along_delta,
              one.along_base,
              one.along_random,
              one.random_expected,
              one.normDelta,
              one.factor,
            ]),
          ),
        ),
      },
    ],
    notes: [
      "With width 128, r = 64 is half of all directions: ‖Uᵀ W₀ V‖ of random ones is large, and the factor small.",
    ],
  };
}

function percent({ delta, base }: { readonly delta: readonly number[]; readonly base: readonly number[] }): string {
  return `${spreadOf(
    delta.map((value, i) => (100 * value) / base[i]!),
    1,
  )} %`;
}

/** q_proj of each layer. */
async function measured(folder: string, r: number, seed: number): Promise<readonly Measured[]> {
  const bases = await baseSvds();
  const { matrices } = await readTuned(folder);
  return matrices
    .filter(({ name }) => name.includes(".q_proj."))
    .map(({ name, base, factors }) => {
      const { A, B, scaling } = factors!;
      const delta = factoredSvd({
        B: columnsOf(B).map((column) => column.map((value) => scaling * value)),
        A: rowsOf(A),
      });
      const normDelta = Math.sqrt(delta.values.reduce((sum, value) => sum + value * value, 0));
      return { ...amplification(base, delta, r, seed, bases.get(name)), normDelta };
    });
}
