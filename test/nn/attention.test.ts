/** Attention and its derivatives against PyTorch's scaled_dot_product_attention: golden/make/attention.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { ShapeError } from "../../src/errors.ts";
import type { DType } from "../../src/ir/dtype.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import { type DimLike, printShape, shapeOf } from "../../src/ir/shape.ts";
import { attention, type AttentionOptions, causalMask } from "../../src/nn/attention.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Tensor } from "../../src/runtime/runtime.ts";

interface Golden {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Case extends Record<"q" | "k" | "v" | "y" | "dY" | "dQ" | "dK" | "dV", Golden> {
  readonly name: string;
  readonly scale: number | null;
  readonly mask: "causal" | "bool" | "float" | null;
  readonly maskValues?: Golden;
}

const file = new URL("../../../golden/attention.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: readonly Case[] };

for (const golden of cases) {
  test(`attention as in PyTorch: ${golden.name}`, () => {
    const { graph, feeds } = traced(golden, golden.q.shape, golden.k.shape);
    const arrays = Object.fromEntries(
      Object.entries(feeds).map(([key, { shape, data }]) => [key, ndarray(shape, data)]),
    );
    const { outputs } = interpret(graph, arrays);
    // The file has 14 decimals.
    for (const key of ["y", "dQ", "dK", "dV"] as const) expectClose(outputs[key]!, golden[key], 1e-12, key);
  });
}

test("attention on the engine, over sizes that are known when it runs", async () => {
  const device = await ortDevice();
  for (const golden of cases) {
    const [, H, , Dh] = golden.q.shape;
    const Hkv = golden.k.shape[1]!;
    // Cached tokens P come before the new ones, so that the mask knows where the queries stand.
    const [T, S] = golden.mask === "causal" && golden.q.shape[2] !== golden.k.shape[2] ? ["T", "P+T"] : ["T", "S"];
    const square = golden.q.shape[2] === golden.k.shape[2] && golden.mask === "causal";
    const { graph, feeds } = traced(golden, ["B", H!, T, Dh!], ["B", Hkv, square ? T : S, Dh!]);
    const cached = golden.k.shape[2]! - golden.q.shape[2]!;
    if (S === "P+T") graph.output("P", graph.feed("cached", { dtype: "float32", shape: shapeOf(["P"]) }));
    const extra: Record<string, Tensor> =
      S === "P+T" ? { cached: float32({ shape: [cached], data: Array(cached).fill(0) }) } : {};
    const executable = await device.compile(graph);
    const given = Object.fromEntries(
      Object.entries(feeds).map(([key, value]) => [
        key,
        key === "mask" && golden.mask === "bool" ? bool(value) : float32(value),
      ]),
    );
    const outputs = await executable.run({ ...given, ...extra });
    for (const key of ["y", "dQ", "dK", "dV"] as const) {
      // float32 against float64: sums of at most 30 products of numbers around 1.
      const { shape, data } = outputs[key]!;
      expectClose({ shape, data: Array.from(data as Float32Array) }, golden[key], 5e-6, `${golden.name}: ${key}`);
    }
    await executable.dispose();
  }
  await device.dispose();
});

test("grouped heads read keys and values where they lie", () => {
  const graph = new Graph();
  const feed = (name: string, shape: readonly DimLike[]) =>
    graph.feed(name, { dtype: "float32", shape: shapeOf(shape) });
  const [q, k, v] = [feed("q", [2, 6, 4, 3]), feed("k", [2, 2, 5, 3]), feed("v", [2, 2, 5, 3])];
  const y = attention(q, k, v);
  grad(y, [q, k, v], feed("dY", [2, 6, 4, 3]));
  const names = graph.nodes.map((node) => node.op.name);
  const shapes = graph.nodes.filter((node) => node.op.name === "expand").map((node) => node.outputs[0]!.type.shape);
  // But for a column of ones beside the values.
  assert.ok(
    shapes.every((shape) => shape[3]!.size === 1),
    shapes.map(printShape).join(),
  );
  // Sums over heads would be the price of repeated keys; the one sum is over the width of the head.
  assert.ok(names.filter((name) => name === "reduceSum").length <= 1, names.join());
});

test("a query that sees no key gets the mean of the values, and finite derivatives", () => {
  const graph = new Graph();
  const feed = (name: string, shape: readonly number[], dtype: DType = "float32") =>
    graph.feed(name, { dtype, shape: shapeOf(shape) });
  const [q, k, v, mask] = [
    feed("q", [1, 1, 2, 3]),
    feed("k", [1, 1, 2, 3]),
    feed("v", [1, 1, 2, 3]),
    feed("mask", [2, 2], "bool"),
  ];
  const y = attention(q, k, v, { mask });
  graph.output("y", y);
  graph.output("dQ", grad(y, [q], feed("dY", [1, 1, 2, 3]))[0]!);
  const x = ndarray([1, 1, 2, 3], [1, 2, 3, 5, 7, 11]);
  const { outputs } = interpret(graph, { q: x, k: x, v: x, dY: x, mask: ndarray([2, 2], [0, 0, 1, 1]) });
  assert.deepEqual([...outputs["y"]!.data].slice(0, 3), [3, 4.5, 7]);
  assert.ok(outputs["dQ"]!.data.every(Number.isFinite));
});

test("causalMask: the last query stands at the last key", () => {
  const graph = new Graph();
  const P = graph.feed("P", { dtype: "float32", shape: shapeOf(["P"]) });
  const T = graph.feed("T", { dtype: "float32", shape: shapeOf(["T"]) });
  graph.output("mask", causalMask(graph, "T", "P+T"));
  const zeros = (length: number) => ndarray([length], new Float64Array(length));
  const { outputs } = interpret(graph, { [P.name]: zeros(2), [T.name]: zeros(3) });
  assert.deepEqual(outputs["mask"]!.shape, [3, 5]);
  assert.deepEqual([...outputs["mask"]!.data], [1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1]);
});

test("shapes that do not fit are named", () => {
  const graph = new Graph();
  let count = 0;
  const feed = (...shape: number[]) => graph.feed(`x${count++}`, { dtype: "float32", shape: shapeOf(shape) });
  const fails = (run: () => unknown, pattern: RegExp) =>
    assert.throws(run, (error: Error) => error instanceof ShapeError && pattern.test(error.message));
  fails(() => attention(feed(2, 5, 3, 4), feed(2, 2, 3, 4), feed(2, 2, 3, 4)), /heads do not divide.*got 5 and 2/);
  fails(() => attention(feed(2, 5, 3), feed(2, 5, 3, 4), feed(2, 5, 3, 4)), /q needs 4 axes: got \[2, 5, 3\]/);
  fails(() => attention(feed(2, 4, 3, 4), feed(2, 2, 3, 4), feed(2, 2, 6, 4)), /keys and values differ/);
  fails(() => causalMask(graph, 5, 3), /more queries than keys: got 5 queries and 3 keys/);
});

/** The graph of one case, with sizes as given, and what to feed it. */
function traced(
  golden: Case,
  qShape: readonly DimLike[],
  kShape: readonly DimLike[],
): { graph: Graph; feeds: Record<string, Golden> } {
  const graph = new Graph();
  const feed = (key: string, shape: readonly DimLike[], dtype: DType = "float32") =>
    graph.feed(key, { dtype, shape: shapeOf(shape) });
  const [q, k, v] = [feed("q", qShape), feed("k", kShape), feed("v", kShape)];
  const feeds: Record<string, Golden> = { q: golden.q, k: golden.k, v: golden.v, dY: golden.dY };
  let mask: Value | "causal" | undefined = golden.mask === "causal" ? "causal" : undefined;
  if (golden.maskValues !== undefined) {
    const { shape } = golden.maskValues;
    const sizes = shape.map((size, i) =>
      size === 1 ? 1 : i === 0 && shape.length === 4 ? qShape[0]! : i === shape.length - 1 ? kShape[2]! : qShape[2]!,
    );
    mask = feed("mask", sizes, golden.mask === "bool" ? "bool" : "float32");
    feeds["mask"] = golden.maskValues;
  }
  const options: AttentionOptions = {
    ...(golden.scale === null ? {} : { scale: golden.scale }),
    ...(mask === undefined ? {} : { mask }),
  };
  const y = attention(q, k, v, options);
  const [dQ, dK, dV] = grad(y, [q, k, v], feed("dY", qShape));
  for (const [key, value] of Object.entries({ y, dQ, dK, dV })) graph.output(key, value!);
  return { graph, feeds };
}

function float32({ shape, data }: Golden): Tensor {
  return { dtype: "float32", shape, data: Float32Array.from(data) };
}

function bool({ shape, data }: Golden): Tensor {
  return { dtype: "bool", shape, data: Uint8Array.from(data) };
}

function expectClose(
  got: { shape: readonly number[]; data: ArrayLike<number> },
  expected: Golden,
  tolerance: number,
  what: string,
): void {
  assert.deepEqual(got.shape, expected.shape, what);
  expected.data.forEach((value, i) => {
    assert.ok(Math.abs(got.data[i]! - value) <= tolerance, `${what}[${i}]: ${got.data[i]!} instead of ${value}`);
  });
}
