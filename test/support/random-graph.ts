/** Random graphs of simple operations, the same for the same seed: what passes are tried on. */
import { Graph, type Value } from "../../src/ir/graph.ts";
import { add } from "../../src/ir/ops/add.ts";
import { concat } from "../../src/ir/ops/concat.ts";
import { constant } from "../../src/ir/ops/constant.ts";
import { expand } from "../../src/ir/ops/expand.ts";
import { greater } from "../../src/ir/ops/greater.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { maximum } from "../../src/ir/ops/maximum.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { neg } from "../../src/ir/ops/neg.ts";
import { reduceMean } from "../../src/ir/ops/reduce-mean.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { sigmoid } from "../../src/ir/ops/sigmoid.ts";
import { slice } from "../../src/ir/ops/slice.ts";
import { softmax } from "../../src/ir/ops/softmax.ts";
import { sub } from "../../src/ir/ops/sub.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { transpose } from "../../src/ir/ops/transpose.ts";
import { where } from "../../src/ir/ops/where.ts";
import { sameShape, type Shape, shapeOf, sizesOf } from "../../src/ir/shape.ts";
import type { Tensor } from "../../src/runtime/runtime.ts";
import { Random } from "../../src/random.ts";
import { noise } from "./run.ts";

export interface RandomGraph {
  readonly graph: Graph;
  readonly states: Readonly<Record<string, Tensor>>;
  /** Of two runs. */
  readonly feeds: readonly Readonly<Record<string, Tensor>>[];
}

const SHAPES = [[], [3], [2, 3], [3, 2], [3, 3], [2, 1], [1, 3], [2, 3, 2], ["B", 3], ["B", 2], [3, "B"]] as const;
const BATCH = 4;

export interface RandomGraphOptions {
  readonly nodes: number;
  /** Whether states get new contents, some of them those of each other. */
  readonly updates: boolean;
}

export function randomGraph(seed: number, { nodes, updates }: RandomGraphOptions): RandomGraph {
  const random = new Random(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.uniform() * from.length)]!;
  const graph = new Graph();
  const values: Value[] = [];
  const states: Record<string, Tensor> = {};
  const feeds: Record<string, Tensor>[] = [{}, {}];

  // Every name of a size is seen in some feed.
  const inputs = [["B", 3], ...Array.from({ length: 7 }, () => pick(SHAPES))] as (readonly (number | string)[])[];
  inputs.forEach((dims, i) => {
    const shape = shapeOf(dims);
    const sizes = sizesOf(shape, { B: BATCH });
    const isState = !dims.includes("B") && i % 3 !== 0;
    const name = `${isState ? "w" : "x"}${i}`;
    if (isState) states[name] = noise(sizes, seed + i);
    else feeds.forEach((feed, run) => (feed[name] = noise(sizes, seed + i + 1000 * (run + 1))));
    values.push(graph[isState ? "state" : "feed"](name, { dtype: "float32", shape }));
  });

  const sameShaped = (x: Value) => pick(values.filter(({ type }) => sameShape(type.shape, x.type.shape)));
  const broadcastable = (x: Value) => pick(values.filter(({ type: { shape } }) => broadcasts(x.type.shape, shape)));
  const matrix = () => pick(values.filter(({ type }) => type.shape.length === 2));
  const step = (): Value | undefined => {
    const x = pick(values);
    const { shape } = x.type;
    const rank = shape.length;
    switch (Math.floor(random.uniform() * 18)) {
      case 0:
        return add(x, broadcastable(x));
      case 1:
        return sub(broadcastable(x), x);
      case 2:
        return mul(x, broadcastable(x));
      case 3:
        return pick([neg, tanh, sigmoid])(x);
      case 4:
        return maximum(x, broadcastable(x));
      case 5:
      case 6:
      case 7:
      case 8:
        return product(matrix(), values, random);
      case 9:
        return rank === 0 ? undefined : reduceSum(x, [Math.floor(random.uniform() * rank)], random.uniform() < 0.5);
      case 10:
        return reduceMean(x);
      case 11:
        return rank === 2 ? transpose(x, [1, 0]) : undefined;
      case 12:
        return reshape(x, [-1]);
      case 13:
        return expand(constant(graph, "float32", [], [random.uniform()]), shape);
      case 14:
        return constant(graph, "float32", [3], [1, -2, random.uniform()]);
      case 15:
        return rank === 0 ? undefined : softmax(x, -1);
      case 16:
        return where(greater(x, broadcastable(x)), x, sameShaped(x));
      default:
        return rank === 0 ? undefined : concat([slice(x, 0, 0, 1), x], 0);
    }
  };
  while (graph.nodes.length < nodes) {
    const made = step();
    // Kept small: sizes in the hundreds and numbers near 1.
    if (made === undefined || sizesOf(made.type.shape, { B: BATCH }).reduce((a, b) => a * b, 1) > 200) continue;
    values.push(random.uniform() < 0.3 ? tanh(made) : made);
  }

  // Results are bounded, so that differences can be told from rounding.
  for (let i = 0; i < 3; i++) graph.output(`y${i}`, pick([tanh, (x: Value) => x])(pick(values)));
  if (updates) {
    for (const { kind, value } of graph.inputs) {
      if (kind === "state" && random.uniform() < 0.8) graph.update(value, sameShaped(value));
    }
  }
  return { graph, states, feeds };
}

/** Whether y can be used beside x, and the result has at most the rank of both. */
function broadcasts(x: Shape, y: Shape): boolean {
  const rank = Math.max(x.length, y.length);
  for (let i = 1; i <= rank; i++) {
    const [a, b] = [x.at(-i), y.at(-i)];
    const fits = i > x.length || i > y.length || a!.size === 1 || b!.size === 1 || sameShape([a!], [b!]);
    if (!fits) return false;
  }
  return true;
}

function product(a: Value, values: readonly Value[], random: Random): Value | undefined {
  const transA = random.uniform() < 0.5;
  const inner = a.type.shape[transA ? 0 : 1]!;
  const fits = values.flatMap((b) =>
    b.type.shape.length === 2
      ? [false, true].flatMap((transB) => (sameShape([b.type.shape[transB ? 1 : 0]!], [inner]) ? [{ b, transB }] : []))
      : [],
  );
  const found = fits[Math.floor(random.uniform() * fits.length)];
  return found === undefined ? undefined : matmul(a, found.b, { transA, transB: found.transB });
}
