/** Convolutions and both derivatives against PyTorch's numbers: golden/make/conv.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { grad } from "../../../src/ir/grad.ts";
import { Graph } from "../../../src/ir/graph.ts";
import { ndarray } from "../../../src/ir/ndarray.ts";
import { conv, type ConvOptions } from "../../../src/ir/ops/conv.ts";
import { shapeOf } from "../../../src/ir/shape.ts";
import { interpret } from "../../../src/runtime/interp.ts";

interface Golden {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Case extends Record<"x" | "w" | "y" | "dY" | "dX" | "dW", Golden> {
  readonly name: string;
  readonly options: ConvOptions;
}

const file = new URL("../../../../golden/conv.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: readonly Case[] };

for (const { name, options, x, w, y, dY, dX, dW } of cases) {
  test(`conv as in PyTorch: ${name}`, () => {
    const graph = new Graph();
    const feed = (key: string, { shape }: Golden) => graph.feed(key, { dtype: "float32", shape: shapeOf(shape) });
    const [images, filters] = [feed("x", x), feed("w", w)];
    const result = conv(images, filters, options);
    const [dImages, dFilters] = grad(result, [images, filters], feed("dY", dY));
    graph.output("y", result);
    graph.output("dX", dImages!);
    graph.output("dW", dFilters!);
    const toArray = ({ shape, data }: Golden) => ndarray(shape, data);
    const { outputs } = interpret(graph, { x: toArray(x), w: toArray(w), dY: toArray(dY) });
    // All numbers are small multiples of 1/64: exact in float64, in whatever order they are added.
    for (const [key, expected] of Object.entries({ y, dX, dW })) {
      assert.deepEqual(outputs[key]!.shape, expected.shape, key);
      assert.deepEqual([...outputs[key]!.data], expected.data, key);
    }
  });
}
