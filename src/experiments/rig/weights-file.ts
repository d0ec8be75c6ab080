/**
 * What a job keeps of a tuned model: of LoRA the factors, of anything else the tuned matrices, and the head. ΔW of factors is
 * computed in float64, so that its rank is not buried in rounding.
 */
import { join } from "node:path";
import { openSafetensors, writeSafetensors } from "../../formats/safetensors/index.ts";
import type { Matrix } from "../../linear-algebra/svd.ts";
import { readModel } from "../../lm/read-model.ts";
import type { LinearLayer } from "../../nn/module.ts";
import { bodyLayers } from "./backbone.ts";
import { MODEL } from "./bundled.ts";

/** s · B A */
export interface Factors {
  /** [r, in] */
  readonly A: Matrix;
  /** [out, r] */
  readonly B: Matrix;
  /** alpha / r */
  readonly scaling: number;
}

export interface TunedMatrix {
  /** Of the weight. */
  readonly name: string;
  readonly layer: LinearLayer;
  /** W₀ [out, in] */
  readonly base: Matrix;
  /** W − W₀ */
  readonly delta: Matrix;
  /** W */
  readonly tuned: Matrix;
  /** Of LoRA. */
  readonly factors?: Factors;
}

/** A matrix as it is to be kept: tuned, or as factors. */
export type KeptMatrix = { readonly tuned: Float32Array } | { readonly A: Float32Array; readonly B: Float32Array };

const [A_OF, B_OF] = [".lora_A", ".lora_B"];

/**
 * @param matrices by the names of layers
 * @param scaling of factors
 */
export async function writeTuned(
  path: string,
  layers: readonly LinearLayer[],
  matrices: ReadonlyMap<string, KeptMatrix>,
  head: { readonly name: string; readonly shape: readonly number[]; readonly data: Float32Array },
  scaling: number,
): Promise<void> {
  const tensors = layers.flatMap((layer) => {
    const kept = matrices.get(layer.name);
    const { inFeatures, outFeatures, name, weight } = layer;
    if (kept === undefined) return [];
    if ("tuned" in kept) return [{ name: weight, shape: [outFeatures, inFeatures], data: kept.tuned }];
    const r = kept.A.length / inFeatures;
    return [
      { name: `${name}${A_OF}`, shape: [r, inFeatures], data: kept.A },
      { name: `${name}${B_OF}`, shape: [outFeatures, r], data: kept.B },
    ];
  });
  await writeSafetensors(
    path,
    [...tensors, head].map((tensor) => ({ ...tensor, dtype: "F32" as const })),
    { metadata: { scaling: String(scaling) } },
  );
}

export interface Tuned {
  /** Those that were tuned, in the order of the model. */
  readonly matrices: readonly TunedMatrix[];
  readonly head: Float32Array;
}

/** @param folder of a job; @param file default: that of the end of training */
export async function readTuned(folder: string, file = FINAL): Promise<Tuned> {
  const [base, kept] = [await baseMatrices(), await openSafetensors(join(folder, file))];
  try {
    const scaling = Number(kept.metadata["scaling"]);
    const matrices: TunedMatrix[] = [];
    for (const { layer, matrix } of base.values()) {
      const { weight: name, outFeatures: rows, inFeatures: columns } = layer;
      if (kept.tensors.has(name)) {
        const tuned: Matrix = { rows, columns, data: await kept.readFloat32(name) };
        const delta = { rows, columns, data: Float64Array.from(tuned.data, (value, i) => value - matrix.data[i]!) };
        matrices.push({ name, layer, base: matrix, delta, tuned });
      } else if (kept.tensors.has(`${layer.name}${A_OF}`)) {
        const [a, b] = [await kept.readFloat32(`${layer.name}${A_OF}`), await kept.readFloat32(`${layer.name}${B_OF}`)];
        const r = a.length / columns;
        const factors: Factors = { A: { rows: r, columns, data: a }, B: { rows, columns: r, data: b }, scaling };
        const delta = productOf(factors);
        const tuned = { rows, columns, data: delta.data.map((value, i) => value + matrix.data[i]!) };
        matrices.push({ name, layer, base: matrix, delta, tuned, factors });
      }
    }
    return { matrices, head: await kept.readFloat32(HEAD) };
  } finally {
    await kept.close();
  }
}

/** Weights at the end of training. */
export const FINAL = "tuned.safetensors";

/** Weights after a step. */
export function checkpointFile(step: number): string {
  return `step-${step}.safetensors`;
}

export const HEAD = "score.weight";

interface BaseMatrix {
  readonly layer: LinearLayer;
  readonly matrix: Matrix;
}

let loaded: Promise<ReadonlyMap<string, BaseMatrix>> | undefined;

/** The matrices of the bundled model that are tuned, by the names of their weights. Read once. */
export function baseMatrices(): Promise<ReadonlyMap<string, BaseMatrix>> {
  loaded ??= readBase();
  return loaded;
}

async function readBase(): Promise<ReadonlyMap<string, BaseMatrix>> {
  const file = await openSafetensors(join(MODEL, "model.safetensors"));
  try {
    const found = new Map<string, BaseMatrix>();
    for (const layer of bodyLayers((await readModel(MODEL)).model)) {
      const data = await file.readFloat32(layer.weight);
      found.set(layer.weight, { layer, matrix: { rows: layer.outFeatures, columns: layer.inFeatures, data } });
    }
    return found;
  } finally {
    await file.close();
  }
}

/** s · B A in float64. */
export function productOf({ A, B, scaling }: Factors): Matrix & { readonly data: Float64Array } {
  const [rows, columns, r] = [B.rows, A.columns, A.rows];
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < r; k++) {
      const weight = scaling * B.data[i * r + k]!;
      if (weight === 0) continue;
      for (let j = 0; j < columns; j++) data[i * columns + j]! += weight * A.data[k * columns + j]!;
    }
  }
  return { rows, columns, data };
}
