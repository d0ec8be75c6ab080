/** What LoRA's paper says about its gradients, its counts and its cost, and how adapters are put on layers. */
import assert from "node:assert/strict";
import { configure } from "../../src/adapters/settings.ts";
import { describe, it, test } from "node:test";
import { type Adapter, adapterHook, attach } from "../../src/adapters/adapter.ts";
import type { AdaptableModel } from "../../src/adapters/copies.ts";
import { cheaperForm, lora, loraElements, scaling } from "../../src/adapters/lora.ts";
import { ConfigError } from "../../src/errors.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph, reachable, type Value } from "../../src/ir/graph.ts";
import { ndarray, type NdArray } from "../../src/ir/ndarray.ts";
import { dim, type DimSizes, shapeOf } from "../../src/ir/shape.ts";
import { conv2d } from "../../src/nn/conv2d.ts";
import { linear, type Linear } from "../../src/nn/linear.ts";
import type { Layer } from "../../src/nn/module.ts";
import { Random } from "../../src/random.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { batchOf, lossOf, mlpRig, tracingOf } from "../../src/testing/method-rig.ts";

/** Random contents for every state of a graph, but zeros where `zero` says so. */
function fill(graph: Graph, zero: (name: string) => boolean): Record<string, NdArray> {
  const random = new Random(2);
  return Object.fromEntries(
    graph.inputs.flatMap(({ kind, value }): [string, NdArray][] => {
      if (kind !== "state") return [];
      const shape = value.type.shape.map((d) => d.size!);
      const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
        zero(value.name) ? 0 : 0.4 * random.normal(),
      );
      return [[value.name, ndarray(shape, data)]];
    }),
  );
}

describe("gradients (papers: the first step of LoRA and of full fine-tuning)", () => {
  const rig = mlpRig();
  const adapter = attach(rig.model, lora, { config: { r: 4, alpha: 10 } });
  const s = scaling(adapter.config);
  const { x, labels } = batchOf(rig, 9);
  const graph = new Graph();
  const loss = lossOf({ ...tracingOf(graph), adapt: adapterHook([adapter]) }, rig);
  const state = (name: string) => graph.inputs.find(({ value }) => value.name === name)!.value;
  const names = rig.model.layers.flatMap(({ name }) => [
    `${name}.weight`,
    `${name}.lora_A.default.weight`,
    `${name}.lora_B.default.weight`,
  ]);
  grad(loss, names.map(state)).forEach((gradient, i) => graph.output(names[i]!, gradient));
  const arrays = {
    x: ndarray(x.shape, Array.from(x.data, Number)),
    labels: ndarray(labels.shape, Array.from(labels.data, Number)),
  };
  const initial = fill(graph, (name) => name.includes("lora_B"));
  const { outputs } = interpret(graph, { ...initial, ...arrays });

  for (const { name, inFeatures, outFeatures } of rig.model.layers) {
    const A = initial[`${name}.lora_A.default.weight`]!;
    const G = outputs[`${name}.weight`]!;
    const dA = outputs[`${name}.lora_A.default.weight`]!;
    const dB = outputs[`${name}.lora_B.default.weight`]!;

    it(`${name}: at the start dA is exactly 0, and dB is not`, () => {
      assert.ok(dA.data.every((value) => value === 0));
      assert.ok(dB.data.some((value) => value !== 0));
    });

    it(`${name}: the first step of SGD moves W by -η s² G Aᵀ A`, () => {
      const rate = 0.1;
      const B = multiply(dB, eye(4, -rate));
      const moved = multiply(B, multiply(A, eye(inFeatures, s)));
      const expected = multiply(multiply(G, transpose(A)), multiply(A, eye(inFeatures, -rate * s * s)));
      assert.deepEqual(moved.shape, [outFeatures, inFeatures]);
      const largest = Math.max(...expected.data.map(Math.abs));
      assert.ok(largest > 1e-4);
      moved.data.forEach((value, i) => assert.ok(Math.abs(value - expected.data[i]!) <= 1e-13 * largest));
    });
  }
});

describe("number of trained elements", () => {
  const square = (d: number, count: number) => Array.from({ length: count }, () => ({ inFeatures: d, outFeatures: d }));
  const stack = (layers: number, shapes: readonly (readonly [number, number])[]) =>
    Array.from({ length: layers }, () =>
      shapes.map(([inFeatures, outFeatures]) => ({ inFeatures, outFeatures })),
    ).flat();
  /** q, k, v, o, gate, up, down. */
  const decoder = (layers: number, D: number, q: number, kv: number, F: number) =>
    stack(layers, [
      [D, q],
      [D, kv],
      [D, kv],
      [q, D],
      [D, F],
      [D, F],
      [F, D],
    ]);

  for (const [name, layers, r, expected] of [
    ["GPT-3, v, r = 2", square(12288, 96), 2, 4_718_592],
    ["GPT-3, q and v, r = 4", square(12288, 192), 4, 18_874_368],
    ["GPT-3, q and v, r = 8", square(12288, 192), 8, 37_748_736],
    ["GPT-3, q and v, r = 64", square(12288, 192), 64, 301_989_888],
    ["RoBERTa base, q and v, r = 8", square(768, 24), 8, 294_912],
    ["RoBERTa large, q and v, r = 8", square(1024, 48), 8, 786_432],
    ["GPT-2 medium, q and v, r = 4", square(1024, 48), 4, 393_216],
    ["GPT-2 large, q and v, r = 4", square(1280, 72), 4, 737_280],
    ["DeBERTa XXL, q and v, r = 8", square(1536, 96), 8, 2_359_296],
    [
      "RoBERTa base, all linear layers, r = 1",
      stack(12, [
        [768, 768],
        [768, 768],
        [768, 768],
        [768, 768],
        [768, 3072],
        [3072, 768],
      ]),
      1,
      165_888,
    ],
    ["Qwen2.5 0.5B, all linear layers, r = 8", decoder(24, 896, 896, 128, 4864), 8, 4_399_104],
    ["Qwen2.5 1.5B, all linear layers, r = 8", decoder(28, 1536, 1536, 256, 8960), 8, 9_232_384],
    ["Qwen2.5 7B, all linear layers, r = 8", decoder(28, 3584, 3584, 512, 18944), 8, 20_185_088],
    ["Qwen3 0.6B, all linear layers, r = 8", decoder(28, 1024, 2048, 1024, 3072), 8, 5_046_272],
    ["Qwen3 4B, all linear layers, r = 8", decoder(36, 2560, 4096, 1024, 9728), 8, 16_515_072],
  ] as const) {
    it(name, () => assert.equal(loraElements(layers, r), expected));
  }

  it("is that of the parameters", () => {
    const { layer } = linear("fc", 7, 11);
    const config = configure(lora, { r: 4, alpha: 10 });
    const counted = lora.parameters!(layer, config).reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
    assert.equal(counted, loraElements([layer], 4));
  });
});

describe("form by cost", () => {
  const operations = (b: number, i: number, o: number, r: number) => ({
    activation: 2 * b * i * o + 2 * b * i * r + 2 * b * r * o,
    weight: 2 * b * i * o + 2 * i * r * o,
  });

  it("both forms cost the same at b = 2048 for 4096 × 4096, whatever r; above it the weight form wins", () => {
    for (const r of [1, 8, 64]) {
      const { activation, weight } = operations(2048, 4096, 4096, r);
      assert.equal(activation, weight);
    }
    assert.equal(cheaperForm(2048, 4096, 4096), "activation");
    assert.equal(cheaperForm(2049, 4096, 4096), "weight");
  });

  it("is the form with fewer operations", () => {
    for (const [b, i, o] of [
      [1, 7, 11],
      [5, 7, 11],
      [64, 100, 30],
      [512, 896, 4864],
      [4096, 896, 4864],
    ] as const) {
      const { activation, weight } = operations(b, i, o, 8);
      assert.equal(cheaperForm(b, i, o), weight < activation ? "weight" : "activation");
    }
  });

  /** Whether a forward pass makes a matrix of W's size: the weight form does. */
  const makesWeight = (adapter: Adapter, layer: ReturnType<typeof linear>, typicalSizes: DimSizes, seeded = false) => {
    const graph = new Graph();
    const seed = seeded ? graph.feed("seed", { dtype: "int32", shape: [] }) : undefined;
    const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim("T"), dim(7)] });
    const y = layer.forward(
      { ...tracingOf(graph), typicalSizes, adapt: adapterHook([adapter], seed === undefined ? {} : { seed }) },
      x,
    );
    return reachable(graph, [y]).some(({ outputs: [value] }) => isShape(value!, [11, 7]));
  };
  const isShape = (value: Value, shape: readonly number[]) =>
    value.type.shape.length === shape.length && value.type.shape.every((d, i) => d.size === shape[i]);

  it("is picked from the typical number of rows", () => {
    const layer = linear("fc", 7, 11);
    const auto = attach(modelOf(layer), lora, { config: { r: 2, alpha: 3, form: "auto" } });
    // 7 · 11 / (7 + 11) = 4.3 rows.
    assert.equal(makesWeight(auto, layer, { B: 2, T: 2 }), false);
    assert.equal(makesWeight(auto, layer, { B: 2, T: 3 }), true);
    assert.equal(makesWeight(auto, layer, {}), false, "without a typical size");
    const dropout = attach(modelOf(layer), lora, { config: { r: 2, alpha: 3, form: "auto", dropout: 0.5 } });
    assert.equal(makesWeight(dropout, layer, { B: 2, T: 3 }, true), false, "while training with dropout");
    assert.equal(makesWeight(dropout, layer, { B: 2, T: 3 }), true, "with dropout, outside training");
  });
});

test("dropout sets elements of A's input to 0 and divides the others by 1 - p", () => {
  const p = 0.25;
  const layer = linear("fc", 7, 7);
  const adapter = attach(modelOf(layer), lora, { config: { r: 7, alpha: 7, dropout: p } });
  const graph = new Graph();
  const seed = graph.feed("seed", { dtype: "int32", shape: [] });
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf([1000, 7]) });
  graph.output("y", layer.forward({ ...tracingOf(graph), adapt: adapterHook([adapter], { seed }) }, x));
  // W and its bias are 0, A and B the identity: the result is the input of A.
  const [zero, one] = [ndarray([7, 7], new Float64Array(49)), eye(7, 1)];
  const { y } = interpret(graph, {
    "fc.weight": zero,
    "fc.bias": ndarray([7], new Float64Array(7)),
    "fc.lora_A.default.weight": one,
    "fc.lora_B.default.weight": one,
    seed: ndarray([], [5]),
    x: ndarray([1000, 7], new Float64Array(7000).fill(1)),
  }).outputs;
  assert.deepEqual(new Set(y!.data), new Set([0, 1 / (1 - p)]));
  const dropped = y!.data.filter((value) => value === 0).length / 7000;
  // Five standard deviations of 7000 draws.
  assert.ok(Math.abs(dropped - p) < 5 * Math.sqrt((p * (1 - p)) / 7000), `${dropped} of the elements are 0`);
});

test("two adapters on one layer add up, in whatever form", () => {
  const layer = linear("fc", 7, 11);
  const outputs = [["activation", "weight"] as const, ["weight", "activation"] as const, ["weight", "weight"] as const];
  const run = (adapters: readonly Adapter[]) => {
    const graph = new Graph();
    const x = graph.feed("x", { dtype: "float32", shape: shapeOf([3, 7]) });
    for (const { name, shape } of [...one.parameters, ...two.parameters]) {
      graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
    }
    graph.output("y", layer.forward({ ...tracingOf(graph), adapt: adapterHook(adapters) }, x));
    const data = Float64Array.from({ length: 21 }, (_, i) => Math.sin(i));
    return interpret(graph, { ...fill(graph, () => false), x: ndarray([3, 7], data) }).outputs.y!.data;
  };
  let one: Adapter;
  let two: Adapter;
  for (const [first, second] of outputs) {
    one = attach(modelOf(layer), lora, { name: "one", config: { r: 2, alpha: 3, form: first } });
    two = attach(modelOf(layer), lora, { name: "two", config: { r: 4, alpha: 10, form: second } });
    const [base, withOne, withTwo, withBoth] = [run([]), run([one]), run([two]), run([one, two])];
    withBoth.forEach((value, i) => {
      const expected = withOne[i]! + withTwo[i]! - base[i]!;
      assert.ok(Math.abs(value - expected) < 1e-12, `${first}, ${second}: ${value}, not ${expected}`);
    });
  }
});

test("two adapters of one name are refused: they would share their parameters", () => {
  const adapter = attach(modelOf(linear("fc", 7, 11)), lora);
  assert.throws(() => adapterHook([adapter, adapter]), /ConfigError|two of them are called "default"/);
});

describe("configuration", () => {
  it("has PEFT's defaults", () => {
    const { r, alpha, dropout, useRslora, init } = configure(lora, {});
    assert.deepEqual(
      { r, alpha, dropout, useRslora, init },
      { r: 8, alpha: 8, dropout: 0, useRslora: false, init: "kaiming" },
    );
  });

  it("scales by alpha / r, or alpha / √r", () => {
    assert.equal(scaling({ r: 4, alpha: 10, useRslora: false }), 2.5);
    assert.equal(scaling({ r: 4, alpha: 10, useRslora: true }), 5);
  });

  it("names every bad value at once", () => {
    const bad = { r: 0.5, alpha: NaN, dropout: 1, init: "zeros" as "kaiming", form: "matrix" as "auto" };
    assert.throws(
      () => configure(lora, bad),
      (error) => {
        assert.ok(error instanceof ConfigError);
        for (const part of [/r is 0.5/, /alpha is NaN/, /dropout is 1/, /init is "zeros"/, /form is "matrix"/]) {
          assert.match(error.message, part);
        }
        return true;
      },
    );
    assert.throws(() => configure(lora, { dropout: 0.1, form: "weight" }), /form is "weight" with dropout 0.1/);
  });

  it("starts A as it says, from fan-in, and B at zero", () => {
    const layers: Layer[] = [linear("fc", 7, 11).layer, conv2d("conv", 3, 5, [3, 2]).layer];
    const fanIns = [7, 18];
    layers.forEach((layer, i) => {
      const sample = (init: "kaiming" | "gaussian" | "standard-normal", index: number) =>
        lora.parameters!(layer, configure(lora, { r: 4, init }))[index]!.init(new Random(1), 20_000);
      const deviation = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
      const kaiming = sample("kaiming", 0);
      const bound = 1 / Math.sqrt(fanIns[i]!);
      assert.ok(kaiming.every((value) => Math.abs(value) <= bound));
      assert.ok(Math.max(...kaiming) > 0.99 * bound);
      // 20,000 samples estimate a deviation to about half a percent.
      assert.ok(Math.abs(deviation(sample("gaussian", 0)) * 4 - 1) < 0.03);
      assert.ok(Math.abs(deviation(sample("standard-normal", 0)) - 1) < 0.03);
      assert.ok(sample("kaiming", 1).every((value) => value === 0));
    });
  });
});

/** A model of one layer. */
function modelOf({ layer, parameters }: Linear): AdaptableModel {
  return { layers: [layer], parameters };
}

function multiply(a: NdArray, b: NdArray): NdArray {
  const [m, k, n] = [a.shape[0]!, a.shape[1]!, b.shape[1]!];
  const data = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      for (let j = 0; j < n; j++) data[i * n + j]! += a.data[i * k + p]! * b.data[p * n + j]!;
    }
  }
  return ndarray([m, n], data);
}

function transpose({ shape, data }: NdArray): NdArray {
  const [m, n] = [shape[0]!, shape[1]!];
  return ndarray(
    [n, m],
    Float64Array.from({ length: m * n }, (_, at) => data[(at % m) * n + Math.floor(at / m)]!),
  );
}

/** A diagonal matrix of one value. */
function eye(n: number, value: number): NdArray {
  return ndarray(
    [n, n],
    Float64Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? value : 0)),
  );
}
