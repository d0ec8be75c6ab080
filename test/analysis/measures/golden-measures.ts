/** golden/analysis: what NumPy and PEFT say of matrices with planted updates (golden/make/analysis.py). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Columns } from "../../../src/linear-algebra/columns.ts";
import type { Matrix } from "../../../src/linear-algebra/svd.ts";
import type { Side } from "../../../src/analysis/report.ts";

type Rows = readonly (readonly number[])[];

export interface GoldenSide {
  readonly cosines: Rows;
  readonly max_cos: readonly number[];
  readonly nearest: readonly number[];
  readonly counts: readonly { readonly k: number; readonly epsilon: number; readonly count: number }[];
  readonly ranks: readonly number[];
  readonly spans: boolean;
  readonly pooled: Rows;
}

export interface GoldenCase {
  readonly shape: readonly [number, number];
  readonly base: readonly number[];
  readonly tuned: readonly number[];
  readonly sigma_base: readonly number[];
  readonly sigma_tuned: readonly number[];
  readonly sigma_delta: readonly number[];
  readonly effective_ranks: readonly [base: number, tuned: number, delta: number];
  readonly stable_rank_delta: number;
  readonly numeric_ranks: readonly [base: number, tuned: number, delta: number];
  readonly norms: Readonly<Record<"frobenius" | "base" | "max_abs" | "mean_abs" | "rms", number>>;
  readonly amplification: Readonly<Record<"r" | "factor" | "along_delta" | "along_base" | "random_expected", number>>;
  readonly phi_right: Rows;
  readonly sides: Readonly<Record<Side, GoldenSide>>;
  readonly scaled: readonly { readonly index: number; readonly lambda: number; readonly W: readonly number[] }[];
}

export interface GoldenMeasures {
  readonly cases: Readonly<Record<string, GoldenCase>>;
  readonly overlap: Readonly<Record<"B1" | "A1" | "B2" | "A2" | "left" | "right", Rows>> & {
    readonly cosine: number;
    readonly learned: Readonly<Record<"left" | "right", Rows>> &
      Readonly<Record<"captured" | "best" | "distance", number>>;
  };
  readonly spearman: readonly {
    readonly x: readonly number[];
    readonly y: readonly number[];
    readonly rho: number;
    readonly t: number;
    readonly exact?: number;
  }[];
}

export interface GoldenPeft {
  readonly k: number;
  readonly epsilon: number;
  readonly lambda: number;
  readonly r: number;
  readonly alpha: number;
  readonly layers: Readonly<
    Record<
      string,
      {
        readonly shape: readonly [number, number];
        readonly W: readonly number[];
        readonly A: Rows;
        readonly B: Rows;
        readonly count: number;
        readonly delta: readonly number[];
      }
    >
  >;
}

export const MEASURES = read<GoldenMeasures>("measures.json");
export const PEFT = read<GoldenPeft>("peft-intruders.json");

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../golden/analysis/${name}`, import.meta.url), "utf8")) as T;
}

export function matrixOf([rows, columns]: readonly [number, number], data: ArrayLike<number>): Matrix {
  return { rows, columns, data: Float64Array.from(data) };
}

/** As columns of a matrix that is given by its rows. */
export function columnsOf(rows: Rows): Columns {
  return rows[0]!.map((_, j) => Float64Array.from(rows, (row) => row[j]!));
}

/** Rows as vectors. */
export function vectorsOf(rows: Rows): Columns {
  return rows.map((row) => Float64Array.from(row));
}

export function close(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number, what = ""): void {
  assert.equal(got.length, want.length, what);
  for (let i = 0; i < got.length; i++) {
    const error = Math.abs(got[i]! - want[i]!);
    assert.ok(error <= tolerance, `${what} [${i}]: got ${got[i]}, expected ${want[i]}, which differ by ${error}`);
  }
}

export function closeRows(got: Rows, want: Rows, tolerance: number, what = ""): void {
  assert.equal(got.length, want.length, what);
  got.forEach((row, i) => close(row, want[i]!, tolerance, `${what} row ${i}`));
}
