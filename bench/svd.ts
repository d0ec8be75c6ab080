/**
 * Singular values of dense matrices against NumPy's LAPACK, and how long the matrices of one layer take. Both are given float32
 * numbers; ours computes in float64, LAPACK in the type that is said. Ours and the peer's alternate.
 */
import { openDecomposer } from "../src/analysis/open-decomposer.ts";
import { factoredSvd } from "../src/linear-algebra/factored-svd.ts";
import { type Matrix, singularValues, svd, truncatedSvd } from "../src/linear-algebra/svd.ts";
import { Random } from "../src/random.ts";
import { machine } from "./machine.ts";
import { runPeer } from "./peer.ts";
import { summarize } from "./statistics.ts";
import type { Suite } from "./suites.ts";

/** LOWRANK_BENCH_QUICK=1: small matrices, once, to see that all of it works. */
const QUICK = process.env["LOWRANK_BENCH_QUICK"] === "1";
const ROUNDS = QUICK ? 1 : 5;
/** What ours may take, as a multiple of NumPy's time. */
const GOAL = 5;

type Shape = readonly [rows: number, columns: number];
type Kind = "values" | "vectors";

const SHAPES: readonly Shape[] = [
  [1024, 1024],
  [4864, 896],
].map(sized);
/** The linear maps of a layer of qwen2.5-0.5b. */
const LAYER: readonly Shape[] = [
  [896, 896],
  [128, 896],
  [128, 896],
  [896, 896],
  [4864, 896],
  [4864, 896],
  [896, 4864],
].map(sized);

function sized([rows, columns]: readonly number[]): Shape {
  const divisor = QUICK ? 16 : 1;
  return [rows! / divisor, columns! / divisor];
}

interface Case {
  readonly name: string;
  readonly ours: () => unknown;
  /** What the peer does; undefined: nothing like it. */
  readonly peer?: { readonly kind: Kind; readonly shapes: readonly Shape[] };
}

interface Row {
  readonly name: string;
  /** Medians, in seconds. */
  readonly ours_s: number;
  readonly numpy_float64_s?: number;
  readonly numpy_float32_s?: number;
  /** Ours to LAPACK in float64. */
  readonly ratio?: number;
}

export const svdSuite: Suite = {
  name: "svd",
  title: "Singular value decompositions, against NumPy's",
  async run(threads) {
    const numpy = numpyVersion();
    const decomposer = await openDecomposer({ threads, cacheDir: false });
    const cases = [...SHAPES.flatMap(casesOf), ...layerCases(decomposer), ...factoredCases()];
    const rows: Row[] = [];
    for (const one of cases) rows.push(await measured(one, numpy !== undefined));
    await decomposer.dispose();
    const made = machine();
    const versions = `Node ${made.node}, NumPy ${numpy ?? "(not found)"}`;
    const notes = [
      `Medians of ${ROUNDS} runs, in seconds; ${made.cpu}, ${made.cores} cores; ${versions}.`,
      `Ours: float64, one thread; the layer: ${threads} threads of one matrix each. NumPy: all cores.`,
      `The goal is a ratio of at most ${GOAL}.`,
    ];
    const seconds = (value: number | undefined) => (value === undefined ? "-" : value.toFixed(3));
    const header = ["decomposition", "ours, s", "NumPy float64, s", "float32, s", "ours / float64"];
    const cells = rows.map((row) => [
      row.name,
      seconds(row.ours_s),
      seconds(row.numpy_float64_s),
      seconds(row.numpy_float32_s),
      row.ratio === undefined ? "-" : `${row.ratio.toFixed(2)}×`,
    ]);
    return { header, rows: cells, figures: { rounds: ROUNDS, numpy: numpy ?? null, rows }, notes, document: true };
  },
};

function casesOf(shape: Shape): Case[] {
  const matrix = random(shape, 1);
  const name = shape.join(" × ");
  return [
    { name: `${name}, values`, ours: () => singularValues(matrix), peer: { kind: "values", shapes: [shape] } },
    { name: `${name}, all vectors`, ours: () => svd(matrix), peer: { kind: "vectors", shapes: [shape] } },
    { name: `${name}, the 10 largest`, ours: () => svd(matrix, 10) },
    { name: `${name}, about the 10 largest`, ours: () => truncatedSvd(matrix, 10) },
  ];
}

function layerCases(decomposer: Awaited<ReturnType<typeof openDecomposer>>): Case[] {
  const matrices = LAYER.map(random);
  const name = "a layer of qwen2.5-0.5b";
  return [
    {
      name: `${name}, values`,
      ours: () => Promise.all(matrices.map((matrix) => decomposer.singularValues(matrix))),
      peer: { kind: "values", shapes: LAYER },
    },
    {
      name: `${name}, all vectors`,
      ours: () => Promise.all(matrices.map((matrix) => decomposer.svd(matrix))),
      peer: { kind: "vectors", shapes: LAYER },
    },
  ];
}

function factoredCases(): Case[] {
  return [8, 64].map((r) => {
    const [rows, columns] = SHAPES[1]!;
    const [B, A] = [random([rows, r], 1), random([r, columns], 2)];
    return { name: `B A of ${rows} × ${columns}, r ${r}`, ours: () => factoredSvd(B, A) };
  });
}

function random([rows, columns]: Shape, seed: number): Matrix {
  const draw = new Random(seed);
  return { rows, columns, data: Float32Array.from({ length: rows * columns }, () => 0.02 * draw.normal()) };
}

async function measured({ name, ours, peer }: Case, hasPeer: boolean): Promise<Row> {
  const times = { ours: [] as number[], float64: [] as number[], float32: [] as number[] };
  await ours();
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await ours();
    times.ours.push((performance.now() - start) / 1000);
    if (peer === undefined || !hasPeer) continue;
    const shapes = peer.shapes.map((shape) => shape.join("x"));
    for (const dtype of ["float64", "float32"] as const) {
      times[dtype].push(runPeer("svd_numpy.py", [peer.kind, dtype, ...shapes]) as number);
    }
  }
  const median = (values: readonly number[]) => summarize(values).median;
  const row = { name, ours_s: median(times.ours) };
  if (times.float64.length === 0) return row;
  const numpy = median(times.float64);
  return { ...row, numpy_float64_s: numpy, numpy_float32_s: median(times.float32), ratio: row.ours_s / numpy };
}

function numpyVersion(): string | undefined {
  try {
    return runPeer("svd_numpy.py", ["version"]) as string;
  } catch {
    return undefined;
  }
}
