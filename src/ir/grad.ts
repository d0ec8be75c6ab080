/**
 * Reverse-mode differentiation: adds to a graph the nodes that compute dL/d(x).
 *
 * Nodes are visited from the loss backwards, only those that lie between a wanted input and the loss; each calls its
 * operation's `vjp`. Nothing is built for inputs that need no derivative, so that frozen weights cost nothing and
 * nothing is built below the lowest trainable. Broadcasting is undone here, once, for all rules.
 *
 * Values of a checkpointed region are computed again from the region's inputs when the backward pass reaches it, and not
 * before: the recomputation depends on the cotangent that arrives.
 */
import { GraphError } from "../errors.ts";
import { type Graph, type Node, reachable, type Value } from "./graph.ts";
import { after } from "./ops/after.ts";
import { add } from "./ops/add.ts";
import { scalar } from "./ops/constant.ts";
import { expand } from "./ops/expand.ts";
import { reduceSum } from "./ops/reduce-sum.ts";
import { reshape } from "./ops/reshape.ts";
import { printType } from "./print.ts";
import { isOne, printShape, sameShape, type Shape } from "./shape.ts";
import { isFloat } from "./dtype.ts";

/**
 * dL/dx for each x in `wanted`, shaped like x.
 *
 * @param loss a scalar; or any value, with `seed` as dL/d(loss)
 * @param stops values that count as constants of what computes them: no derivative flows past them
 * @throws GraphError if the loss is no scalar and has no seed of its type, does not depend on a wanted value, or depends
 *   on it through an operation that has no derivative
 */
export function grad(loss: Value, wanted: readonly Value[], seed?: Value, stops: readonly Value[] = []): Value[] {
  const graph = loss.graph;
  if (seed === undefined && loss.type.shape.length > 0) {
    throw new GraphError({
      where: loss.name,
      what: "only a scalar can be differentiated without a seed",
      got: printShape(loss.type.shape),
    });
  }
  if (seed !== undefined && (!sameShape(seed.type.shape, loss.type.shape) || seed.type.dtype !== loss.type.dtype)) {
    throw new GraphError({
      where: loss.name,
      what: "the seed has another type than what is differentiated",
      got: printType(seed.type),
      expected: printType(loss.type),
    });
  }
  const path = reachable(graph, [loss], stops);
  const active = dependents(path, wanted);
  const cotangents = new Map<Value, Value>();
  const again = new Recomputation(graph);
  const accumulate = (value: Value, cotangent: Value) => {
    const shaped = sumTo(cotangent, value.type.shape);
    const sum = cotangents.get(value);
    cotangents.set(value, sum === undefined ? shaped : add(sum, shaped));
  };
  accumulate(loss, seed ?? graph.scope("backward", () => scalar(graph, 1, loss.type.dtype)));

  for (const node of path.reverse()) {
    const needs = node.inputs.map((input) => active.has(input));
    const incoming = node.outputs.map((output) => cotangents.get(output));
    const first = incoming.find((cotangent) => cotangent !== undefined);
    if (first === undefined || !needs.includes(true) || node.op.vjp === "zero") continue;
    if (node.op.vjp === "unsupported") {
      throw new GraphError({ where: node.outputs[0]!.name, what: `operation "${node.op.name}" has no derivative` });
    }
    const vjp = node.op.vjp;
    const rule = () =>
      vjp({
        inputs: again.values(node, node.inputs, first),
        outputs: again.values(node, node.outputs, first),
        cotangents: incoming,
        needs,
        attrs: node.attrs,
      });
    graph.scope("backward", () =>
      graph.scope(node.scope, () => {
        rule().forEach((cotangent, i) => {
          if (cotangent !== undefined && needs[i]) accumulate(node.inputs[i]!, cotangent);
        });
      }),
    );
  }
  return wanted.map((value) => {
    const cotangent = cotangents.get(value);
    if (cotangent === undefined) {
      throw new GraphError({
        where: value.name,
        what: "the loss does not depend on it",
        hint: "a trainable that has no effect would never move: is the layer that it adapts part of the model?",
      });
    }
    return cotangent;
  });
}

/** Values through which a derivative flows: the wanted ones and whatever depends on them. */
function dependents(path: readonly Node[], wanted: readonly Value[]): Set<Value> {
  const active = new Set(wanted);
  for (const node of path) {
    if (node.op.vjp === "zero" || !node.inputs.some((input) => active.has(input))) continue;
    for (const output of node.outputs) if (isFloat(output.type.dtype)) active.add(output);
  }
  return active;
}

/** Sums `x` over the axes along which `shape` had been stretched to x's shape. */
export function sumTo(x: Value, shape: Shape): Value {
  if (sameShape(x.type.shape, shape)) return x;
  const extra = x.type.shape.length - shape.length;
  if (extra < 0) return expand(x, shape);
  const axes = x.type.shape.flatMap((d, i) => (i < extra || (isOne(shape[i - extra]!) && !isOne(d)) ? [i] : []));
  return reshape(reduceSum(x, axes, true), shape);
}

/** Second computations of checkpointed regions. */
class Recomputation {
  readonly #graph: Graph;
  readonly #copies = new Map<Value, Value>();
  /** Inputs of a region, held back until its backward pass begins. */
  readonly #held = new Map<string, Value>();
  /** Recomputed and held values that wait for the backward pass. Not among them: constants. */
  readonly #late = new Set<Value>();

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /** `values` of `node`, or their recomputed copies if they are inner values of its region. */
  values(node: Node, values: readonly Value[], cotangent: Value): Value[] {
    const region = node.region;
    if (region === undefined) return [...values];
    return this.#graph.recompute(region, () => values.map((value) => this.#copy(value, region, cotangent)));
  }

  #copy(value: Value, region: number, cotangent: Value): Value {
    const node = value.producer;
    if (node?.region !== region) return value;
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    const inputs = node.inputs.map((input) => this.#copy(input, region, cotangent));
    // The engine computes what it can as early as it can: one input that comes late is enough to stop it.
    const at = inputs.some((input) => this.#late.has(input)) ? -1 : cheapest(inputs);
    if (at >= 0) inputs[at] = this.#hold(inputs[at]!, region, cotangent);
    const outputs = this.#graph.scope("recompute", () =>
      this.#graph.scope(node.scope, () => this.#graph.apply(node.op, inputs, node.attrs)),
    );
    node.outputs.forEach((output, i) => {
      this.#copies.set(output, outputs[i]!);
      if (inputs.some((input) => this.#late.has(input))) this.#late.add(outputs[i]!);
    });
    return this.#copies.get(value)!;
  }

  #hold(input: Value, region: number, cotangent: Value): Value {
    const key = `${region}:${input.id}`;
    const held = this.#held.get(key) ?? after(input, cotangent);
    this.#held.set(key, held);
    this.#late.add(held);
    return held;
  }
}

/**
 * Index of the input that costs least to hold back, which is a copy of it; -1 if all are constants. Vectors, such as
 * biases, cost nothing; values of the model are likely to be shared by several readers, weights are not.
 */
function cheapest(inputs: readonly Value[]): number {
  const cost = (input: Value) => {
    const { type, producer, graph } = input;
    const { shape } = type;
    if (producer?.op.name === "constant") return Infinity;
    if (shape.length === 0) return 0;
    if (shape.length === 1 && shape[0]!.size !== undefined) return 1;
    return graph.inputs.some(({ kind, value }) => kind === "state" && value === input) ? 3 : 2;
  };
  const costs = inputs.map(cost);
  const least = Math.min(Infinity, ...costs);
  return least === Infinity ? -1 : costs.indexOf(least);
}
