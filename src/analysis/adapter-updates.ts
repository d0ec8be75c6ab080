/**
 * What an adapter does to each weight: ΔW = merged(W) − W, whatever its method. Read from its folder, computed one weight at a
 * time, so that no more than the adapter and a matrix is in memory.
 *
 * Where the method adds something to W that does not depend on it, that is ΔW, and nothing is lost in a difference of large
 * numbers; where it is a product of thin factors, those are given.
 */
import { join } from "node:path";
import { type Adapter, parameterValues, sharedValues } from "../adapters/adapter.ts";
import { ConfigError, listed } from "../errors.ts";
import { CONFIG_FILE, readConfig } from "../formats/peft/config.ts";
import { readJsonObject } from "../formats/peft/json-object.ts";
import { loadAdapter } from "../formats/peft/load.ts";
import { methodOf } from "../formats/peft/methods.ts";
import { PREFIX } from "../formats/peft/tensor-keys.ts";
import { canonicalKeys, openWeights as openAdapterFile } from "../formats/peft/weights.ts";
import { evaluate } from "../ir/evaluate.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray } from "../ir/ndarray.ts";
import { sub } from "../ir/ops/sub.ts";
import { shapeOf } from "../ir/shape.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import { transposed } from "../linear-algebra/svd.ts";
import type { Layer } from "../nn/module.ts";
import { interpDevice } from "../runtime/interp.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import type { AdaptableModel } from "../adapters/copies.ts";
import { bareModel } from "./bare-adapter.ts";
import { checkpointModel } from "./checkpoint-model.ts";
import type { CheckpointWeights } from "./checkpoint-weights.ts";
import { addedTo, dependsOn, lowRankForm, type Product } from "./low-rank-form.ts";
import { flattened } from "./matrix-kind.ts";

/** Larger ones are computed by the engine in float32; smaller ones in float64, in this thread. */
const SMALL_ELEMENTS = 2 ** 22;

/** ΔW [out, in] as Σ bᵢ aᵢᵀ. */
export interface FactoredUpdate {
  readonly kind: "factors";
  /** bᵢ, [out] each. */
  readonly B: Columns;
  /** aᵢ, [in] each. */
  readonly A: Columns;
}

/** ΔW [out, in], row-major. */
export interface DenseUpdate {
  readonly kind: "dense";
  readonly data: Float32Array;
}

export type Update = FactoredUpdate | DenseUpdate;

/** A weight that an adapter changes. */
export interface AdaptedWeight {
  /** Of the layer, in the adapter: `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** Its tensor in the base's checkpoint; where there is none, as of a head that is tied, the name that the weight would have. */
  readonly name: string;
  /** Tensor of the base that has its values; undefined without a base. */
  readonly source: string | undefined;
  /** As it is stored. */
  readonly storedShape: readonly number[];
  /** It is stored as [in, out]. */
  readonly isTransposed: boolean;
  /** The adapter's layer; undefined: a copy that it brings in the place of the base's parameter. */
  readonly layer: Layer | undefined;
  /** ΔW depends on W. */
  readonly needsBase: boolean;
  /** @param base W as it is stored; undefined: without a base */
  update(base: Float32Array | undefined): Promise<Update>;
}

export interface AdapterUpdates {
  readonly method: string;
  readonly r: number | undefined;
  readonly alpha: number | undefined;
  readonly baseModelNameOrPath: string | undefined;
  readonly adapter: Adapter;
  /** Holds the adapter's states, and reads the base's weights from their file. */
  readonly device: Device;
  readonly weights: readonly AdaptedWeight[];
  /** Parameters of the base that it replaces and that are no matrix of a layer; whole heads that the base lacks. */
  readonly others: readonly { readonly name: string; readonly reason: string }[];
  readonly files: readonly string[];
  readonly warnings: readonly string[];
  close(): Promise<void>;
}

/**
 * @param base undefined: the adapter alone
 * @throws ConfigError if the method cannot be merged, or needs a base that is not there; FormatError if the adapter is not for
 *   this base
 */
export async function openAdapter(dir: string, base: CheckpointWeights | undefined): Promise<AdapterUpdates> {
  const file = await readJsonObject(join(dir, CONFIG_FILE));
  const method = methodOf(file);
  const changesOutputs = method?.forward !== undefined || method?.sequence !== undefined;
  if (method !== undefined && method.merged === undefined && changesOutputs) {
    throw new ConfigError({
      where: dir,
      what: `${method.name} cannot be merged into the weights, so that there is no update to look at`,
      ...(method.unmergeable === undefined ? {} : { hint: method.unmergeable }),
    });
  }
  const weights = await openAdapterFile(dir);
  let model: AdaptableModel;
  let stored: ReadonlyMap<string, string> = new Map();
  try {
    const keys = canonicalKeys(weights.tensors.keys());
    const named = new Map([...keys].map(([key, own]) => [key, weights.tensors.get(own)!]));
    if (base === undefined) {
      const { method: read, config } = readConfig(file, {});
      model = bareModel(dir, read, config, named);
    } else {
      const plain = [...named.keys()].map((key) => (key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key));
      const heads = [file.names("modules_to_save") ?? []].flat();
      const allLayers = method?.parameters === undefined;
      const there = checkpointModel(base.tensors, plain);
      const more = plain.flatMap((name, i) => {
        const isHead = heads.some((head) => name.split(".").includes(head)) && !there.stored.has(name);
        return isHead ? [{ name, shape: [...named.values()][i]!.shape }] : [];
      });
      const made = checkpointModel(base.tensors, plain, { more, allLayers });
      ({ stored } = made);
      model = made;
    }
  } finally {
    await weights.close();
  }
  const states = interpDevice();
  const reader = readingDevice(states, base, stored);
  const loaded = await loadAdapter(reader, model, dir, {
    base: { read: (parameter) => readBase(base, stored, model.tied?.[parameter] ?? parameter) },
  });
  const { adapter } = loaded;
  const engine = lazyEngine(states);
  const updates = updatesOf(adapter, model, stored, states, engine.get);
  const { r, alpha } = adapter.config as { readonly r?: number; readonly alpha?: number };
  const needing = updates.weights.filter(({ needsBase }) => needsBase);
  if (base === undefined && needing.length > 0) {
    throw new ConfigError({
      where: dir,
      what: `what ${adapter.method.name} does to a weight depends on that weight: ${listed(needing.map(({ module }) => module))}`,
      hint: "give the base too: lowrank analyze BASE ADAPTER",
    });
  }
  return {
    method: adapter.method.name,
    r: typeof r === "number" ? r : undefined,
    alpha: typeof alpha === "number" ? alpha : undefined,
    baseModelNameOrPath: loaded.baseModelNameOrPath,
    adapter,
    device: reader,
    ...updates,
    files: [join(dir, CONFIG_FILE), weights.path],
    warnings: loaded.warnings,
    async close() {
      await engine.dispose();
      await states.dispose();
    },
  };
}

/** A device on which the base's weights are read from their file. */
function readingDevice(
  inner: Device,
  base: CheckpointWeights | undefined,
  stored: ReadonlyMap<string, string>,
): Device {
  return {
    kind: inner.kind,
    compile: (graph, options) => inner.compile(graph, options),
    write: (name, tensor) => inner.write(name, tensor),
    map: (name, tensor) => inner.map(name, tensor),
    async read(name) {
      const own = stored.get(name);
      if (base === undefined || own === undefined) return inner.read(name);
      const { shape } = base.tensors.get(own)!;
      return { dtype: "float32", shape, data: await base.read(own) };
    },
    free: (name) => inner.free(name),
    dispose: () => inner.dispose(),
  };
}

async function readBase(
  base: CheckpointWeights | undefined,
  stored: ReadonlyMap<string, string>,
  parameter: string,
): Promise<Float32Array> {
  const own = stored.get(parameter);
  if (base !== undefined && own !== undefined) return base.read(own);
  throw new ConfigError({
    where: parameter,
    what: "the adapter is made of this weight of the base, which is not there",
    hint: "give the base too: lowrank analyze BASE ADAPTER",
  });
}

/** The engine, opened when a matrix is too large for the interpreter, with the states that its graphs ask for. */
function lazyEngine(states: Device): {
  get: (names: readonly string[]) => Promise<Device>;
  dispose: () => Promise<void>;
} {
  let opened: Promise<Device> | undefined;
  const there = new Set<string>();
  return {
    async get(names) {
      const device = await (opened ??= ortDevice());
      for (const name of names) {
        if (there.has(name)) continue;
        await device.write(name, await states.read(name));
        there.add(name);
      }
      return device;
    },
    async dispose() {
      await (await opened)?.dispose();
    },
  };
}

function updatesOf(
  adapter: Adapter,
  model: AdaptableModel,
  stored: ReadonlyMap<string, string>,
  states: Device,
  engine: (names: readonly string[]) => Promise<Device>,
): Pick<AdapterUpdates, "weights" | "others"> {
  const { copies, targets, method } = adapter;
  const shapes = new Map(model.parameters.map(({ name, shape }) => [name, shape]));
  const parameterOf = (name: string) => model.tied?.[name] ?? name;
  const weights: AdaptedWeight[] = targets.flatMap((target) => {
    const { layer } = target;
    if (method.merged === undefined) return [];
    const parameter = parameterOf(layer.weight);
    const storedShape = shapes.get(parameter)!;
    const copy = copies.get(layer.weight);
    const build = () => {
      const graph = new Graph();
      const base = graph.feed("base", { dtype: "float32", shape: shapeOf(storedShape) });
      const state = (name: string, shape: readonly number[]) =>
        graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
      const start = copy === undefined ? base : state(copy.name, copy.shape);
      const merged = method.merged!({
        layer,
        config: target.config,
        parameters: parameterValues({ parameter: state }, target),
        shared: sharedValues({ parameter: state }, adapter),
        weight: start,
        base: start,
      });
      return { graph, base, update: (copy === undefined ? addedTo(merged, base) : undefined) ?? sub(merged, base) };
    };
    const { base, update } = build();
    const isTransposed = layer.kind === "linear" && layer.fanInFanOut === true;
    return [
      {
        module: layer.name,
        name: parameter === layer.weight ? (stored.get(parameter) ?? layer.weight) : layer.weight,
        source: stored.get(parameter),
        storedShape,
        isTransposed,
        layer,
        needsBase: dependsOn(update, [base]),
        update: (values) => computed(build(), values, { storedShape, isTransposed }, states, engine),
      },
    ];
  });
  const adapted = new Set(targets.map(({ layer }) => layer.weight));
  const others: { name: string; reason: string }[] = [];
  for (const [parameter, copy] of copies) {
    if (adapted.has(parameter) || copy.derived === true) continue;
    const own = stored.get(copy.from);
    const layer = model.layers.find(({ weight }) => weight === parameter);
    if (own === undefined || layer === undefined) {
      const reason = own === undefined ? "the adapter brings it, and the base has none" : "a vector, no matrix";
      others.push({ name: own ?? parameter, reason });
      continue;
    }
    weights.push({
      module: layer.name,
      name: model.tied?.[parameter] === undefined ? own : parameter,
      source: own,
      storedShape: copy.shape,
      isTransposed: layer.kind === "linear" && layer.fanInFanOut === true,
      layer: undefined,
      needsBase: true,
      async update(base) {
        const { data } = await states.read(copy.name);
        const change = Float32Array.from(data as Float32Array, (value, i) => value - base![i]!);
        return oriented(change, copy.shape, layer.kind === "linear" && layer.fanInFanOut === true);
      },
    });
  }
  return { weights, others };
}

async function computed(
  { graph, base, update }: { readonly graph: Graph; readonly base: Value; readonly update: Value },
  values: Float32Array | undefined,
  { storedShape, isTransposed }: Pick<AdaptedWeight, "storedShape" | "isTransposed">,
  states: Device,
  engine: (names: readonly string[]) => Promise<Device>,
): Promise<Update> {
  const products = dependsOn(update, [base]) ? undefined : lowRankForm(update);
  if (products !== undefined) return factors(graph, products, isTransposed, states);
  graph.output("update", update);
  const elements = storedShape.reduce((a, b) => a * b, 1);
  const used = graph.inputs.flatMap(({ kind, value }) => (kind === "state" ? [value.name] : []));
  const device = elements <= SMALL_ELEMENTS ? states : await engine(used);
  const executable = await device.compile(graph);
  try {
    const data = values ?? new Float32Array(elements);
    const feed: Tensor = { dtype: "float32", shape: storedShape, data };
    const { update: made } = await executable.run({ base: feed });
    return oriented(Float32Array.from(made!.data as Float32Array), storedShape, isTransposed);
  } finally {
    await executable.dispose();
  }
}

async function factors(
  graph: Graph,
  products: readonly Product[],
  isTransposed: boolean,
  states: Device,
): Promise<FactoredUpdate> {
  const inputs = new Map<Value, NdArray>();
  for (const { kind, value } of graph.inputs) {
    if (kind !== "state") continue;
    const { shape, data } = await states.read(value.name);
    inputs.set(value, ndarray(shape, data as Float32Array));
  }
  // Not as a device would: those want to be fed the base, which nothing reads.
  const values = evaluate(
    graph,
    inputs,
    products.flatMap(({ left, right }) => [left, right]),
  );
  const B = products.flatMap(({ left }) => columnsOf(values.get(left)!));
  const A = products.flatMap(({ right }) => rowsOf(values.get(right)!));
  return isTransposed ? { kind: "factors", B: A, A: B } : { kind: "factors", B, A };
}

/** ΔW as it is stored, as [out, in]. */
function oriented(data: Float32Array, shape: readonly number[], isTransposed: boolean): DenseUpdate {
  if (!isTransposed) return { kind: "dense", data };
  const [rows, columns] = flattened(shape);
  return { kind: "dense", data: Float32Array.from(transposed({ rows, columns, data })) };
}

function rowsOf({ shape, data }: NdArray): Float64Array[] {
  const [rows = 0] = shape;
  const width = data.length / rows;
  return Array.from({ length: rows }, (_, i) => data.slice(i * width, (i + 1) * width));
}

function columnsOf({ shape, data }: NdArray): Float64Array[] {
  const columns = shape[1] ?? 0;
  const rows = data.length / columns;
  return Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_row, i) => data[i * columns + j]!),
  );
}
