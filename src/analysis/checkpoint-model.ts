/**
 * A checkpoint as a model that adapters can be put on, made of the names and shapes of its tensors alone: so an adapter of any
 * architecture can be looked at. Nothing can be computed with it but weights.
 *
 * Names are those that an adapter has for the modules, which may differ from the checkpoint's by a prefix.
 */
import type { AdaptableModel } from "../adapters/copies.ts";
import { zeros } from "../nn/init.ts";
import type { Layer, ParameterSpec } from "../nn/module.ts";
import type { WeightEntry } from "./checkpoint-weights.ts";
import { kindOf, transposedWeights } from "./matrix-kind.ts";

export interface CheckpointModel extends AdaptableModel {
  /** Names of tensors in the checkpoint, by the names of parameters. */
  readonly stored: ReadonlyMap<string, string>;
}

export interface CheckpointModelOptions {
  /** Tensors that the adapter brings and the checkpoint lacks: heads. Default: none. */
  readonly more?: readonly Pick<WeightEntry, "name" | "shape">[];
  /** The adapter has no tensors of single layers. Default: false. */
  readonly allLayers?: boolean;
}

/** Bodies of models that may or may not be named in front of their modules. */
const PREFIXES = [
  "model.",
  "transformer.",
  "roberta.",
  "bert.",
  "base_model.",
  "gpt_neox.",
  "decoder.",
  "model.decoder.",
];
const EMBEDDINGS = ["embed_tokens", "wte", "word_embeddings", "embed_in"];

/**
 * Layers that the adapter has no tensors for are left out: which of a name it was put on, its tensors say.
 * @param keys names of the adapter's tensors, without what PEFT's wrapping adds in front
 */
export function checkpointModel(
  tensors: ReadonlyMap<string, WeightEntry>,
  keys: readonly string[],
  { more = [], allLayers = false }: CheckpointModelOptions = {},
): CheckpointModel {
  const rename = renaming([...tensors.keys()], keys);
  const stored = new Map([...tensors.keys()].map((name) => [rename(name), name]));
  const entries = [...stored].map(([name, own]) => ({ name, shape: tensors.get(own)!.shape }));
  const transposed = transposedWeights(entries.map(({ name, shape }) => [name, shape]));
  const all = [...entries, ...more];
  const names = new Set(all.map(({ name }) => name));
  const modules = new Set(keys.flatMap(pathsOf));
  const every = all.flatMap(({ name, shape }) => layerOf(name, shape, transposed.has(name), names));
  const isWanted = ({ name }: Layer) => allLayers || modules.has(name);
  // The table of tokens is the first embedding of a model, wherever its name stands.
  const layers = every.filter(isWanted).toSorted((a, b) => Number(isTokenTable(b)) - Number(isTokenTable(a)));
  const table = tiedTable(every);
  const tied = table !== undefined && isWanted(table.layer) ? table : undefined;
  const specs = all.map(({ name, shape }): ParameterSpec => ({ name, shape, init: zeros }));
  return {
    parameters: specs,
    layers: tied === undefined ? layers : [...layers, tied.layer],
    ...(tied === undefined ? {} : { tied: { [tied.layer.weight]: tied.of } }),
    stored,
  };
}

/** The prefix that makes most modules of the checkpoint modules of the adapter: added, taken off, or none. */
function renaming(names: readonly string[], keys: readonly string[]): (name: string) => string {
  const modules = new Set(keys.flatMap(pathsOf));
  const firsts = [...new Set(names.map((name) => `${name.split(".")[0]!}.`))];
  const added = [...PREFIXES, ...new Set(keys.map((key) => `${key.split(".")[0]!}.`))];
  const candidates: ((name: string) => string)[] = [
    (name) => name,
    ...firsts.map((prefix) => (name: string) => (name.startsWith(prefix) ? name.slice(prefix.length) : name)),
    ...[...new Set(added)].map((prefix) => (name: string) => (name.startsWith(prefix) ? name : prefix + name)),
  ];
  const fits = (rename: (name: string) => string) => names.filter((name) => modules.has(moduleOf(rename(name)))).length;
  return candidates.reduce((best, each) => (fits(each) > fits(best) ? each : best));
}

/** All beginnings of a name that end before a dot. */
function pathsOf(name: string): string[] {
  const parts = name.split(".");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("."));
}

function moduleOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf(".")));
}

function layerOf(name: string, shape: readonly number[], isTransposed: boolean, names: ReadonlySet<string>): Layer[] {
  if (!name.endsWith(".weight")) return [];
  const module = moduleOf(name);
  const { kind } = kindOf(name, shape);
  const [first = 0, second = 0, height, width] = shape;
  if (kind === "embedding" && shape.length === 2) {
    return [{ kind: "embedding", name: module, weight: name, inFeatures: first, outFeatures: second }];
  }
  if (shape.length === 4) {
    return [
      {
        kind: "conv2d",
        name: module,
        weight: name,
        inFeatures: second,
        outFeatures: first,
        kernel: [height!, width!],
        options: {},
      },
    ];
  }
  if (shape.length !== 2) return [];
  const bias = `${module}.bias`;
  return [
    {
      kind: "linear",
      name: module,
      weight: name,
      ...(names.has(bias) ? { bias } : {}),
      inFeatures: isTransposed ? first : second,
      outFeatures: isTransposed ? second : first,
      ...(isTransposed ? { fanInFanOut: true } : {}),
      ...(kind === "output" ? { isOutput: true } : {}),
    },
  ];
}

/** A head that shares the table of the embedding is stored under one of the two names. */
function tiedTable(layers: readonly Layer[]): { readonly layer: Layer; readonly of: string } | undefined {
  const table = layers.find(isTokenTable);
  const head = layers.find((layer) => layer.kind === "linear" && layer.isOutput === true);
  if ((table === undefined) === (head === undefined)) return undefined;
  if (table !== undefined) {
    const { inFeatures: outFeatures, outFeatures: inFeatures, weight: of } = table;
    const weight = "lm_head.weight";
    return { layer: { kind: "linear", name: "lm_head", weight, inFeatures, outFeatures, isOutput: true }, of };
  }
  const { inFeatures: outFeatures, outFeatures: inFeatures, weight: of } = head!;
  const name = "model.embed_tokens";
  return { layer: { kind: "embedding", name, weight: `${name}.weight`, inFeatures, outFeatures }, of };
}

function isTokenTable({ kind, name }: Layer): boolean {
  return kind === "embedding" && EMBEDDINGS.includes(name.slice(name.lastIndexOf(".") + 1));
}
