/** An adapter with its intruders scaled down, written as a LoRA adapter whose factors share the singular values equally. */
import { dirname } from "node:path";
import { type Adapter, adapterOn } from "../adapters/adapter.ts";
import { lora, type LoraConfig, scaling } from "../adapters/lora.ts";
import { configure } from "../adapters/settings.ts";
import { ConfigError } from "../errors.ts";
import { readJsonObject } from "../formats/peft/json-object.ts";
import { type Provenance, saveAdapter } from "../formats/peft/index.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import type { Svd } from "../linear-algebra/svd.ts";
import { interpDevice } from "../runtime/interp.ts";
import type { Device } from "../runtime/runtime.ts";
import type { AdapterUpdates, Update } from "./adapter-updates.ts";
import type { Decomposer } from "./decomposer.ts";
import { factoredSvd } from "./factored-svd.ts";
import { scaled } from "./measures/intervention.ts";
import {
  changeOf,
  findIn,
  type FoundIntruders,
  intrudersLeft,
  type RepairCall,
  type Repaired,
  repairedMatrix,
  type RepairOptions,
} from "./repair-call.ts";
import { replaceCompanions } from "./repair-folder.ts";
import type { RepairedMatrix } from "./repair-report.ts";
import { addProduct, type LoadedPair } from "./weight-pairs.ts";

/** Of the largest σ: directions of a dense ΔW below are rounding. */
const ROUNDING = 1e-6;

/** A matrix of the new adapter: ΔW = s · Σ bᵢ aᵢᵀ. */
interface NewFactors {
  readonly module: string;
  /** Columns of B and rows of A, in float64; undefined: the adapter's own, bit for bit. */
  readonly factors: { readonly B: Columns; readonly A: Columns } | undefined;
  readonly r: number;
  readonly alpha: number;
}

/** Searches all matrices that the adapter changes. */
export async function repairedAdapter(call: RepairCall, opened: AdapterUpdates): Promise<Repaired> {
  const { pairs, options, lambda, decomposer } = call;
  const { adapter } = opened;
  const { useRslora, alphaOf, scaleOf } = scalesOf(adapter);
  const byModule = new Map(pairs.pairs.map((pair) => [pair.module!, pair]));
  const matrices: RepairedMatrix[] = [];
  const made: NewFactors[] = [];
  const targets = opened.weights.filter(({ layer }) => layer !== undefined);
  let done = 0;
  for (const weight of targets) {
    options.signal?.throwIfAborted();
    const pair = byModule.get(weight.module);
    const scale = scaleOf(weight.module);
    const own = await ownFactors(opened, weight.module);
    const kept = (r: number): NewFactors => ({
      module: weight.module,
      factors: undefined,
      r,
      alpha: alphaOf(scale, r),
    });
    const refactored = ({ values, left, right }: Svd, r: number): NewFactors => ({
      module: weight.module,
      factors: split({ values, left, right }, r, scale),
      r,
      alpha: alphaOf(scale, r),
    });
    if (pair === undefined) {
      // Embeddings, and what was not asked for.
      made.push(own === undefined ? refactored(...(await asItIs(opened, weight, options, decomposer))) : kept(own.r));
      continue;
    }
    const loaded = await pair.load();
    const found = await findIn(pair, loaded, call);
    const isScaled = found.places.length > 0;
    const rankBefore = rankOf(loaded.delta, own?.r);
    let after = found.intruders.count;
    let [error, rank] = [0, rankBefore ?? 0];
    if (!isScaled && own !== undefined) made.push(kept(own.r));
    else {
      const changed = isScaled
        ? await updated(loaded, found, lambda, decomposer)
        : await svdOf(loaded.delta, decomposer);
      rank = chosenRank(opened.method, options.rank, rankBefore, changed);
      error = truncationError(changed, rank);
      made.push(refactored(changed, rank));
      if (isScaled) {
        const W = Float64Array.from(loaded.base!.data);
        const cut = {
          values: changed.values.subarray(0, rank),
          left: changed.left.slice(0, rank),
          right: changed.right.slice(0, rank),
        };
        addProduct(W, { B: cut.left.map((u, i) => u.map((value) => value * cut.values[i]!)), A: cut.right });
        after = await intrudersLeft({ ...loaded.base!, data: W }, found, pair, call);
      }
    }
    const written = { intruders_after: after, rank_before: rankBefore ?? null, rank, truncation_error: error };
    matrices.push(repairedMatrix(pair, found, written));
    options.onProgress?.({ done: ++done, total: byModule.size });
  }
  const warnings =
    opened.method === "lora" ? [] : [`the result is a plain LoRA: ${opened.method} is what it was made of`];
  return { matrices, warnings, write: (dir) => writeAdapter(dir, call, opened, made, useRslora) };
}

/** σ, u, v of ΔW + (λ − 1) Σ uᵢ σᵢ vᵢᵀ. */
async function updated(
  { delta }: LoadedPair,
  found: FoundIntruders,
  lambda: number,
  decomposer: Decomposer,
): Promise<Svd> {
  if ("kind" in delta) {
    const { B, A } = changeOf(found, lambda);
    return factoredSvd({ B: [...delta.B, ...B], A: [...delta.A, ...A] });
  }
  return decomposer.svd(scaled(delta, found.tuned, found.places, lambda), Infinity, { keep: false });
}

async function svdOf(delta: LoadedPair["delta"], decomposer: Decomposer): Promise<Svd> {
  return "kind" in delta ? factoredSvd(delta) : decomposer.svd(delta, Infinity, { keep: false });
}

/** The update of a weight that is not looked at, and its rank. */
async function asItIs(
  opened: AdapterUpdates,
  weight: AdapterUpdates["weights"][number],
  { rank }: RepairOptions,
  decomposer: Decomposer,
): Promise<[Svd, number]> {
  const update: Update = await weight.update(new Float32Array(weight.storedShape.reduce((a, b) => a * b, 1)));
  const [rows, columns] = [weight.layer!.outFeatures, weight.layer!.inFeatures];
  const svd = await svdOf(update.kind === "factors" ? update : { rows, columns, data: update.data }, decomposer);
  return [svd, chosenRank(opened.method, rank, update.kind === "factors" ? update.B.length : undefined, svd)];
}

function rankOf(delta: LoadedPair["delta"], own: number | undefined): number | undefined {
  return own ?? ("kind" in delta ? delta.B.length : undefined);
}

/** @throws ConfigError if nothing says which rank */
function chosenRank(method: string, asked: RepairOptions["rank"], before: number | undefined, changed: Svd): number {
  const floor = ROUNDING * (changed.values[0] ?? 0);
  const exact = Math.max(1, changed.values.filter((value) => value > floor).length);
  if (asked === "exact") return exact;
  const rank = asked ?? before;
  if (rank !== undefined) return rank;
  throw new ConfigError({
    where: "rank",
    what: `the update of ${method} is no product of thin factors, whose rank could be kept`,
    hint: "choose one: --rank 16, or --rank exact for all directions that it has",
  });
}

/** ‖what is cut off‖ / ‖all‖, Frobenius. */
function truncationError({ values }: Svd, rank: number): number {
  const norm = (list: Float64Array) => Math.sqrt(list.reduce((sum, value) => sum + value * value, 0));
  const all = norm(values);
  return all === 0 ? 0 : norm(values.subarray(rank)) / all;
}

/** B = U √(σ / s), A = √(σ / s) Vᵀ of the first r; zeros where there are fewer. */
function split({ values, left, right }: Svd, r: number, scale: number): { B: Columns; A: Columns } {
  const root = (i: number) => Math.sqrt((values[i] ?? 0) / Math.abs(scale));
  const of = (columns: Columns, factor: number) =>
    Array.from({ length: r }, (_, i) =>
      columns[i] === undefined || i >= values.length
        ? new Float64Array(columns[0]?.length ?? 0)
        : columns[i].map((value) => value * factor * root(i)),
    );
  return { B: of(left, Math.sign(scale)), A: of(right, 1) };
}

interface Scales {
  readonly useRslora: boolean;
  /** What ΔW is of B A on a module. */
  readonly scaleOf: (module: string) => number;
  /** The alpha that gives a scale at a rank. */
  readonly alphaOf: (scale: number, r: number) => number;
}

/** Those of the adapter; 1 where its method has none. */
function scalesOf({ config, targets }: Adapter): Scales {
  const useRslora = (config as Partial<LoraConfig>).useRslora ?? false;
  const scales = new Map(
    targets.map(({ layer, config: own }) => {
      const { r, alpha } = own as Partial<LoraConfig>;
      const isScaled = typeof r === "number" && typeof alpha === "number" && r > 0 && alpha !== 0;
      return [layer.name, isScaled ? scaling({ r, alpha, useRslora }) : 1] as const;
    }),
  );
  return {
    useRslora,
    scaleOf: (module) => scales.get(module) ?? 1,
    alphaOf: (scale, r) => scale * (useRslora ? Math.sqrt(r) : r),
  };
}

const NAMES = [
  ["lora_A.weight", "lora_B.weight"],
  ["lora_embedding_A", "lora_embedding_B"],
] as const;

/** A and B of a module that has them and nothing else that counts, so that they can stay as they are. */
async function ownFactors(opened: AdapterUpdates, module: string): Promise<{ readonly r: number } | undefined> {
  const { adapter } = opened;
  if (adapter.method.file?.type !== "LORA") return undefined;
  const states = adapter.targets.find(({ layer }) => layer.name === module)?.states;
  const names = [...(states?.keys() ?? [])].filter((name) => name !== "lora_B.bias");
  const pair = NAMES.find((each) => each.every((name) => names.includes(name)));
  if (states === undefined || pair === undefined || names.length > 2) return undefined;
  return { r: states.get(pair[0])!.shape[0]! };
}

async function writeAdapter(
  dir: string,
  { options }: RepairCall,
  opened: AdapterUpdates,
  made: readonly NewFactors[],
  useRslora: boolean,
): Promise<void> {
  const { adapter, device } = opened;
  const { r, alpha } = mostCommon(made);
  const others = made.filter((each) => each.r !== r || each.alpha !== alpha);
  const loraBias = (adapter.config as Partial<LoraConfig>).loraBias ?? false;
  const config = configure(lora, {
    r,
    alpha,
    useRslora,
    loraBias,
    dropout: (adapter.config as Partial<LoraConfig>).dropout ?? 0,
    // Full names, as patterns.
    rankPattern: Object.fromEntries(others.map(({ module, r: own }) => [escaped(module), own])),
    alphaPattern: Object.fromEntries(others.map(({ module, alpha: own }) => [escaped(module), own])),
  });
  const byModule = new Map(made.map((each) => [each.module, each]));
  const layers = adapter.targets.flatMap(({ layer }) => (byModule.has(layer.name) ? [layer] : []));
  const copies = new Map([...adapter.copies].filter(([, copy]) => copy.derived !== true));
  const { targetModules, excludeModules, layersToTransform, layersPattern, modulesToSave, bias, ensureWeightTying } =
    adapter;
  const repaired = adapterOn(adapter.model, layers, lora, {
    name: adapter.name,
    config,
    copies,
    targetModules,
    ...(excludeModules === undefined ? {} : { excludeModules }),
    ...(layersToTransform === undefined ? {} : { layersToTransform }),
    ...(layersPattern === undefined ? {} : { layersPattern }),
    modulesToSave,
    bias,
    ensureWeightTying,
  });
  const own = interpDevice();
  try {
    for (const { layer, states } of repaired.targets) {
      const { factors } = byModule.get(layer.name)!;
      if (factors === undefined) continue;
      for (const [name, spec] of states) {
        const which = name.includes("_A") ? "A" : name.endsWith("bias") ? undefined : "B";
        if (which === undefined) continue;
        const data = which === "A" ? concatenated(factors.A) : interleaved(factors.B);
        await own.write(spec.name, { dtype: "float32", shape: spec.shape, data });
      }
    }
    await saveAdapter(over(own, device), repaired, dir, await provenanceOf(opened.files[0]!));
    await replaceCompanions(dir, dirname(opened.files[0]!));
  } finally {
    await own.dispose();
  }
  options.signal?.throwIfAborted();
}

/** Reads from the first device, and what that has not from the second. */
function over(first: Device, second: Device): Device {
  const read: Device["read"] = (name) => first.read(name).catch(() => second.read(name));
  return {
    kind: first.kind,
    compile: (graph, options) => second.compile(graph, options),
    write: (name, tensor) => first.write(name, tensor),
    map: (name, tensor) => first.map(name, tensor),
    read,
    free: (name) => first.free(name),
    dispose: () => first.dispose(),
  };
}

async function provenanceOf(configPath: string): Promise<Provenance> {
  const file = await readJsonObject(configPath);
  const [base, revision, task] = ["base_model_name_or_path", "revision", "task_type"].map((key) => file.string(key));
  return {
    ...(base === undefined ? {} : { baseModelNameOrPath: base }),
    ...(revision === undefined ? {} : { revision }),
    ...(task === undefined ? {} : { taskType: task }),
  };
}

/** Rank and alpha that most modules have: the configuration's own. */
function mostCommon(made: readonly NewFactors[]): { readonly r: number; readonly alpha: number } {
  const counts = new Map<string, { readonly r: number; readonly alpha: number; count: number }>();
  for (const { r, alpha } of made) {
    const key = `${r} ${alpha}`;
    const known = counts.get(key) ?? { r, alpha, count: 0 };
    counts.set(key, { ...known, count: known.count + 1 });
  }
  return [...counts.values()].reduce((best, each) => (each.count > best.count ? each : best));
}

function escaped(name: string): string {
  return name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function concatenated(rows: Columns): Float32Array {
  return Float32Array.from(rows.flatMap((row) => Array.from(row)));
}

/** [length, count] row-major of columns. */
function interleaved(columns: Columns): Float32Array {
  const [count, length] = [columns.length, columns[0]?.length ?? 0];
  const data = new Float32Array(length * count);
  for (const [j, column] of columns.entries()) for (let i = 0; i < length; i++) data[i * count + j] = column[i]!;
  return data;
}
