/**
 * The matrices that a run trains, read from the device while it goes on: of an adapter ΔW as its method computes it, of
 * weights that are trained themselves the difference to what they were. Nothing on the device changes.
 */
import { type AdaptedLayer, type Adapter, parameterValues, sharedValues } from "../adapters/adapter.ts";
import { mergedWeights } from "../adapters/merge.ts";
import { evaluate } from "../ir/evaluate.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { ndarray, type NdArray } from "../ir/ndarray.ts";
import { shapeOf } from "../ir/shape.ts";
import type { Columns } from "../linear-algebra/columns.ts";
import { type Matrix, transposed } from "../linear-algebra/svd.ts";
import type { LanguageModel } from "../lm/language-model.ts";
import type { Trainable } from "../lm/trainable.ts";
import type { LinearLayer } from "../nn/module.ts";
import { addedTo, dependsOn, lowRankForm, type Product } from "./low-rank-form.ts";
import { difference } from "./measures/update-norms.ts";

/** ΔW [out, in]: Σ bᵢ aᵢᵀ, or whole. */
export type WatchedUpdate =
  | { readonly kind: "factors"; readonly B: Columns; readonly A: Columns }
  | { readonly kind: "dense"; readonly delta: Matrix };

export interface WatchedWeight {
  /** Of the parameter. */
  readonly name: string;
  /** [out, in] */
  readonly shape: readonly [outputs: number, inputs: number];
  /** W₀ */
  base(): Promise<Matrix>;
  /** ΔW now. */
  update(): Promise<WatchedUpdate>;
}

/** Gives W₀ as it is stored. */
export type ReadBase = (parameter: string) => Promise<Float32Array>;

/**
 * The matrices of linear layers that a run changes. Embeddings, convolutions and heads that replace the base's are not
 * among them, as in the papers.
 * @param original of weights that are trained themselves: what they were before
 */
export function watchedWeights(
  { language, adapters, trained }: Pick<Trainable, "language" | "adapters" | "trained">,
  original: ReadBase,
): WatchedWeight[] {
  const layers = language.model.layers.filter((layer) => layer.kind === "linear");
  if (adapters.length === 0) {
    const names = new Set(trained.map(({ name }) => name));
    const tied = new Set(Object.entries(language.model.tied).flat());
    return layers.flatMap((layer) =>
      names.has(layer.weight) && !tied.has(layer.weight) ? [ownWeight(language, layer, original)] : [],
    );
  }
  return layers.flatMap((layer) => {
    const on = adapters.filter(
      ({ targets, method }) =>
        method.merged !== undefined && targets.some((target) => target.layer.name === layer.name),
    );
    return on.length === 0 ? [] : [adaptedWeight(language, layer, on, adapters)];
  });
}

function ownWeight(language: LanguageModel, layer: LinearLayer, original: ReadBase): WatchedWeight {
  const base = async () => oriented(layer, await original(layer.weight));
  return {
    name: layer.weight,
    shape: [layer.outFeatures, layer.inFeatures],
    base,
    async update() {
      const { data } = await language.device.read(layer.weight);
      return { kind: "dense", delta: difference(oriented(layer, data as Float32Array), await base()) };
    },
  };
}

function adaptedWeight(
  language: LanguageModel,
  layer: LinearLayer,
  on: readonly Adapter[],
  all: readonly Adapter[],
): WatchedWeight {
  const { device } = language;
  const base = async () => {
    const { data } = await device.read(language.tied[layer.weight] ?? layer.weight);
    return oriented(layer, data as Float32Array);
  };
  const thin = on.map((adapter) => factorsOf(adapter, layer));
  return {
    name: layer.weight,
    shape: [layer.outFeatures, layer.inFeatures],
    base,
    async update() {
      if (thin.every((read) => read !== undefined)) {
        const found: { readonly B: Columns; readonly A: Columns }[] = [];
        for (const read of thin) found.push(await read((name) => device.read(name)));
        return { kind: "factors", B: found.flatMap(({ B }) => B), A: found.flatMap(({ A }) => A) };
      }
      const { data } = await mergedWeights(device, all).read(layer.weight);
      return { kind: "dense", delta: difference(oriented(layer, data as Float32Array), await base()) };
    },
  };
}

type ReadState = LanguageModel["device"]["read"];

/** How to read ΔW as factors; undefined where it is no product of thin ones, or not added to the base's own weight. */
function factorsOf(
  adapter: Adapter,
  layer: LinearLayer,
): ((read: ReadState) => Promise<{ B: Columns; A: Columns }>) | undefined {
  const { method, copies, targets } = adapter;
  if (copies.has(layer.weight)) return undefined;
  const target: AdaptedLayer = targets.find((one) => one.layer.name === layer.name)!;
  const graph = new Graph();
  const stored = layer.fanInFanOut === true;
  const shape = stored ? [layer.inFeatures, layer.outFeatures] : [layer.outFeatures, layer.inFeatures];
  const weight = graph.feed("base", { dtype: "float32", shape: shapeOf(shape) });
  const parameter = (name: string, dims: readonly number[]) =>
    graph.state(name, { dtype: "float32", shape: shapeOf(dims) });
  const merged = method.merged!({
    layer,
    config: target.config,
    parameters: parameterValues({ parameter }, target),
    shared: sharedValues({ parameter }, adapter),
    weight,
    base: weight,
  });
  const update = addedTo(merged, weight);
  const products = update === undefined || dependsOn(update, [weight]) ? undefined : lowRankForm(update);
  if (products === undefined) return undefined;
  return async (read) => {
    const { left, right } = await evaluated(graph, products, read);
    return stored ? { B: right, A: left } : { B: left, A: right };
  };
}

async function evaluated(
  graph: Graph,
  products: readonly Product[],
  read: ReadState,
): Promise<{ left: Columns; right: Columns }> {
  const inputs = new Map<Value, NdArray>();
  for (const { kind, value } of graph.inputs) {
    if (kind !== "state") continue;
    const { shape, data } = await read(value.name);
    inputs.set(value, ndarray(shape, data as Float32Array));
  }
  const values = evaluate(
    graph,
    inputs,
    products.flatMap(({ left, right }) => [left, right]),
  );
  return {
    left: products.flatMap(({ left }) => columnsOf(values.get(left)!)),
    right: products.flatMap(({ right }) => rowsOf(values.get(right)!)),
  };
}

function rowsOf({ shape, data }: NdArray): Float64Array[] {
  const rows = shape[0] ?? 0;
  const width = rows === 0 ? 0 : data.length / rows;
  return Array.from({ length: rows }, (_, i) => Float64Array.from(data.slice(i * width, (i + 1) * width)));
}

function columnsOf({ shape, data }: NdArray): Float64Array[] {
  const columns = shape[1] ?? 0;
  return Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: data.length / columns }, (_row, i) => data[i * columns + j]!),
  );
}

/** A weight as it is stored, as [out, in]. */
function oriented({ fanInFanOut, inFeatures, outFeatures }: LinearLayer, data: Float32Array): Matrix {
  if (fanInFanOut !== true) return { rows: outFeatures, columns: inFeatures, data };
  return {
    rows: outFeatures,
    columns: inFeatures,
    data: transposed({ rows: inFeatures, columns: outFeatures, data }),
  };
}
