/** DoRA keeps the contract of tuning methods. Against PEFT: lora-family-golden.test.ts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import { dora, outputOf } from "../../src/adapters/dora.ts";
import { lora, loraElements, type LoraConfig } from "../../src/adapters/lora.ts";
import type { Method } from "../../src/adapters/method.ts";
import { configure } from "../../src/adapters/settings.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { tanh } from "../../src/ir/ops/tanh.ts";
import { optimize } from "../../src/ir/passes/index.ts";
import { elementCount, shapeOf, sizeOf } from "../../src/ir/shape.ts";
import { linear } from "../../src/nn/linear.ts";
import type { Model } from "../../src/nn/module.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { describeMethod, type MethodCase } from "../../src/testing/describe-method.ts";
import { tracingOf, trainingOf } from "../../src/testing/method-rig.ts";

const base = { r: 4, alpha: 10 } as const;

const cases: readonly MethodCase<LoraConfig>[] = [
  { name: "default", config: base },
  { name: "rsLoRA, dropout", config: { r: 3, alpha: 5, useRslora: true, dropout: 0.25 } },
  {
    name: "gaussian start, a rank of its own",
    config: { ...base, init: "gaussian", rankPattern: { ".*1|embed|[ab]": 2 } },
  },
  { name: "nothing zero", config: { ...base, init: "random" }, startsElsewhere: "B A is not zero" },
  { name: "PiSSA", config: { ...base, init: "pissa" }, models: ["mlp"], converts: true },
];

describeMethod(dora, cases, {
  elements: (layer, { r }) =>
    layer.outFeatures +
    (layer.kind === "conv2d"
      ? r * layer.inFeatures * layer.kernel[0] * layer.kernel[1] + layer.outFeatures * r
      : loraElements([layer], r)),
  notInFile: ["form", "init"],
  notDerivatives: "the norm counts as a constant",
  golden: [],
});

describe("settings of DoRA", () => {
  it("refuses what it does not have", () => {
    const refused = (config: Partial<LoraConfig>, message: RegExp) =>
      assert.throws(() => configure(dora, config), message);
    refused({ form: "weight" }, /form is "weight": DoRA has the activation form only/);
    refused({ loraBias: true }, /PEFT has no bias of B with DoRA/);
    refused({ dropout: 0.1, init: "pissa" }, /dropout is 0.1 with the start pissa/);
  });
});

interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

describe("dropout", () => {
  const file = new URL("../../../golden/peft-methods/dora-dropout.json", import.meta.url);
  const golden = JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, Numbers>> & { readonly p: number };

  it("has PEFT's output and derivatives with PEFT's mask", () => {
    const single = linear("0", 7, 5);
    const { layer, parameters: base } = single;
    const adapter = attach({ parameters: base, layers: [layer] }, dora, {
      targetModules: ["0"],
      config: { r: 4, alpha: 10, dropout: golden.p },
    });
    const graph = new Graph();
    const feed = (name: string) => graph.feed(name, { dtype: "float32", shape: shapeOf(golden[name]!.shape) });
    const [x, mask, dy] = [feed("x"), feed("mask"), feed("dy")];
    const input = mul(x, mul(mask, scalar(graph, 1 / (1 - golden.p))));
    const states: Record<string, Value> = {};
    const y = single.forward(
      {
        ...tracingOf(graph),
        adapt: (call) =>
          adapterHook([
            {
              ...adapter,
              method: {
                ...dora,
                forward: (own: Parameters<typeof outputOf>[0]) => outputOf(own, input),
              },
            },
          ])({
            ...call,
            tracing: {
              ...call.tracing,
              parameter: (name, shape) => (states[name] ??= call.tracing.parameter(name, shape)),
            },
          }),
      },
      x,
    );
    graph.output("y", y);
    const names = ["0.lora_A.default.weight", "0.lora_B.default.weight", "0.lora_magnitude_vector.default"];
    const keys = ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"];
    const wanted = [x, ...names.map((name) => states[name]!)];
    grad(reduceSum(mul(y, dy)), wanted).forEach((value, i) => graph.output(i === 0 ? "dx" : keys[i - 1]!, value));

    const array = ({ shape, data }: Numbers) => ndarray(shape, [...data]);
    const of = (name: string) => golden[`base_model.model.0.${name}`]!;
    const W = of("base_layer.weight");
    const squares = Array.from({ length: 5 }, (_, i) =>
      W.data.slice(7 * i, 7 * i + 7).reduce((sum, w) => sum + w * w, 0),
    );
    const { outputs } = interpret(graph, {
      x: array(golden["x"]!),
      mask: array(golden["mask"]!),
      dy: array(golden["dy"]!),
      "0.weight": array(W),
      "0.bias": array(of("base_layer.bias")),
      "0.weight_norm_squared.default": ndarray([5], squares),
      ...Object.fromEntries(names.map((name, i) => [name, array(of(keys[i]!))])),
    });
    const near = (name: string, want: Numbers) =>
      want.data.forEach((value, i) => assert.ok(Math.abs(outputs[name]!.data[i]! - value) < 1e-10, `${name} ${i}`));
    near("y", golden["y"]!);
    near("dx", golden["dx"]!);
    for (const key of keys) near(key, golden[`gradient.base_model.model.0.${key}`]!);
  });
});

/** Multiplications of matrices in a training step, and elements that are read and written one by one. */
function costOf(method: Method<LoraConfig>, config: Partial<LoraConfig>): { products: number; elements: number } {
  const layers = [896, 896, 4864, 896].map((width, i, widths) =>
    linear(`fc${i}`, width, widths[i + 1] ?? 8, { bias: i === 0 }),
  );
  const model: Model<{ x: Value }> = {
    parameters: layers.flatMap(({ parameters }) => parameters),
    layers: layers.map(({ layer }) => layer),
    forward: (tracing, { x }) => layers.reduce((h, layer) => tanh(layer.forward(tracing, h)), x),
  };
  const rig = { model, input: [896], classes: 8 };
  const adapter = attach(model, method, { targetModules: ["fc0", "fc1", "fc2"], config });
  const sizes = { B: 512 };
  const { graph } = trainingOf(rig, [adapter], sgd());
  const cost = { products: 0, elements: 0 };
  for (const { op, inputs, outputs, attrs } of optimize(graph, { device: "cpu", typicalSizes: sizes }).nodes) {
    const of = (value: Value) => sizeOf(elementCount(value.type.shape), sizes);
    if (op.name === "matmul" || op.name === "gemm") {
      const [rows, columns] = inputs[0]!.type.shape.map((d) => sizeOf(elementCount([d]), sizes)) as [number, number];
      cost.products += of(outputs[0]!) * ((attrs as { transA: boolean }).transA ? rows : columns);
    } else if (op.elementwise === true || op.name === "reduceSum") {
      cost.elements += [...inputs, ...outputs].reduce((sum, value) => sum + of(value), 0);
    }
  }
  return cost;
}

it("takes hardly more multiplications than LoRA, and makes nothing of the size of a weight", () => {
  const config = { r: 8, alpha: 16 };
  const [ours, theirs] = [costOf(dora, config), costOf(lora, config)];
  const products = ours.products / theirs.products;
  // An element that is read or written takes as long as some forty multiplications of a product.
  const time = (ours.products + 40 * ours.elements) / (theirs.products + 40 * theirs.elements);
  assert.ok(products < 1.02, `${products} times the multiplications`);
  assert.ok(time < 1.25, `${time} times the time of LoRA, by count`);
});
