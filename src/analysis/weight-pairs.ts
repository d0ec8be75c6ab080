/**
 * The weights of a base and of what it was tuned to, in pairs, read when they are asked for: a pair of checkpoints of any size
 * takes the memory of a few matrices.
 *
 * Every weight is [out, in]: kernels of convolutions are flattened to [out, in · kh · kw], and GPT-2's, which are stored as
 * [in, out], are turned.
 */
import { basename, resolve } from "node:path";
import { ConfigError, DataError, FormatError, listed, NumericError } from "../errors.ts";
import { openLoralib } from "../formats/torch-pickle/index.ts";
import { float32ToBfloat16, float32ToFloat16 } from "../half.ts";
import { matchesGlob } from "../hub/glob.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import { type Matrix, transposed } from "../linear-algebra/svd.ts";
import { type AdapterUpdates, type FactoredUpdate, openAdapter } from "./adapter-updates.ts";
import { alignNames } from "./align-names.ts";
import { type CheckpointWeights, hashOf, openWeights, type WeightEntry } from "./checkpoint-weights.ts";
import { locate, type Located, type LocateOptions } from "./locate.ts";
import { flattened, kindOf, transposedWeights } from "./matrix-kind.ts";
import type { Origin } from "./report.ts";

/** What a matrix that did not change is listed with. */
export const UNCHANGED = "did not change";

/** And one that an adapter is on, whose update is zero. */
export const ZERO_UPDATE = "the update is zero";

export interface PairOptions extends LocateOptions {
  /** Names of weights to take, `*` for any part: `*q_proj*`. Default: all. */
  readonly filter?: string;
  /** Embedding tables and the output layer too. Default: false. */
  readonly embeddings?: boolean;
  /** alpha of a loralib file, which does not say it. Default: r, a scale of 1. */
  readonly alpha?: number;
}

export interface WeightPair {
  /** Of the tensor in the base; without one, of the weight of the adapter's module. */
  readonly name: string;
  /** The adapter's module; undefined where there is none. */
  readonly module?: string;
  readonly shape: readonly [outputs: number, inputs: number];
  /** In the tuned checkpoint, if it is one. */
  readonly stored?: { readonly name: string; readonly isTransposed: boolean };
  /** Distance from 1 to the next number of the type that the tuned weights are stored in; 0: ΔW is no difference of such. */
  readonly rounding: number;
  /**
   * Reads both.
   * @throws NumericError naming the tensor, if a number is not finite
   */
  load(): Promise<LoadedPair>;
}

export interface LoadedPair {
  /** W₀; undefined without a base. */
  readonly base?: Matrix;
  /** W₀ + ΔW; undefined without a base. */
  readonly tuned?: Matrix;
  readonly delta: Matrix | FactoredUpdate;
  /** Why it is not worth comparing, if it is not. */
  readonly unchanged?: string;
}

export interface WeightPairs {
  /** Null: an adapter alone. */
  readonly base: Origin | null;
  readonly tuned: Origin;
  readonly pairs: readonly WeightPair[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  readonly warnings: readonly string[];
  /** The adapter, if that is what was tuned. */
  readonly adapter?: AdapterUpdates;
  /** The tuned checkpoint, if it is one. */
  readonly tunedWeights?: CheckpointWeights;
  close(): Promise<void>;
}

const EPSILONS: Readonly<Record<string, number>> = { BF16: 2 ** -7, F16: 2 ** -10, F32: 2 ** -23, F64: 2 ** -23 };

/**
 * @param base undefined: an adapter alone
 * @param tuned an adapter of the base, or a checkpoint
 * @throws ConfigError if nothing of the two fits together; DataError, FormatError if something is not what it should be
 */
export async function openPairs(
  base: string | undefined,
  tuned: string,
  options: PairOptions = {},
): Promise<WeightPairs> {
  const located = base === undefined ? undefined : await locateBase(base, options);
  const other = await locate(tuned, options);
  const opened = located === undefined ? undefined : await openWeights(located);
  try {
    const found = await pairsOf(opened, other, options);
    return { ...found, pairs: found.pairs.toSorted((a, b) => ORDER.compare(a.name, b.name)) };
  } catch (error) {
    await opened?.close();
    throw error;
  }
}

/** Layer 2 comes before layer 10. */
const ORDER = new Intl.Collator("en", { numeric: true });

async function pairsOf(
  base: CheckpointWeights | undefined,
  tuned: Located,
  options: PairOptions,
): Promise<WeightPairs> {
  switch (tuned.kind) {
    case "adapter":
      return adapterPairs(base, tuned, options);
    case "pickle":
      return loralibPairs(base, tuned, options);
    default:
      if (base !== undefined) return checkpointPairs(base, tuned, options);
      throw new ConfigError({
        where: tuned.name,
        what: "a whole checkpoint is compared with its base, and there is none",
        hint: "lowrank analyze BASE TUNED",
      });
  }
}

async function locateBase(
  base: string,
  options: LocateOptions,
): Promise<Located & { readonly kind: "model" | "file" }> {
  const located = await locate(base, options);
  if (located.kind === "model" || located.kind === "file") return located;
  throw new ConfigError({
    where: base,
    what:
      located.kind === "adapter"
        ? "this is an adapter, and cannot be the base"
        : "this is a pickle, and cannot be the base",
    hint: "the order is: lowrank analyze BASE ADAPTER",
  });
}

/** Two checkpoints. */
async function checkpointPairs(
  base: CheckpointWeights,
  located: Located & { readonly kind: "model" | "file" },
  options: PairOptions,
): Promise<WeightPairs> {
  const tuned = await openWeights(located);
  try {
    const names = alignNames(base.tensors.keys(), tuned.tensors.keys());
    if (names.size === 0) throw nothingInCommon(base, tuned);
    const turned = transposedWeights([...base.tensors].map(([name, { shape }]) => [name, shape]));
    const pairs: WeightPair[] = [];
    const skipped: { name: string; reason: string }[] = [];
    const misshapen: string[] = [];
    let matrices = 0;
    for (const [name, entry] of base.tensors) {
      const own = names.get(name);
      if (own === undefined) {
        skipped.push({ name, reason: "only the base has it" });
        continue;
      }
      const other = tuned.tensors.get(own)!;
      if (entry.shape.join() !== other.shape.join()) {
        const reason = `[${entry.shape.join(", ")}] in the base and [${other.shape.join(", ")}] in the tuned one`;
        misshapen.push(`${name} is ${reason}`);
        skipped.push({ name, reason });
        continue;
      }
      const kind = kindOf(name, entry.shape);
      if (kind.kind === "matrix") matrices++;
      const isWanted = options.filter === undefined || isNamed(name, options.filter);
      const reason = !isWanted
        ? "not asked for"
        : (refusal(kind.kind, kind.reason, options) ?? unreadable(entry) ?? unreadable(other));
      if (reason !== undefined) {
        if (isWanted) skipped.push({ name, reason });
        continue;
      }
      pairs.push(checkpointPair(base, tuned, entry, other, turned.has(name)));
    }
    const given = new Set(names.values());
    for (const name of tuned.tensors.keys())
      if (!given.has(name)) skipped.push({ name, reason: "only the tuned one has it" });
    if (misshapen.length > 0 && pairs.length === 0) {
      throw new ConfigError({
        where: tuned.name,
        what: `is of another architecture than ${base.name}: ${listed(misshapen)}`,
        hint: "give the model that it was tuned from as the base",
      });
    }
    if (pairs.length === 0) throw nothingToCompare(base, matrices, skipped, options);
    return {
      base: await originOf(base, options.signal),
      tuned: await originOf(tuned, options.signal),
      pairs,
      skipped,
      warnings: [
        ...(misshapen.length > 0
          ? [
              `${misshapen.length === 1 ? "1 weight has another shape, and is" : `${misshapen.length} weights have another shape, and are`} left out: ${listed(misshapen)}`,
            ]
          : []),
        ...precisionWarnings(base, tuned, names),
      ],
      tunedWeights: tuned,
      async close() {
        await tuned.close();
        await base.close();
      },
    };
  } catch (error) {
    await tuned.close();
    throw error;
  }
}

function checkpointPair(
  base: CheckpointWeights,
  tuned: CheckpointWeights,
  entry: WeightEntry,
  other: WeightEntry,
  isTransposed: boolean,
): WeightPair {
  return {
    name: entry.name,
    shape: orientedShape(entry.shape, isTransposed),
    stored: { name: other.name, isTransposed },
    rounding: EPSILONS[other.dtype] ?? EPSILONS["F32"]!,
    async load() {
      const [before, after] = [await base.read(entry.name), await tuned.read(other.name)];
      requireFinite(before, base.name, entry.name);
      requireFinite(after, tuned.name, other.name);
      const difference = Float64Array.from(after, (value, i) => value - before[i]!);
      const unchanged = difference.every((value) => value === 0)
        ? UNCHANGED
        : isSameAtCoarser(before, after, entry.dtype, other.dtype);
      return {
        base: oriented(before, entry.shape, isTransposed),
        tuned: oriented(after, entry.shape, isTransposed),
        delta: oriented(difference, entry.shape, isTransposed),
        ...(unchanged === undefined ? {} : { unchanged }),
      };
    },
  };
}

/** Two types: the same weights rounded once are the same weights. Says so, if all of them are. */
function isSameAtCoarser(a: Float32Array, b: Float32Array, dtypeA: string, dtypeB: string): string | undefined {
  if (dtypeA === dtypeB) return undefined;
  const coarser = [dtypeA, dtypeB].toSorted((x, y) => (EPSILONS[y] ?? 0) - (EPSILONS[x] ?? 0))[0]!;
  const round = coarser === "BF16" ? float32ToBfloat16 : coarser === "F16" ? float32ToFloat16 : undefined;
  if (round === undefined) return undefined;
  const [one, other] = [round(a), round(b)];
  return one.every((bits, i) => bits === other[i])
    ? `${UNCHANGED}: equal in ${coarser}, the coarser of the two types`
    : undefined;
}

function precisionWarnings(
  base: CheckpointWeights,
  tuned: CheckpointWeights,
  names: ReadonlyMap<string, string>,
): string[] {
  const counts = new Map<string, number>();
  for (const [name, own] of names) {
    const [a, b] = [base.tensors.get(name)!.dtype, tuned.tensors.get(own)!.dtype];
    if (a !== b)
      counts.set(
        `${a} in the base and ${b} in the tuned one`,
        (counts.get(`${a} in the base and ${b} in the tuned one`) ?? 0) + 1,
      );
  }
  return [...counts].map(
    ([types, count]) =>
      `${count} tensors are stored as ${types}: they are compared in float32, and a part of the difference is rounding; ` +
      "weights that are equal in the coarser type count as unchanged",
  );
}

/** A base, or none, and an adapter. */
async function adapterPairs(
  base: CheckpointWeights | undefined,
  located: Located & { readonly kind: "adapter" },
  options: PairOptions,
): Promise<WeightPairs> {
  const adapter = await openAdapter(located.dir, base);
  try {
    const skipped = [...adapter.others];
    const pairs = adapter.weights.flatMap((weight): WeightPair[] => {
      const { name, source, storedShape, isTransposed, needsBase, module } = weight;
      if (options.filter !== undefined && !isNamed(name, options.filter)) return [];
      const kind = kindOf(name, storedShape);
      const reason = refusal(kind.kind, kind.reason, options) ?? (base && unreadable(base.tensors.get(source!)));
      if (reason !== undefined) {
        skipped.push({ name, reason });
        return [];
      }
      return [
        {
          name,
          module,
          shape: orientedShape(storedShape, isTransposed),
          rounding: needsBase ? EPSILONS["F32"]! : 0,
          async load() {
            const values = base === undefined ? undefined : await base.read(source!);
            if (values !== undefined) requireFinite(values, base!.name, name);
            const update = await weight.update(values);
            const shape = orientedShape(storedShape, isTransposed);
            const delta = update.kind === "factors" ? update : asMatrix(update.data, shape);
            requireFiniteUpdate(delta, located.name, module);
            const W = values === undefined ? undefined : oriented(values, storedShape, isTransposed);
            return loadedPair(W, delta);
          },
        },
      ];
    });
    if (pairs.length === 0) throw nothingAdapted(located.name, skipped, options);
    const { r, alpha, method } = adapter;
    return {
      base: base === undefined ? null : await originOf(base, options.signal),
      tuned: {
        name: located.name,
        kind: "adapter",
        method,
        ...(r === undefined ? {} : { r }),
        ...(alpha === undefined ? {} : { alpha }),
        content_hash: await hashOf(adapter.files, options.signal),
      },
      pairs,
      skipped,
      warnings: [...adapter.warnings, ...otherBase(base, adapter)],
      adapter,
      async close() {
        await adapter.close();
        await base?.close();
      },
    };
  } catch (error) {
    await adapter.close();
    throw error;
  }
}

/** A base, or none, and a file of loralib's. */
async function loralibPairs(
  base: CheckpointWeights | undefined,
  located: Located & { readonly kind: "pickle" },
  options: PairOptions,
): Promise<WeightPairs> {
  const { alpha, filter, signal } = options;
  const { layers, others } = await openLoralib(located.path, alpha === undefined ? {} : { alpha });
  const wanted = new Map(layers.map((layer) => [`${layer.name}.weight`, layer]));
  const names = base === undefined ? undefined : alignNames(wanted.keys(), base.tensors.keys());
  const skipped = others.map((name) => ({ name, reason: "no pair of lora_A and lora_B" }));
  const missing = [...wanted.keys()].filter((weight) => names?.has(weight) === false);
  if (base !== undefined && missing.length > 0) {
    throw new ConfigError({
      where: base.name,
      what: `has no such weights, which ${located.name} is on: ${listed(missing)}`,
      hint: "is this the model that the adapter was made for?",
    });
  }
  const pairs = [...wanted].flatMap(([weight, { name: module, shape, scaling, A, B }]): WeightPair[] => {
    const name = names?.get(weight) ?? weight;
    if (filter !== undefined && !isNamed(name, filter)) return [];
    const stored = base?.tensors.get(name)?.shape;
    if (stored !== undefined && stored.join() !== shape.join()) {
      throw new FormatError({
        where: located.path,
        what: `${module}: the update does not fit the weight of the base`,
        got: `[${shape.join(", ")}]`,
        expected: `[${stored.join(", ")}]`,
      });
    }
    return [
      {
        name,
        module,
        shape,
        rounding: 0,
        async load() {
          const delta: FactoredUpdate = { kind: "factors", B: columnsOf(B, scaling), A: rowsOf(A) };
          requireFiniteUpdate(delta, located.name, module);
          const values = base === undefined ? undefined : await base.read(name);
          if (values !== undefined) requireFinite(values, base!.name, name);
          return loadedPair(values === undefined ? undefined : asMatrix(values, shape), delta);
        },
      },
    ];
  });
  if (pairs.length === 0) throw nothingAdapted(located.name, skipped, options);
  return {
    base: base === undefined ? null : await originOf(base, signal),
    tuned: {
      name: located.name,
      kind: "adapter",
      method: "lora",
      r: layers[0]!.r,
      ...(alpha === undefined ? {} : { alpha }),
      content_hash: await hashOf([located.path], signal),
    },
    pairs,
    skipped,
    warnings:
      alpha === undefined
        ? ["a file of loralib does not say alpha: the update is taken as B A, with a scale of 1 (--alpha sets another)"]
        : [],
    close: async () => base?.close(),
  };
}

function rowsOf({ rows, columns, data }: Matrix): Float64Array[] {
  return Array.from({ length: rows }, (_, i) => Float64Array.from(data.subarray(i * columns, (i + 1) * columns)));
}

function columnsOf({ rows, columns, data }: Matrix, scale: number): Float64Array[] {
  return Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_row, i) => scale * data[i * columns + j]!),
  );
}

function loadedPair(base: Matrix | undefined, delta: Matrix | FactoredUpdate): LoadedPair {
  const isZero = "kind" in delta ? isZeroProduct(delta) : delta.data.every((value) => value === 0);
  return {
    ...(base === undefined ? {} : { base, tuned: sum(base, delta) }),
    delta,
    ...(isZero ? { unchanged: ZERO_UPDATE } : {}),
  };
}

function isZeroProduct({ B, A }: FactoredUpdate): boolean {
  const isZero = (columns: Columns) => columns.every((column) => column.every((value) => value === 0));
  return isZero(B) || isZero(A);
}

/** W + ΔW, in float64. */
function sum({ rows, columns, data }: Matrix, delta: Matrix | FactoredUpdate): Matrix {
  const total = Float64Array.from(data);
  if ("kind" in delta) addProduct(total, delta);
  else for (let i = 0; i < total.length; i++) total[i]! += delta.data[i]!;
  return { rows, columns, data: total };
}

/** Adds Σ bᵢ aᵢᵀ to a row-major matrix. */
export function addProduct(total: Float64Array, { B, A }: Pick<FactoredUpdate, "B" | "A">): void {
  const width = A[0]?.length ?? 0;
  for (const [k, b] of B.entries()) {
    const a = A[k]!;
    for (let i = 0; i < b.length; i++) {
      const factor = b[i]!;
      if (factor === 0) continue;
      for (let j = 0, at = i * width; j < width; j++, at++) total[at]! += factor * a[j]!;
    }
  }
}

function orientedShape(stored: readonly number[], isTransposed: boolean): readonly [number, number] {
  const [rows, columns] = flattened(stored);
  return isTransposed ? [columns, rows] : [rows, columns];
}

function oriented(data: Float32Array | Float64Array, stored: readonly number[], isTransposed: boolean): Matrix {
  const [rows, columns] = flattened(stored);
  if (!isTransposed) return { rows, columns, data };
  return { rows: columns, columns: rows, data: transposed({ rows, columns, data }) };
}

function asMatrix(data: Float32Array, [rows, columns]: readonly [number, number]): Matrix {
  return { rows, columns, data };
}

/** Why a tensor of this kind is not looked at; undefined if it is. */
function refusal(kind: string, reason: string | undefined, { embeddings = false }: PairOptions): string | undefined {
  if (kind === "matrix" || (embeddings && kind !== "none")) return undefined;
  return kind === "none" ? reason : `${reason} (--embeddings takes it in)`;
}

function unreadable(entry: WeightEntry | undefined): string | undefined {
  return entry === undefined || entry.isReadable ? undefined : `stored as ${entry.dtype}, which is not read`;
}

/** A pattern for the whole name; without a star, any part of it. */
function isNamed(name: string, filter: string): boolean {
  return filter.includes("*") ? matchesGlob(name, filter) : name.includes(filter);
}

function requireFinite(values: Float32Array, where: string, name: string): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NumericError({
    where: `${where}: ${name}`,
    what: `is not finite: element ${at}`,
    got: String(values[at]),
    hint: "the checkpoint is broken, or the run that made it diverged; --filter leaves weights out",
  });
}

function requireFiniteUpdate(delta: Matrix | FactoredUpdate, where: string, module: string): void {
  const arrays = "kind" in delta ? [...delta.B, ...delta.A] : [delta.data];
  if (arrays.every((array) => array.every((value) => Number.isFinite(value)))) return;
  throw new NumericError({
    where: `${where}: ${module}`,
    what: "the update is not finite",
    hint: "the run that made the adapter diverged: take an earlier checkpoint",
  });
}

async function originOf(weights: CheckpointWeights, signal: AbortSignal | undefined): Promise<Origin> {
  return { name: weights.name, kind: weights.kind, content_hash: await hashOf(weights.files, signal) };
}

function otherBase(base: CheckpointWeights | undefined, { baseModelNameOrPath: said }: AdapterUpdates): string[] {
  if (base === undefined || said === undefined) return [];
  const last = (name: string) => basename(resolve(name)).toLowerCase();
  const isSnapshot = /^[0-9a-f]{40}$/.test(last(base.dir ?? base.name));
  if (isSnapshot || last(said) === last(base.name)) return [];
  return [
    `the adapter says that it is for "${said}", and is looked at on "${base.name}": on another base the numbers mean nothing`,
  ];
}

function nothingInCommon(base: CheckpointWeights, tuned: CheckpointWeights): ConfigError {
  const some = ({ tensors }: CheckpointWeights) => [...tensors.keys()].slice(0, 3).join(", ");
  return new ConfigError({
    where: tuned.name,
    what: `has no weight of ${base.name}`,
    got: `${tuned.tensors.size} tensors, such as ${some(tuned)}`,
    expected: `some of ${base.tensors.size}, such as ${some(base)}`,
    hint: "the two are of different architectures",
  });
}

function nothingToCompare(
  base: CheckpointWeights,
  matrices: number,
  skipped: readonly { name: string; reason: string }[],
  { filter }: PairOptions,
): DataError | ConfigError {
  if (filter !== undefined) {
    const some = [...base.tensors.values()].filter(({ name, shape }) => kindOf(name, shape).kind === "matrix");
    return new ConfigError({
      where: "--filter",
      what: `no weight of ${matrices} is called so`,
      got: filter,
      expected: `such as ${some
        .slice(0, 3)
        .map(({ name }) => name)
        .join(", ")}`,
    });
  }
  const reasons = [...new Set(skipped.map(({ name, reason }) => `${name}: ${reason}`))];
  return new DataError({ where: base.name, what: `there is no matrix to compare: ${listed(reasons)}` });
}

function nothingAdapted(
  name: string,
  skipped: readonly { name: string; reason: string }[],
  { filter }: PairOptions,
): ConfigError {
  return new ConfigError({
    where: filter === undefined ? name : "--filter",
    what:
      filter === undefined
        ? "the adapter changes no weight that is looked at"
        : "no weight that the adapter changes is called so",
    got: filter ?? listed(skipped.map(({ name: own, reason }) => `${own}: ${reason}`)),
  });
}
