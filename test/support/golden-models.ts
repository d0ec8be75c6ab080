/** The models of golden/make/models.py, traced: each function adds one to a graph and returns its loss. */
import { readFileSync } from "node:fs";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { add } from "../../src/ir/ops/add.ts";
import { avgPool } from "../../src/ir/ops/avg-pool.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { gather } from "../../src/ir/ops/gather.ts";
import { gelu } from "../../src/ir/ops/gelu.ts";
import { layerNormalization } from "../../src/ir/ops/layer-normalization.ts";
import { matmul } from "../../src/ir/ops/matmul.ts";
import { maxPool } from "../../src/ir/ops/max-pool.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceMean } from "../../src/ir/ops/reduce-mean.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { relu } from "../../src/ir/ops/relu.ts";
import { reshape } from "../../src/ir/ops/reshape.ts";
import { silu } from "../../src/ir/ops/silu.ts";
import { softmaxCrossEntropy } from "../../src/ir/ops/softmax-cross-entropy.ts";
import { sub } from "../../src/ir/ops/sub.ts";
import { transpose } from "../../src/ir/ops/transpose.ts";
import { type DimLike, shapeOf } from "../../src/ir/shape.ts";
import { attention } from "../../src/nn/attention.ts";
import { conv2d } from "../../src/nn/conv2d.ts";
import { linear } from "../../src/nn/linear.ts";
import { mlp } from "../../src/models/mlp.ts";
import type { Tracing } from "../../src/nn/module.ts";
import type { Tensor } from "../../src/runtime/runtime.ts";

interface Golden {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export interface GoldenModel {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Golden>>;
  readonly parameters: Readonly<Record<string, Golden & { readonly gradient: readonly number[] }>>;
  readonly loss: number;
}

const file = new URL("../../../golden/models.json", import.meta.url);
export const GOLDEN_MODELS = (JSON.parse(readFileSync(file, "utf8")) as { cases: readonly GoldenModel[] }).cases;

interface Traced {
  readonly graph: Graph;
  readonly loss: Value;
  /** By name. */
  readonly parameters: ReadonlyMap<string, Value>;
}

type Trace = (tracing: Tracing, input: (name: string) => Value) => Value;

const TRACES: Readonly<Record<string, Trace>> = {
  mlp: (tracing, input) =>
    reduceMean(softmaxCrossEntropy(mlp([5, 7, 4, 3]).forward(tracing, { x: input("x") }), input("labels"))),

  conv_net(tracing, input) {
    const first = conv2d("conv1", 2, 4, [3, 2], { strides: [2, 1], pads: [1, 1, 1, 1] });
    const second = conv2d("conv2", 4, 6, [2, 3], { groups: 2 });
    const pooled = avgPool(relu(first.forward(tracing, input("x"))), [2, 2], { strides: [1, 2] });
    const h = maxPool(gelu(second.forward(tracing, pooled)), [2, 1]);
    const flat = reshape(h, [h.type.shape[0]!, -1]);
    const logits = linear("fc", flat.type.shape[1]!.size!, 5).forward(tracing, flat);
    return reduceMean(softmaxCrossEntropy(logits, input("labels")));
  },

  attention_block(tracing, input) {
    const [B, T, D, H, Dh] = [input("x").type.shape[0]!, input("x").type.shape[1]!, 7, 3, 4];
    const x = input("x");
    const apply = (name: string, value: Value, out: number) =>
      linear(name, value.type.shape.at(-1)!.size!, out).forward(tracing, value);
    const h = layerNorm(tracing, "ln1", x);
    const [q, k, v] = ["q", "k", "v"].map((name) =>
      transpose(reshape(apply(name, h, H * Dh), [B, T, H, Dh]), [0, 2, 1, 3]),
    );
    const a = transpose(attention(q!, k!, v!, { mask: "causal" }), [0, 2, 1, 3]);
    const attended = add(x, apply("o", reshape(a, [B, T, H * Dh]), D));
    const up = gelu(apply("up", layerNorm(tracing, "ln2", attended), 9), { approximate: "tanh" });
    const error = sub(add(attended, apply("down", up, D)), input("target"));
    return reduceMean(mul(error, error));
  },

  tied_embeddings(tracing, input) {
    const [V, D] = [11, 6];
    const table = tracing.parameter("embedding.weight", [V, D]);
    const embedded = gather(table, input("tokens"));
    const h = layerNorm(tracing, "ln", add(embedded, tracing.parameter("positions.weight", [4, D])));
    const hidden = silu(linear("fc", D, D).forward(tracing, h));
    const logits = matmul(reshape(hidden, [-1, D]), table, { transB: true });
    // 10 of the 12 labels count.
    const rows = softmaxCrossEntropy(logits, reshape(input("labels"), [-1]));
    return mul(reduceSum(rows), scalar(tracing.graph, 1 / 10));
  },
};

/**
 * @param sizes what to call dimensions: for an input, its shape with names in place of some sizes
 */
export function traceGolden(golden: GoldenModel, sizes: Readonly<Record<string, readonly DimLike[]>> = {}): Traced {
  const graph = new Graph();
  const parameters = new Map<string, Value>();
  const inputs = new Map<string, Value>();
  const parameter = (name: string, shape: readonly number[]) => {
    const value = graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    parameters.set(name, value);
    return value;
  };
  const input = (name: string) => {
    const known = inputs.get(name);
    if (known !== undefined) return known;
    const shape = shapeOf(sizes[name] ?? golden.inputs[name]!.shape);
    const value = graph.feed(name, { dtype: isIndex(name) ? "int32" : "float32", shape });
    inputs.set(name, value);
    return value;
  };
  const tracing: Tracing = { graph, training: true, typicalSizes: {}, parameter };
  return { graph, loss: TRACES[golden.name]!(tracing, input), parameters };
}

/** Inputs and parameters, for the interpreter. */
export function goldenArrays({ inputs, parameters }: GoldenModel): Record<string, NdArray> {
  return Object.fromEntries(
    Object.entries({ ...inputs, ...parameters }).map(([name, { shape, data }]) => [name, ndarray(shape, data)]),
  );
}

/** Inputs and parameters, for a device. */
export function goldenTensors({ inputs, parameters }: GoldenModel): {
  feeds: Record<string, Tensor>;
  states: Record<string, Tensor>;
} {
  const tensors = (from: Readonly<Record<string, Golden>>) =>
    Object.fromEntries(Object.entries(from).map(([name, golden]) => [name, tensorOf(name, golden)]));
  return { feeds: tensors(inputs), states: tensors(parameters) };
}

function tensorOf(name: string, { shape, data }: Golden): Tensor {
  return isIndex(name)
    ? { dtype: "int32", shape, data: Int32Array.from(data) }
    : { dtype: "float32", shape, data: Float32Array.from(data) };
}

function isIndex(name: string): boolean {
  return name === "labels" || name === "tokens";
}

function layerNorm(tracing: Tracing, name: string, x: Value): Value {
  const width = x.type.shape.at(-1)!.size!;
  return layerNormalization(
    x,
    tracing.parameter(`${name}.weight`, [width]),
    tracing.parameter(`${name}.bias`, [width]),
  );
}
