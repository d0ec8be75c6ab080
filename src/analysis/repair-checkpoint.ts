/** A whole checkpoint with its intruders scaled down: every other tensor is written as it is, byte for byte. */
import { mkdir } from "node:fs/promises";
import { ConfigError } from "../errors.ts";
import { MODEL_CONFIG_FILE } from "../formats/model/config.ts";
import { encodeFloat32, isFloatDtype } from "../formats/safetensors/dtype.ts";
import { type TensorToWrite, writeSharded } from "../formats/safetensors/index.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import type { CheckpointWeights } from "./checkpoint-weights.ts";
import { changeOf, findIn, intrudersLeft, type RepairCall, type Repaired, repairedMatrix } from "./repair-call.ts";
import { replaceCompanions } from "./repair-folder.ts";
import type { RepairedMatrix } from "./repair-report.ts";
import { addProduct } from "./weight-pairs.ts";

/** (λ − 1) Σ uᵢ σᵢ vᵢᵀ, by the tensor's name in the tuned checkpoint. */
interface Change {
  readonly B: Columns;
  readonly A: Columns;
  readonly isTransposed: boolean;
}

/** Searches all matrices that changed. @throws ConfigError if a rank is asked for, which a model has not */
export async function repairedCheckpoint(call: RepairCall): Promise<Repaired> {
  const { pairs, lambda, options } = call;
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
      const found = await findIn(pair, loaded, call);
      let after = found.intruders.count;
      if (found.places.length > 0) {
        const change = changeOf(found, lambda);
        const { stored } = pair;
        changes.set(stored!.name, { ...change, isTransposed: stored!.isTransposed });
        const W = Float64Array.from(loaded.tuned!.data);
        addProduct(W, change);
        after = await intrudersLeft({ ...loaded.tuned!, data: W }, found, pair, call);
      }
      const rank = Math.min(...pair.shape);
      const written = { intruders_after: after, rank_before: null, rank, truncation_error: 0 };
      matrices.push(repairedMatrix(pair, found, written));
    }
    options.onProgress?.({ done: i + 1, total: pairs.pairs.length });
  }
  return { matrices, warnings: [], write: (dir) => writeModel(dir, tuned, changes) };
}

async function writeModel(dir: string, tuned: CheckpointWeights, changes: ReadonlyMap<string, Change>): Promise<void> {
  await mkdir(dir, { recursive: true });
  if (tuned.dir !== undefined) await replaceCompanions(dir, tuned.dir, [MODEL_CONFIG_FILE]);
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
