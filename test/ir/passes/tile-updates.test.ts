/** Updates of large states run a few rows at a time, with the same numbers. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Graph, type Value } from "../../../src/ir/graph.ts";
import { conv } from "../../../src/ir/ops/conv.ts";
import { scalar } from "../../../src/ir/ops/constant.ts";
import { gather } from "../../../src/ir/ops/gather.ts";
import type { MapRowsAttrs } from "../../../src/ir/ops/map-rows.ts";
import { matmul } from "../../../src/ir/ops/matmul.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { reduceSum } from "../../../src/ir/ops/reduce-sum.ts";
import { softmaxCrossEntropy } from "../../../src/ir/ops/softmax-cross-entropy.ts";
import { sub } from "../../../src/ir/ops/sub.ts";
import { tanh } from "../../../src/ir/ops/tanh.ts";
import { orderInPlace } from "../../../src/ir/passes/in-place.ts";
import { tileUpdates } from "../../../src/ir/passes/tile-updates.ts";
import { type DimLike, shapeOf, sizesOf } from "../../../src/ir/shape.ts";
import { zeros } from "../../../src/nn/init.ts";
import type { Tracing } from "../../../src/nn/module.ts";
import { adam, adamw } from "../../../src/optim/adam.ts";
import type { Optimizer } from "../../../src/optim/optimizer.ts";
import { sgd } from "../../../src/optim/sgd.ts";
import { interpDevice } from "../../../src/runtime/interp.ts";
import { ortDevice } from "../../../src/runtime/node/device-node.ts";
import type { Device, Feeds, Tensor } from "../../../src/runtime/runtime.ts";
import { SCALAR_FEED, trainingGraph } from "../../../src/train/training-graph.ts";
import { assertClose } from "../../support/close.ts";
import { noise, runGraph } from "../../support/run.ts";

interface Case {
  readonly name: string;
  readonly parameters: Readonly<Record<string, readonly number[]>>;
  readonly optimizer: Optimizer;
  readonly loss: (tracing: Tracing, parameters: Readonly<Record<string, Value>>) => Value;
  readonly maxGradNorm?: number;
  /** How many updates run in tiles; several of a parameter together count once. */
  readonly tiled: number;
  /** Whether the product that is the gradient is computed in the tiles. */
  readonly productInside: boolean;
}

function feed({ graph }: Tracing, name: string, shape: readonly DimLike[]): Value {
  return graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
}

const square = (x: Value) => reduceSum(mul(x, x));
/** Adam divides a gradient by its own size; with its small ε, rounding errors of gradients near 0 would decide their sign. */
const EPSILON = 0.01;
const project = (x: Value, w: Value) => tanh(matmul(x, w, { transB: true }));

const CASES: readonly Case[] = [
  {
    name: "AdamW with decay, two parameters of one shape",
    parameters: { a: [768, 520], b: [768, 520] },
    optimizer: adamw({ weightDecay: 0.1, epsilon: EPSILON }),
    loss(tracing, { a, b }) {
      const x = feed(tracing, "x", ["B", 520]);
      return square(mul(project(x, a!), project(x, b!)));
    },
    tiled: 2,
    productInside: true,
  },
  {
    name: "Adam with decay in the gradient",
    parameters: { a: [800, 512] },
    optimizer: adam({ weightDecay: 0.1, epsilon: EPSILON }),
    loss: (tracing, { a }) => square(project(feed(tracing, "x", ["B", 512]), a!)),
    tiled: 1,
    productInside: true,
  },
  {
    name: "momentum, and a gradient whose norm is needed first",
    parameters: { a: [1536, 260] },
    optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
    loss: (tracing, { a }) => square(project(feed(tracing, "x", ["B", 260]), a!)),
    maxGradNorm: 0.01,
    tiled: 1,
    productInside: false,
  },
  {
    name: "a weight that is read as it lies, so that its gradient has the transposed factors",
    parameters: { a: [640, 640] },
    optimizer: sgd(),
    loss: (tracing, { a }) => square(matmul(feed(tracing, "x", ["B", 640]), a!)),
    tiled: 1,
    productInside: true,
  },
  {
    name: "rows with few divisors",
    parameters: { a: [2 * 769, 256] },
    optimizer: sgd(),
    loss: (tracing, { a }) => square(project(feed(tracing, "x", ["B", 256]), a!)),
    tiled: 1,
    productInside: true,
  },
  {
    name: "a prime number of rows",
    parameters: { a: [1531, 260] },
    optimizer: adamw({ epsilon: EPSILON }),
    loss: (tracing, { a }) => square(project(feed(tracing, "x", ["B", 260]), a!)),
    tiled: 0,
    productInside: false,
  },
  {
    name: "few long rows, and a vector",
    parameters: { a: [4, 100_000], b: [400_000] },
    optimizer: adamw({ epsilon: EPSILON }),
    loss: (tracing, { a, b }) => mul(square(mul(feed(tracing, "x", [4, 100_000]), tanh(a!))), square(tanh(b!))),
    tiled: 2,
    productInside: false,
  },
  {
    name: "filters of a convolution",
    parameters: { a: [64, 48, 12, 12] },
    optimizer: adamw({ epsilon: EPSILON }),
    loss: (tracing, { a }) => square(mul(conv(feed(tracing, "x", [1, 48, 13, 13]), a!), scalar(tracing.graph, 0.03))),
    tiled: 1,
    productInside: false,
  },
  {
    name: "a table that is used twice",
    parameters: { table: [1600, 260] },
    optimizer: adamw({ epsilon: EPSILON }),
    loss(tracing, { table }) {
      const tokens = tracing.graph.feed("tokens", { dtype: "int32", shape: shapeOf(["B"]) });
      const labels = tracing.graph.feed("labels", { dtype: "int32", shape: shapeOf(["B"]) });
      const logits = matmul(tanh(gather(table!, tokens)), table!, { transB: true });
      return reduceSum(softmaxCrossEntropy(logits, labels));
    },
    tiled: 1,
    productInside: true,
  },
];

describe("updates in tiles", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 2 });
  });
  after(() => device.dispose());

  for (const one of CASES) {
    test(one.name, async () => {
      const parameters = Object.entries(one.parameters).map(([name, shape]) => ({ name, shape, init: zeros }));
      const { graph, slots } = trainingGraph({
        parameters,
        trainable: new Set(Object.keys(one.parameters)),
        optimizer: one.optimizer,
        loss: (tracing) =>
          one.loss(
            tracing,
            Object.fromEntries(parameters.map(({ name, shape }) => [name, tracing.parameter(name, shape)])),
          ),
        ...(one.maxGradNorm === undefined ? {} : { maxGradNorm: one.maxGradNorm }),
      });

      const tiles = tileUpdates(orderInPlace(graph)).nodes.filter(({ op }) => op.name === "mapRows");
      assert.equal(tiles.length, one.tiled, "updates in tiles");
      const bodies = tiles.map(({ attrs }) => (attrs as MapRowsAttrs).body.nodes.map(({ op }) => op.name));
      for (const names of bodies) assert.equal(names.includes("matmul"), one.productInside, names.join());
      // Everything that one parameter keeps is updated in the same tiles.
      for (const { outputs } of tiles) assert.equal(outputs.length, 1 + one.optimizer.slots.length);

      const states = Object.fromEntries([
        ...parameters.map(({ name, shape }, i): [string, Tensor] => [name, noise(shape, i)]),
        ...slots.map(({ name, shape }): [string, Tensor] => [name, { ...noise(shape, 0), data: zerosOf(shape) }]),
      ]);
      const feeds = [1, 2, 3].map((step) => feedsOf(graph, one.optimizer, step));
      const wanted = await runGraph(interpDevice(), graph, states, feeds);
      const got = await runGraph(device, graph, states, feeds);
      // float32 against float64; sums of up to 400,000 terms, three steps.
      for (const [name, { data }] of Object.entries(wanted.states)) {
        assertClose(got.states[name]!.data, data, { ofLargest: 2e-5 }, name);
      }
      wanted.results.forEach(({ loss }, i) =>
        assertClose(got.results[i]!["loss"]!.data, loss!.data, { relative: 1e-4 }, "loss"),
      );
    });
  }

  const N = 576;
  const products: Record<string, (p: Value, x: Value, y: Value) => Value> = {
    "a product whose right factor is the state itself": (p, x) => matmul(x, p),
    "a product whose right factor is the state, transposed": (p, x) => matmul(x, p, { transB: true }),
    "a product whose left factor is the state": (p, x) => matmul(p, x),
    "a product whose left factor is the state, transposed": (p, x) => matmul(p, x, { transA: true }),
    "a product of a product": (_p, x, y) => matmul(matmul(x, y), tanh(y)),
    "a product with a product": (_p, x, y) => matmul(tanh(y), matmul(x, y)),
  };
  for (const [name, change] of Object.entries(products)) {
    test(name, async () => {
      const graph = new Graph();
      const type = { dtype: "float32" as const, shape: shapeOf([N, N]) };
      const [p, x, y] = [graph.state("p", type), graph.feed("x", type), graph.feed("y", type)];
      graph.update(p, sub(p, mul(change(p, x, y), scalar(graph, 0.01))));
      const feeds = [{ x: noise([N, N], 2), y: noise([N, N], 3) }];
      const wanted = await runGraph(interpDevice(), graph, { p: noise([N, N], 1) }, feeds);
      const got = await runGraph(device, graph, { p: noise([N, N], 1) }, feeds);
      assertClose(got.states["p"]!.data, wanted.states["p"]!.data, { ofLargest: 1e-5 }, "p");
    });
  }
});

test("small states, and states of other types, are left alone", () => {
  const graph = new Graph();
  for (const [name, shape, dtype] of [
    ["small", [511, 512], "float32"],
    ["wide", [512, 512], "float64"],
  ] as const) {
    const value = graph.state(name, { dtype, shape: shapeOf(shape) });
    graph.update(value, mul(value, scalar(graph, 0.5, dtype)));
  }
  const ordered = orderInPlace(graph);
  assert.equal(tileUpdates(ordered), ordered);
});

function zerosOf(shape: readonly number[]): Float32Array {
  return new Float32Array(shape.reduce((a, b) => a * b, 1));
}

function feedsOf(graph: Graph, optimizer: Optimizer, step: number): Feeds {
  const scalars = optimizer.scalarsAt(step, 0.01);
  return Object.fromEntries(
    graph.inputs.flatMap(({ kind, value: { name, type } }, i): [string, Tensor][] => {
      if (kind === "state") return [];
      const shape = sizesOf(type.shape, { B: 6 });
      if (name.startsWith(SCALAR_FEED)) {
        return [[name, { dtype: "float32", shape, data: Float32Array.of(scalars[name.slice(SCALAR_FEED.length)]!) }]];
      }
      if (type.dtype === "float32") return [[name, noise(shape, 100 * step + i)]];
      const data = Int32Array.from({ length: shape[0] ?? 1 }, (_, k) => (k * 7919 + step * 31) % 1600);
      return [[name, { dtype: "int32", shape, data }]];
    }),
  );
}
