/**
 * A training step as one graph: forward pass, loss, backward pass to the trainable parameters, clipping, optimizer.
 */
import { ConfigError, listed } from "../errors.ts";
import { grad } from "../ir/grad.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { dim, type DimSizes, shapeOf } from "../ir/shape.ts";
import type { LayerHook, ParameterSpec, Tracing } from "../nn/module.ts";
import { clipByNorm, globalNorm } from "../optim/clip.ts";
import type { Optimizer } from "../optim/optimizer.ts";

export interface TrainingGraphOptions {
  /** Traces the model and returns the loss, a scalar. */
  readonly loss: (tracing: Tracing) => Value;
  /** Every parameter that the loss may use. */
  readonly parameters: readonly ParameterSpec[];
  /** Names of those that are trained. */
  readonly trainable: ReadonlySet<string>;
  readonly optimizer: Optimizer;
  /** Hook of the adapters at work, given the int32 scalar that changes with every step. */
  readonly adapt?: (seed: Value) => LayerHook;
  /** Clips the gradients to this global norm. Default: no clipping. */
  readonly maxGradNorm?: number;
  readonly typicalSizes?: DimSizes;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** Optimizer states: they must exist, as zeros, before the first step. */
  readonly slots: readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** Parameters that the graph reads and does not train. */
  readonly frozen: readonly string[];
}

/** Feeds that the graph has besides the model's own: the seed of the step, and the optimizer's scalars. */
export const SEED_FEED = "step/seed";
export const SCALAR_FEED = "optimizer/";

/**
 * Outputs `loss`, and `grad_norm` if gradients are clipped.
 * @throws ConfigError if nothing is trainable, or a trainable name is no parameter; GraphError if the loss does not depend
 *   on a trainable parameter
 */
export function trainingGraph(options: TrainingGraphOptions): TrainingGraph {
  const { parameters, trainable, optimizer, maxGradNorm } = options;
  const graph = new Graph();
  const specs = new Map(parameters.map((spec) => [spec.name, spec]));
  const seed = graph.feed(SEED_FEED, { dtype: "int32", shape: [] });
  const used = new Set<string>();
  const parameter = (name: string, shape: readonly number[]) => {
    used.add(name);
    return graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
  };
  const loss = options.loss({
    graph,
    training: true,
    typicalSizes: options.typicalSizes ?? {},
    parameter,
    ...(options.adapt === undefined ? {} : { adapt: options.adapt(seed) }),
  });
  graph.output("loss", loss);

  const unknown = [...trainable].filter((name) => !specs.has(name));
  if (unknown.length > 0) {
    throw new ConfigError({
      where: "trainable",
      what: `not among the ${parameters.length} parameters of the model`,
      got: listed(unknown),
    });
  }
  const trained = parameters.filter(({ name }) => trainable.has(name));
  if (trained.length === 0) {
    throw new ConfigError({ what: "nothing is trainable", hint: "attach an adapter, or unfreeze some parameters" });
  }
  const values = trained.map(({ name, shape }) => parameter(name, shape));
  let gradients = grad(loss, values);
  if (maxGradNorm !== undefined) {
    const norm = globalNorm(gradients);
    graph.output("grad_norm", norm);
    gradients = clipByNorm(gradients, norm, maxGradNorm);
  }
  const scalars = Object.fromEntries(
    optimizer.scalars.map((name) => [name, graph.feed(SCALAR_FEED + name, { dtype: "float32", shape: [] })]),
  );
  const slots: { name: string; shape: readonly number[] }[] = [];
  trained.forEach(({ name, shape }, i) =>
    graph.scope(`optimizer.${name}`, () => {
      const states = Object.fromEntries(
        optimizer.slots.map((slot) => {
          const state = slotName(name, slot);
          slots.push({ name: state, shape });
          return [slot, graph.state(state, { dtype: "float32", shape: values[i]!.type.shape.map((d) => dim(d)) })];
        }),
      );
      const next = optimizer.update({ parameter: values[i]!, gradient: gradients[i]!, slots: states, scalars });
      graph.update(values[i]!, next.parameter);
      for (const slot of optimizer.slots) graph.update(states[slot]!, next.slots[slot]!);
    }),
  );
  const frozen = [...used].filter((name) => !trainable.has(name) && specs.has(name));
  return { graph, slots, frozen };
}

/** Name of an optimizer's state for a parameter. */
export function slotName(parameter: string, slot: string): string {
  return `optimizer/${parameter}/${slot}`;
}
