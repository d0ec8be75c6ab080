/** How large the update of a matrix is, in itself and beside the base. */
import type { Matrix } from "../../linear-algebra/svd.ts";
import { frobenius } from "./amplification.ts";

export interface UpdateNorms {
  /** ‖ΔW‖_F */
  readonly frobenius: number;
  /** ‖W₀‖_F */
  readonly base: number;
  /** ‖ΔW‖_F / ‖W₀‖_F; null where the base is zero. */
  readonly relative: number | null;
  /** Root mean square of the elements of ΔW: comparable between shapes. */
  readonly rms: number;
  readonly maxAbs: number;
  readonly meanAbs: number;
  /** Elements that differ at all, as a share. */
  readonly changed: number;
}

/** @param delta ΔW, or W of the tuned model if `kind` says so */
export function updateNorms(base: Matrix, delta: Matrix, kind: "delta" | "tuned" = "delta"): UpdateNorms {
  const count = delta.data.length;
  let [squares, sum, maxAbs, changed] = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const value = Math.abs(kind === "delta" ? delta.data[i]! : delta.data[i]! - base.data[i]!);
    squares += value * value;
    sum += value;
    if (value > maxAbs) maxAbs = value;
    if (value !== 0) changed++;
  }
  const [size, baseSize] = [Math.sqrt(squares), frobenius(base)];
  return {
    frobenius: size,
    base: baseSize,
    relative: baseSize === 0 ? null : size / baseSize,
    rms: Math.sqrt(squares / count),
    maxAbs,
    meanAbs: sum / count,
    changed: changed / count,
  };
}

/** tuned − base, in float64. */
export function difference(tuned: Matrix, base: Matrix): Matrix & { readonly data: Float64Array } {
  const data = Float64Array.from(tuned.data, (value, i) => value - base.data[i]!);
  return { rows: tuned.rows, columns: tuned.columns, data };
}
