/**
 * A training step of a language model, as three graphs:
 *
 * - *accumulate*, once per micro-batch: forward and backward pass; gradients are added to states of their own;
 * - *norm*: the global norm of what has been accumulated;
 * - *update*: the optimizer's step; several graphs, if its states have a budget of memory (update-groups.ts).
 *
 * Between them the host looks at loss and norm: a step whose numbers are not finite never reaches the parameters. The loss
 * of every micro-batch is divided by the number of supervised tokens of the whole step, so that any split of a batch into
 * micro-batches gives the same gradient.
 */
import type { Adapter } from "../adapters/adapter.ts";
import { ConfigError, listed } from "../errors.ts";
import { grad } from "../ir/grad.ts";
import { Graph, reachable, type Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { mul } from "../ir/ops/mul.ts";
import { sub } from "../ir/ops/sub.ts";
import { type DimSizes, shapeOf } from "../ir/shape.ts";
import { adaptedSequence } from "../lm/adapted-sequence.ts";
import { headLoss } from "../lm/head-loss.ts";
import { wholeSequence } from "../lm/sequence.ts";
import type { TextModel, Sequence } from "../models/text-model.ts";
import { shiftedSequence } from "../models/shifted-attention.ts";
import { countElements, type LayerHook, type ParameterSpec, type Tracing } from "../nn/module.ts";
import type { StoredWeights } from "../nn/stored-weight.ts";
import { readStored } from "../lm/stored-parameters.ts";
import { globalNorm } from "../optim/clip.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { afterGraph, gradientAt, penaltyOf, placesOf } from "./method-steps.ts";
import { SCALAR_FEED, SEED_FEED, slotName } from "./training-graph.ts";
import { connected, updateGroups } from "./update-groups.ts";

/** 0 on the first micro-batch of a step, which forgets what was accumulated before, and 1 on the others. */
export const KEEP_FEED = "step/keep";
/** What the optimizer multiplies the gradients by: the clipping factor. */
export const CLIP_FEED = "step/clip";

const FLOAT32_BYTES = 4;

export interface LmGraphOptions {
  readonly model: TextModel;
  /** Parameters that are trained, by the names of their states. */
  readonly trained: readonly ParameterSpec[];
  /** Name of the state that a parameter is read from: adapters bring their own, heads may share a table. */
  readonly stateOf: (parameter: string) => string;
  /** How frozen weights are stored, by the names of their states. Default: as float32 values. */
  readonly stored?: StoredWeights;
  /** Hook of the adapters at work, given the int32 scalar that changes with every step. */
  readonly adapt?: (seed: Value) => LayerHook;
  /** Those that are trained, for what their methods add to a step. Default: none. */
  readonly adapters?: readonly Adapter[];
  /** Rows are cut into this many groups that tokens attend in: see models/shifted-attention.ts. Default: they are not. */
  readonly groups?: number;
  /** Optimizer of a trained parameter, such as one without weight decay. */
  readonly optimizerOf: (spec: ParameterSpec) => Optimizer;
  /** Learning rate of a trained parameter, as a multiple of the step's. Default: 1. */
  readonly rateOf?: (spec: ParameterSpec) => number;
  /** Chunks of the vocabulary head. */
  readonly chunks: number;
  readonly checkpoint: boolean;
  readonly typicalSizes: DimSizes;
  /** Bytes of the optimizer's states that stay in memory; those beyond are paged. Default: all of them. */
  readonly optimizerBudget?: number;
  /** Bytes of the states that are paged at a time, at least. Default: those of update-groups.ts. */
  readonly pageBytes?: number;
}

export interface LmGraphs {
  readonly accumulate: Graph;
  readonly norm: Graph;
  /** Run one after the other: each changes parameters that no later one reads. */
  readonly updates: readonly UpdateGraph[];
  /** Runs after it, for methods that ask. */
  readonly after?: Graph;
  /** Multiples of the learning rate that parameters have. */
  readonly rates: readonly number[];
  /** States that must exist, as zeros, before the first step: gradients and optimizer states. */
  readonly gradients: readonly ParameterState[];
  readonly slots: readonly SlotState[];
  /** States that `accumulate` reads and no step changes. */
  readonly frozen: readonly string[];
}

/** Where the optimizer's states are: bytes in memory and in the file, and of the largest part that is read at a time. */
export function pagingOf({ updates }: LmGraphs): { resident: number; paged: number; atOnce: number } {
  const of = (paged: boolean) => updates.flatMap((update) => (update.paged === paged ? [update.bytes] : []));
  const sum = (bytes: readonly number[]) => bytes.reduce((a, b) => a + b, 0);
  return { resident: sum(of(false)), paged: sum(of(true)), atOnce: Math.max(0, ...of(true)) };
}

export interface ParameterState {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface SlotState extends ParameterState {
  /** Whether it is to be in a file. */
  readonly paged: boolean;
}

export interface UpdateGraph {
  readonly graph: Graph;
  /** Of the optimizer's states in it. */
  readonly bytes: number;
  /** Whether those are to be in a file. */
  readonly paged: boolean;
}

/** @throws ConfigError if nothing is trained, or something that is would never move */
export function lmGraphs(options: LmGraphOptions): LmGraphs {
  const { trained } = options;
  if (trained.length === 0) {
    throw new ConfigError({ what: "nothing is trainable", hint: "attach an adapter, or unfreeze some parameters" });
  }
  const gradients = trained.map(({ name, shape }) => ({ name: gradientName(name), shape }));
  const { graph: accumulate, frozen } = accumulateGraph(options);
  const { updates, slots, rates } = updateGraphs(options);
  const after = afterGraph(options.adapters ?? [], givenGradients(options));
  return {
    accumulate,
    norm: normGraph(trained),
    updates,
    ...(after === undefined ? {} : { after: after.graph }),
    rates,
    gradients,
    slots: [...slots, ...(after?.states ?? []).map((state) => ({ ...state, paged: false }))],
    frozen,
  };
}

/** Gradients that the optimizer is given, clipped, by the names of parameters; undefined for those that are not trained. */
function givenGradients({ trained }: LmGraphOptions): (graph: Graph, state: string) => Value | undefined {
  const shapes = new Map(trained.map(({ name, shape }) => [name, shape]));
  const clips = new Map<Graph, Value>();
  return (graph, state) => {
    const shape = shapes.get(state);
    if (shape === undefined) return undefined;
    const clip = clips.get(graph) ?? graph.feed(CLIP_FEED, { dtype: "float32", shape: [] });
    clips.set(graph, clip);
    return mul(stateIn(graph, gradientName(state), shape), clip);
  };
}

function gradientName(parameter: string): string {
  return `gradient/${parameter}`;
}

function stateIn(graph: Graph, name: string, shape: readonly number[]): Value {
  return graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
}

function accumulateGraph(options: LmGraphOptions): { graph: Graph; frozen: string[] } {
  const { model, trained, stateOf, chunks, checkpoint, typicalSizes } = options;
  const graph = new Graph();
  const seed = graph.feed(SEED_FEED, { dtype: "int32", shape: [] });
  const tracing: Tracing = {
    graph,
    training: true,
    typicalSizes,
    ...readStored(graph, options.stored, stateOf),
    ...(options.adapt === undefined ? {} : { adapt: options.adapt(seed) }),
  };
  const wanted = trained.map(({ name, shape }) => stateIn(graph, name, shape));
  const whole = wholeSequence(graph, model, { checkpoint });
  const shifted = (sequence: Sequence) =>
    options.groups === undefined ? sequence : shiftedSequence(sequence, options.groups);
  const hidden = model.hidden(tracing, shifted(adaptedSequence(tracing, model, whole, options.adapters ?? [], seed)));
  const { loss, gradients } = headLoss(tracing, model, hidden, wanted, chunks);
  const keep = graph.feed(KEEP_FEED, { dtype: "float32", shape: [] });
  const penalty = penaltyOf(options.adapters ?? [], tracing);
  // Once in a step, not once in a micro-batch.
  const penalised = penalty === undefined ? undefined : mul(penalty, sub(scalar(graph, 1), keep));
  graph.output("loss", penalised === undefined ? loss : add(loss, penalised));

  const read = new Set(reachable(graph, [hidden]).flatMap(({ inputs }) => inputs));
  const below = wanted.filter((value) => read.has(value));
  const fromBlocks = below.length === 0 ? [] : grad(hidden, below, gradients.get(hidden));
  const total = new Map(below.map((value, i) => [value, fromBlocks[i]!]));
  for (const value of wanted) {
    const [head, blocks] = [gradients.get(value), total.get(value)];
    if (head !== undefined) total.set(value, blocks === undefined ? head : add(blocks, head));
  }
  if (penalised !== undefined) {
    const inPenalty = new Set(reachable(graph, [penalised]).flatMap(({ inputs }) => inputs));
    const held = wanted.filter((value) => inPenalty.has(value));
    grad(penalised, held).forEach((gradient, i) => {
      const sum = total.get(held[i]!);
      total.set(held[i]!, sum === undefined ? gradient : add(sum, gradient));
    });
  }
  const still = wanted.filter((value) => !total.has(value)).map(({ name }) => name);
  if (still.length > 0) {
    throw new ConfigError({ where: "trainable", what: "the loss does not depend on it", got: listed(still) });
  }
  trained.forEach(({ name, shape }, i) => {
    const sum = stateIn(graph, gradientName(name), shape);
    graph.update(sum, add(mul(sum, keep), total.get(wanted[i]!)!));
  });
  const moving = new Set([...trained.map(({ name }) => name), ...trained.map(({ name }) => gradientName(name))]);
  const states = graph.inputs.filter(({ kind }) => kind === "state").map(({ value }) => value.name);
  return { graph, frozen: states.filter((name) => !moving.has(name)) };
}

function normGraph(trained: readonly ParameterSpec[]): Graph {
  const graph = new Graph();
  graph.output("grad_norm", globalNorm(trained.map(({ name, shape }) => stateIn(graph, gradientName(name), shape))));
  return graph;
}

interface Updates {
  readonly updates: readonly UpdateGraph[];
  readonly slots: readonly SlotState[];
  readonly rates: readonly number[];
}

function updateGraphs(options: LmGraphOptions): Updates {
  const { trained, optimizerBudget = Infinity, optimizerOf } = options;
  const bytesOf = (spec: ParameterSpec) => FLOAT32_BYTES * countElements([spec]) * optimizerOf(spec).slots.length;
  const bytes = trained.reduce((sum, spec) => sum + bytesOf(spec), 0);
  const groups =
    bytes <= optimizerBudget
      ? [{ members: trained, bytes, paged: false }]
      : updateGroups(
          updatedTogether(options).map((members) => ({
            members,
            bytes: members.reduce((sum, spec) => sum + bytesOf(spec), 0),
          })),
          optimizerBudget,
          options.pageBytes,
        );
  const made = groups.map(({ members, bytes: groupBytes, paged }) => {
    const { graph, slots, rates } = updateGraph(options, members);
    return {
      update: { graph, bytes: groupBytes, paged },
      slots: slots.map((slot) => ({ ...slot, paged })),
      rates,
    };
  });
  return {
    updates: made.map(({ update }) => update),
    slots: made.flatMap(({ slots }) => slots),
    rates: [...new Set(made.flatMap(({ rates }) => rates))],
  };
}

/** Methods may compute a gradient from other parameters: as they were before the step, so that all of these go together. */
function updatedTogether(options: LmGraphOptions): ParameterSpec[][] {
  const specs = new Map(options.trained.map((spec) => [spec.name, spec]));
  return connected(options.trained, (spec) =>
    updateGraph(options, [spec]).graph.inputs.flatMap(({ value }) => specs.get(value.name) ?? []),
  );
}

/** @param trained those of the options that this graph updates */
function updateGraph(
  options: LmGraphOptions,
  trained: readonly ParameterSpec[],
): { graph: Graph; slots: ParameterState[]; rates: number[] } {
  const { optimizerOf, rateOf = () => 1, adapters = [] } = options;
  const graph = new Graph();
  const places = placesOf(adapters);
  const rates = new Set<number>();
  const clip = graph.feed(CLIP_FEED, { dtype: "float32", shape: [] });
  const scalars = new Map<string, Value>();
  const slots: ParameterState[] = [];
  for (const spec of trained) {
    const { name, shape } = spec;
    const optimizer = optimizerOf(spec);
    const rate = rateOf(spec);
    rates.add(rate);
    for (const key of optimizer.scalars.map((scalarName) => scalarFeed(scalarName, rate))) {
      if (!scalars.has(key)) scalars.set(key, graph.feed(key, { dtype: "float32", shape: [] }));
    }
    graph.scope(`optimizer.${name}`, () => {
      const states = Object.fromEntries(
        optimizer.slots.map((slot) => {
          slots.push({ name: slotName(name, slot), shape });
          return [slot, stateIn(graph, slotName(name, slot), shape)];
        }),
      );
      const parameter = stateIn(graph, name, shape);
      const next = optimizer.update({
        parameter,
        gradient: gradientAt(places.get(name), mul(stateIn(graph, gradientName(name), shape), clip), {
          graph,
          parameter: (state, size) => stateIn(graph, state, size),
        }),
        slots: states,
        scalars: Object.fromEntries(optimizer.scalars.map((key) => [key, scalars.get(scalarFeed(key, rate))!])),
      });
      graph.update(parameter, next.parameter);
      for (const slot of optimizer.slots) graph.update(states[slot]!, next.slots[slot]!);
    });
  }
  return { graph, slots, rates: [...rates] };
}

/** Name of the feed of an optimizer's scalar, for parameters with this multiple of the learning rate. */
export function scalarFeed(scalarName: string, rate: number): string {
  return rate === 1 ? SCALAR_FEED + scalarName : `${SCALAR_FEED}${scalarName}/rate ${rate}`;
}
