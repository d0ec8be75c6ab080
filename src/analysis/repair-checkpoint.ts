/** A whole checkpoint with its intruders scaled down: every other tensor is written as it is, byte for byte. */
import { copyFile, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { encodeFloat32, isFloatDtype } from "../formats/safetensors/dtype.ts";
import { type TensorToWrite, writeSharded } from "../formats/safetensors/index.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import type { CheckpointWeights } from "./checkpoint-weights.ts";
import { among, findIn, type RepairCall, type Repaired } from "./repair-call.ts";
import type { RepairedMatrix } from "./repair-report.ts";
import { addProduct } from "./weight-pairs.ts";

/** What belongs to a model beside its weights. */
const COMPANION = /\.(json|txt|model|jinja)$/;
const WEIGHTS = /\.safetensors(\.index\.json)?$/;

/** (λ − 1) Σ uᵢ σᵢ vᵢᵀ, by the tensor's name in the tuned checkpoint. */
interface Change {
  readonly B: Columns;
  readonly A: Columns;
  readonly isTransposed: boolean;
}

/** Searches all matrices that changed. @throws ConfigError if a rank is asked for, which a model has not */
export async function repairedCheckpoint(call: RepairCall): Promise<Repaired> {
  const { pairs, decomposer, lambda, options, settings } = call;
  const tuned = pairs.tunedWeights!;
  if (options.rank !== undefined) {
    throw new ConfigError({ where: "rank", what: "a whole model has no rank to keep", hint: "leave --rank out" });
  }
  const matrices: RepairedMatrix[] = [];
  const changes = new Map<string, Change>();
  for (const [i, pair] of pairs.pairs.entries()) {
    options.signal?.throwIfAborted();
    const loaded = await pair.load();
    if (loaded.unchanged === undefined) {
      const { intruders, tuned: svd, places, known } = await findIn(pair, loaded, call);
      const isScaled = places.length > 0 && lambda !== 1;
      let after = intruders.count;
      if (isScaled) {
        const B = places.map((place) => svd.left[place]!.map((value) => value * (lambda - 1) * svd.values[place]!));
        const A = places.map((place) => svd.right[place]!);
        const { stored } = pair;
        changes.set(stored!.name, { B, A, isTransposed: stored!.isTransposed });
        const W = Float64Array.from(loaded.tuned!.data);
        addProduct(W, { B, A });
        const again = await decomposer.svd({ ...loaded.tuned!, data: W }, settings.k + 1, { keep: false });
        after = among(again, known, pair, settings).count;
      }
      const least = Math.min(...pair.shape);
      matrices.push({
        name: pair.name,
        shape: pair.shape,
        intruders_before: intruders.count,
        scaled_ranks: isScaled ? places.map((place) => place + 1) : [],
        intruders_after: after,
        rank_before: null,
        rank: least,
        truncation_error: 0,
      });
    }
    options.onProgress?.({ done: i + 1, total: pairs.pairs.length });
  }
  return { matrices, warnings: [], write: (dir) => writeModel(dir, tuned, changes) };
}

async function writeModel(dir: string, tuned: CheckpointWeights, changes: ReadonlyMap<string, Change>): Promise<void> {
  await mkdir(dir, { recursive: true });
  const from = tuned.dir;
  if (from !== undefined) {
    for (const name of await readdir(from)) {
      if (COMPANION.test(name) && !WEIGHTS.test(name)) await copyFile(join(from, name), join(dir, name));
    }
  }
  const tensors = [...tuned.tensors.values()].map((entry): TensorToWrite => {
    const { name, shape, dtype } = entry;
    const change = changes.get(name);
    const stored = dtype as TensorToWrite["dtype"];
    if (change === undefined || !isFloatDtype(stored)) {
      return { name, shape, dtype: stored, data: () => tuned.bytes(name) };
    }
    const data = async () => {
      const values = Float64Array.from(await tuned.read(name));
      addProduct(values, change.isTransposed ? { B: change.A, A: change.B } : change);
      return encodeFloat32(stored, Float32Array.from(values));
    };
    return { name, shape, dtype: stored, data };
  });
  await writeSharded(dir, tensors, { metadata: { format: "pt" } });
}
