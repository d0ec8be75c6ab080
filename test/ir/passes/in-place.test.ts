/** States are written over their old contents only when everything that reads those has run. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { grad } from "../../../src/ir/grad.ts";
import { Graph, reachable, type Value } from "../../../src/ir/graph.ts";
import type { DType } from "../../../src/ir/dtype.ts";
import { add } from "../../../src/ir/ops/add.ts";
import { scalar } from "../../../src/ir/ops/constant.ts";
import { greater } from "../../../src/ir/ops/greater.ts";
import { matmul } from "../../../src/ir/ops/matmul.ts";
import { mul } from "../../../src/ir/ops/mul.ts";
import { reduceSum } from "../../../src/ir/ops/reduce-sum.ts";
import { reshape } from "../../../src/ir/ops/reshape.ts";
import { sub } from "../../../src/ir/ops/sub.ts";
import { tanh } from "../../../src/ir/ops/tanh.ts";
import { transpose } from "../../../src/ir/ops/transpose.ts";
import { orderInPlace } from "../../../src/ir/passes/in-place.ts";
import { shapeOf, sizesOf } from "../../../src/ir/shape.ts";
import { interpDevice } from "../../../src/runtime/interp.ts";
import { ortDevice } from "../../../src/runtime/node/device-node.ts";
import type { Device, Tensor } from "../../../src/runtime/runtime.ts";
import { assertClose } from "../../support/close.ts";
import { noise, runGraph } from "../../support/run.ts";
import { unsafeReads } from "../../support/unsafe-reads.ts";

const N = 40;

interface Case {
  readonly name: string;
  /** Adds states, feeds, outputs and updates. */
  readonly build: (graph: Graph) => void;
}

function state(graph: Graph, name: string, shape: readonly number[] = [N, N], dtype: DType = "float32"): Value {
  return graph.state(name, { dtype, shape: shapeOf(shape) });
}

const CASES: readonly Case[] = [
  {
    name: "the backward product of a layer with the weight that its own gradient changes",
    build(graph) {
      const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", N]) });
      const [w1, w2] = [state(graph, "w1"), state(graph, "w2")];
      const y = matmul(tanh(matmul(x, w1)), w2);
      const gradients = grad(reduceSum(mul(y, y)), [w1, w2]);
      const lr = graph.feed("lr", { dtype: "float32", shape: [] });
      [w1, w2].forEach((w, i) => graph.update(w, sub(w, mul(gradients[i]!, lr))));
    },
  },
  {
    name: "nothing on the way to the write is a scalar",
    build(graph) {
      const [a, b] = [state(graph, "a"), state(graph, "b")];
      graph.update(a, sub(a, b));
      graph.output("y", matmul(a, a));
    },
  },
  {
    name: "two states change places",
    build(graph) {
      const [a, b] = [state(graph, "a"), state(graph, "b")];
      graph.update(a, b);
      graph.update(b, a);
    },
  },
  {
    name: "each of three states takes what is made of the next",
    build(graph) {
      const states = ["a", "b", "c"].map((name) => state(graph, name));
      states.forEach((w, i) => graph.update(w, mul(states[(i + 1) % 3]!, scalar(graph, 0.5))));
    },
  },
  {
    name: "the old contents are read together with the new ones",
    build(graph) {
      const a = state(graph, "a");
      const next = mul(a, scalar(graph, 0.5));
      graph.update(a, next);
      graph.output("change", reduceSum(mul(sub(next, a), a)));
    },
  },
  {
    name: "the old contents are a result",
    build(graph) {
      const a = state(graph, "a");
      graph.update(a, mul(a, scalar(graph, 0.5)));
      graph.output("old", a);
      graph.output("old, transposed", transpose(a, [1, 0]));
      graph.output("old, flat", reshape(a, [-1]));
    },
  },
  {
    name: "the old contents are read through a view",
    build(graph) {
      const x = graph.feed("x", { dtype: "float32", shape: shapeOf(["B", N * N]) });
      const a = state(graph, "a");
      const flat = reshape(a, [-1]);
      graph.update(a, mul(a, scalar(graph, 0.5)));
      graph.output("y", mul(tanh(tanh(tanh(x))), flat));
      graph.output("z", matmul(tanh(tanh(reshape(x, ["B", N, N]))), transpose(a, [1, 0])));
    },
  },
  {
    name: "the write reads the state in another order than it writes",
    build(graph) {
      const [a, b] = [state(graph, "a"), state(graph, "b")];
      graph.update(a, matmul(a, b));
      graph.update(b, add(b, transpose(b, [1, 0])));
    },
  },
  {
    name: "the write stretches the state",
    build(graph) {
      const row = state(graph, "row", [1, N]);
      graph.update(row, reduceSum(mul(row, state(graph, "a")), [0], true));
      graph.output("sum", reduceSum(row));
    },
  },
  {
    name: "one value is the new contents of two states",
    build(graph) {
      const [a, b] = [state(graph, "a"), state(graph, "b")];
      const next = add(a, b);
      graph.update(a, next);
      graph.update(b, next);
      graph.output("y", matmul(b, a));
    },
  },
  {
    name: "a constant, a feed and the state itself as new contents",
    build(graph) {
      const [a, b, c] = [state(graph, "a", [2]), state(graph, "b", [2]), state(graph, "c", [2])];
      graph.output("sum", reduceSum(add(add(a, b), c)));
      graph.update(a, graph.feed("x", a.type));
      graph.update(b, mul(scalar(graph, 3), add(scalar(graph, 1), sub(b, b))));
      graph.update(c, c);
    },
  },
  {
    name: "waits that would go round in a circle",
    build(graph) {
      const [a, b] = [state(graph, "a"), state(graph, "b")];
      const half = scalar(graph, 0.5);
      const [nextA, nextB] = [mul(tanh(a), half), mul(tanh(b), half)];
      graph.update(a, nextA);
      graph.update(b, nextB);
      // Each old state is read by what is computed from the other's new contents.
      graph.output("y", matmul(a, nextB));
      graph.output("z", matmul(b, nextA));
    },
  },
  {
    name: "whole numbers and flags",
    build(graph) {
      const steps = state(graph, "steps", [3], "int64");
      graph.output("flags", greater(steps, scalar(graph, 1, "int64")));
      graph.update(steps, add(steps, scalar(graph, 1, "int64")));
    },
  },
];

describe("order of writes", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 2 });
  });
  after(() => device.dispose());

  for (const { name, build } of CASES) {
    test(name, async () => {
      const graph = new Graph();
      build(graph);
      assert.notDeepEqual(unsafeReads(graph), [], "before the pass");
      assert.deepEqual(unsafeReads(orderInPlace(graph)), [], "after the pass");

      const tensors = (kind: "feed" | "state") =>
        Object.fromEntries(
          graph.inputs.flatMap(({ kind: is, value: { name: key, type } }, i): [string, Tensor][] => {
            const shape = sizesOf(type.shape, { B: 3 });
            if (is !== kind) return [];
            if (type.dtype === "int64") return [[key, { dtype: "int64", shape, data: BigInt64Array.of(0n, 1n, 5n) }]];
            const { data } = noise(shape, i);
            return [[key, { dtype: "float32", shape, data: (data as Float32Array).map((v) => v / 4) }]];
          }),
        );
      const feeds = [tensors("feed"), tensors("feed"), tensors("feed")];
      const wanted = await runGraph(interpDevice(), graph, tensors("state"), feeds);
      const got = await runGraph(device, graph, tensors("state"), feeds);
      // float32 against float64 over products of length 40, three times.
      const allowed = { ofLargest: 1e-5, absolute: 1e-7 };
      wanted.results.forEach((results, run) => {
        for (const [key, { data }] of Object.entries(results)) {
          assertClose(got.results[run]![key]!.data, data, allowed, `run ${run}: ${key}`);
        }
      });
      for (const [key, { data }] of Object.entries(wanted.states)) {
        assertClose(got.states[key]!.data, data, allowed, key);
      }
    });
  }
});

test("a wait costs a scalar, not a copy of the state", () => {
  const graph = new Graph();
  CASES[0]!.build(graph);
  const ordered = orderInPlace(graph);
  const waits = ordered.nodes.filter(({ op }) => op.name === "after");
  assert.equal(waits.length, 1);
  assert.deepEqual(waits[0]!.outputs[0]!.type.shape, []);
  // And the write itself is the subtraction.
  assert.deepEqual(
    [...ordered.updates.values()].map(({ producer }) => producer!.op.name),
    ["sub", "sub"],
  );
});

test("states that need no order get none", () => {
  const graph = new Graph();
  const [a, b] = [state(graph, "a"), state(graph, "b")];
  graph.update(a, mul(tanh(a), scalar(graph, 0.5)));
  graph.output("y", matmul(b, b));
  const ordered = orderInPlace(graph);
  assert.equal(reachable(ordered, [...ordered.outputs.values(), ...ordered.updates.values()]).length, 4);
});
