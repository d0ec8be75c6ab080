/**
 * What a LoRA step costs, against the work: tokens of a sequence, rank, and sequences of a batch, one of them at a time and
 * the others at their usual values.
 *
 * Layers are alike, so two models of few layers say what the whole one costs; a few points of the whole one are measured
 * beside it, to see whether that is so. Every point is a process of its own, for its peak of memory.
 *
 * The results file is written after each point, and a run that was stopped goes on. `--fresh` begins anew; `--quick` takes a
 * few small points to lowrank-out/bench, to see that all of it works.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { modelOfShape } from "../src/cli/bench/shapes.ts";
import type { BenchTrainReport } from "../src/cli/bench/train.ts";
import { svgToPng } from "../src/figures/png.ts";
import { panelsSvg, type PointSeries, xyChartSvg } from "../src/figures/xy-chart.ts";
import { machine } from "./machine.ts";

const CLI = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
const RESULTS = fileURLToPath(new URL("../../bench/results/", import.meta.url));
const QUICK_RESULTS = "lowrank-out/bench/";
const NAME = "cost-against-work";

export type Swept = "tokens" | "r" | "batch";

export interface Work extends Readonly<Record<Swept, number>> {
  readonly layers: number;
}

export interface Point extends Work {
  readonly step_s: number;
  readonly tokens_per_s: number;
  readonly peak_rss_gb: number;
}

export interface Plan {
  readonly shape: string;
  readonly storage: string;
  readonly steps: number;
  /** 0: one per core. */
  readonly threads: number;
  /** Where nothing is said. */
  readonly usual: Readonly<Record<Swept, number>>;
  readonly sweeps: Readonly<Record<Swept, readonly number[]>>;
  /** Of the two models that the whole one is computed from. */
  readonly layers: readonly [fewer: number, more: number];
  readonly whole: number;
  /** Work that the whole model is measured at. */
  readonly checks: readonly Partial<Record<Swept, number>>[];
}

const SHAPE = "qwen2.5-0.5b";

export const FULL: Plan = {
  shape: SHAPE,
  storage: "float32",
  steps: 3,
  threads: 0,
  usual: { tokens: 512, r: 8, batch: 1 },
  sweeps: {
    tokens: [128, 256, 512, 1024, 2048, 4096],
    r: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    batch: [1, 2, 4, 8, 16],
  },
  layers: [2, 4],
  whole: modelOfShape(SHAPE).blocks,
  checks: [{ tokens: 128 }, {}, { tokens: 1024 }, { r: 64 }, { batch: 2 }],
};

export const QUICK: Plan = {
  shape: "smollm2-135m",
  storage: "float32",
  steps: 1,
  threads: 1,
  usual: { tokens: 64, r: 8, batch: 1 },
  sweeps: { tokens: [32, 64, 128], r: [1, 8, 64], batch: [1, 2, 4] },
  layers: [1, 2],
  whole: 4,
  checks: [{}],
};

const AXES: Readonly<Record<Swept, string>> = {
  tokens: "tokens of a sequence",
  r: "rank r",
  batch: "sequences of a step",
};
const SWEPT = Object.keys(AXES) as Swept[];

/** What there is to measure, each once. */
export function workOf({ usual, sweeps, layers, whole, checks }: Plan): Work[] {
  const values = SWEPT.flatMap((swept) => sweeps[swept].map((value) => ({ ...usual, [swept]: value })));
  const all: Work[] = [
    ...layers.flatMap((count) => values.map((one) => ({ ...one, layers: count }))),
    ...checks.map((check) => ({ ...usual, ...check, layers: whole })),
  ];
  return [...new Map(all.map((work) => [keyOf(work), work])).values()];
}

export function keyOf({ layers, tokens, r, batch }: Work): string {
  return `${layers} layers, ${tokens} tokens, r ${r}, batch ${batch}`;
}

export type Points = ReadonlyMap<string, Point>;

/** Points of a results file that were measured in the same way, on the same machine. */
export function knownPoints(text: string, plan: Plan, cpu: string): Map<string, Point> {
  const found = JSON.parse(text) as { plan?: Plan; machine?: { cpu?: string }; points?: readonly Point[] };
  const way = ({ shape, storage, steps, threads }: Plan) => JSON.stringify([shape, storage, steps, threads]);
  const isSame = found.plan !== undefined && way(found.plan) === way(plan) && found.machine?.cpu === cpu;
  return new Map(isSame ? (found.points ?? []).map((point) => [keyOf(point), point]) : []);
}

/** A measure of the whole model, from those of two with fewer layers: each further layer costs the same. */
export function extrapolated(
  { layers: [fewer, more], whole }: Plan,
  points: Points,
  work: Readonly<Record<Swept, number>>,
  measure: "step_s" | "peak_rss_gb",
): number | undefined {
  const low = points.get(keyOf({ ...work, layers: fewer }))?.[measure];
  const high = points.get(keyOf({ ...work, layers: more }))?.[measure];
  if (low === undefined || high === undefined) return undefined;
  return low + ((high - low) / (more - fewer)) * (whole - fewer);
}

/** Time above, memory below; a column for each of the sweeps. Undefined: there is nothing to draw yet. */
export function costSvg(plan: Plan, points: Points): string | undefined {
  const { usual, sweeps, layers, whole } = plan;
  const series = (swept: Swept, measure: "step_s" | "peak_rss_gb"): PointSeries[] => {
    const along = (of: (work: Readonly<Record<Swept, number>>) => number | undefined) =>
      sweeps[swept].flatMap((value) => {
        const y = of({ ...usual, [swept]: value });
        return y === undefined ? [] : [{ x: value, y }];
      });
    const measured = (count: number) => along((work) => points.get(keyOf({ ...work, layers: count }))?.[measure]);
    return [
      { name: `${layers[1]} layers`, points: measured(layers[1]), joined: true },
      {
        name: `${whole} layers, computed`,
        points: along((work) => extrapolated(plan, points, work, measure)),
        joined: true,
        hollow: true,
      },
      { name: `${whole} layers`, points: measured(whole) },
    ];
  };
  const chart = (swept: Swept, measure: "step_s" | "peak_rss_gb", title: string, label: string) => {
    const drawn = series(swept, measure);
    if (drawn.every((one) => one.points.length === 0)) return [];
    return [
      xyChartSvg(drawn, {
        title: `${title} by ${AXES[swept]}`,
        subtitle: othersOf(usual, swept),
        x: { label: AXES[swept], log: true, ticks: sweeps[swept], format: String },
        y: { label, log: true },
        width: 480,
        height: 400,
      }),
    ];
  };
  const charts = [
    ...SWEPT.flatMap((swept) => chart(swept, "step_s", "Time", "seconds for a step")),
    ...SWEPT.flatMap((swept) => chart(swept, "peak_rss_gb", "Memory", "peak resident memory (GB)")),
  ];
  return charts.length === 0 ? undefined : panelsSvg(charts, SWEPT.length);
}

function othersOf(usual: Readonly<Record<Swept, number>>, swept: Swept): string {
  const words = { tokens: `${usual.tokens} tokens`, r: `r ${usual.r}`, batch: `batch ${usual.batch}` };
  return SWEPT.filter((name) => name !== swept)
    .map((name) => words[name])
    .join(", ");
}

export function costMarkdown(plan: Plan, points: Points, made: string): string {
  const { shape, storage, steps, usual, sweeps, layers, whole } = plan;
  const [fewer, more] = layers;
  const head = [
    `step with ${fewer} layers, s`,
    `with ${more}, s`,
    `with all ${whole}, s`,
    "measured, s",
    `memory with ${more}, GB`,
    `with all ${whole}, GB`,
    "measured, GB",
  ];
  const number = (value: number | undefined, digits: number) => (value === undefined ? "" : value.toFixed(digits));
  const sections = SWEPT.map((swept) => {
    const lines = sweeps[swept].map((value) => {
      const work = { ...usual, [swept]: value };
      const at = (count: number) => points.get(keyOf({ ...work, layers: count }));
      return [
        String(value),
        number(at(fewer)?.step_s, 3),
        number(at(more)?.step_s, 3),
        number(extrapolated(plan, points, work, "step_s"), 2),
        number(at(whole)?.step_s, 2),
        number(at(more)?.peak_rss_gb, 2),
        number(extrapolated(plan, points, work, "peak_rss_gb"), 2),
        number(at(whole)?.peak_rss_gb, 2),
      ];
    });
    const rows = [[AXES[swept], ...head], [AXES[swept], ...head].map(() => "---:"), ...lines];
    return [
      `## By ${AXES[swept]} (${othersOf(usual, swept)})`,
      rows.map((cells) => `| ${cells.join(" | ")} |`).join("\n"),
    ].join("\n\n");
  });
  return [
    "# Cost against work",
    `A training step of ${shape} in ${storage}: LoRA on all linear layers but the head, random weights, a quarter of the` +
      ` tokens supervised; the median of ${steps} ${steps === 1 ? "step" : "steps"}. ${made}`,
    `"With all ${whole}" is computed from the models with ${fewer} and ${more} layers, each further layer costing the same;` +
      ` "measured" is the whole model itself, at a few points. Memory is the largest resident memory of the process, the` +
      " mapped weights included.",
    `![](${NAME}.svg)`,
    ...sections,
  ]
    .join("\n\n")
    .concat("\n");
}

function measure({ shape, storage, steps, threads }: Plan, work: Work): Point {
  const { layers, tokens, r, batch } = work;
  const numbers = Object.entries({ layers, tokens, r, batch, steps, threads });
  const words = numbers.flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [CLI, "bench", "train", "--shape", shape, "--storage", storage, "--keep", "--json", ...words],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`${keyOf(work)}: ended with ${signal ?? status}\n${stderr}`);
  const { step_s, tokens_per_s, peak_rss_gb } = JSON.parse(stdout) as BenchTrainReport;
  return { ...work, step_s, tokens_per_s, peak_rss_gb };
}

function main(words: readonly string[]): void {
  const [plan, folder] = words.includes("--quick") ? [QUICK, QUICK_RESULTS] : [FULL, RESULTS];
  const path = (ending: string) => `${folder}${NAME}.${ending}`;
  const made = machine();
  mkdirSync(folder, { recursive: true });
  const isKnown = existsSync(path("json")) && !words.includes("--fresh");
  const points = isKnown ? knownPoints(readFileSync(path("json"), "utf8"), plan, made.cpu) : new Map<string, Point>();
  const threads = plan.threads === 0 ? made.cores : plan.threads;
  const where = `${made.cpu}, ${threads} ${threads === 1 ? "thread" : "threads"}; ONNX Runtime ${made.onnxruntime}, Node ${made.node}.`;
  const write = () => {
    const json = { name: NAME, machine: made, plan, points: [...points.values()] };
    writeFileSync(path("json"), `${JSON.stringify(json, null, 1)}\n`);
    const svg = costSvg(plan, points);
    if (svg !== undefined) {
      writeFileSync(path("svg"), svg);
      writeFileSync(path("png"), svgToPng(svg, 1));
    }
    writeFileSync(path("md"), costMarkdown(plan, points, where));
  };
  const all = workOf(plan);
  const written = new Set<number>();
  for (const [i, work] of all.entries()) {
    const known = points.get(keyOf(work));
    if (known === undefined && !written.has(work.layers)) {
      // The first run writes the weights, which takes memory of its own.
      measure(plan, { ...plan.usual, layers: work.layers });
      written.add(work.layers);
    }
    const { step_s, tokens_per_s, peak_rss_gb } = known ?? measure(plan, work);
    points.set(keyOf(work), { ...work, step_s, tokens_per_s, peak_rss_gb });
    const found = `${step_s} s, ${tokens_per_s} tokens/s, ${peak_rss_gb} GB`;
    process.stdout.write(`[${i + 1}/${all.length}] ${keyOf(work)}: ${found}${known === undefined ? "" : " (known)"}\n`);
    if (known === undefined) write();
  }
  write();
  process.stdout.write(`${path("md")}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
