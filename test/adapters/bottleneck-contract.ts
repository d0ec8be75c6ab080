/** The contract of both bottleneck adapters, torch's numbers, and the number of their parameters. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import type { BottleneckConfig } from "../../src/adapters/bottleneck.ts";
import { merge } from "../../src/adapters/merge.ts";
import type { Method } from "../../src/adapters/method.ts";
import { ConfigError } from "../../src/errors.ts";
import { ModelConfigFile } from "../../src/formats/model/config.ts";
import { grad } from "../../src/ir/grad.ts";
import { Graph } from "../../src/ir/graph.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { familyOf } from "../../src/models/index.ts";
import { countElements } from "../../src/nn/module.ts";
import { linear } from "../../src/nn/linear.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import type { Tensor } from "../../src/runtime/runtime.ts";
import { describeMethod, type MethodFacts } from "../../src/testing/describe-method.ts";
import { tracingOf } from "../../src/testing/method-rig.ts";

const facts: MethodFacts<BottleneckConfig> = {
  elements: ({ inFeatures, outFeatures: d }, { bottleneckSize, reductionFactor, parallel }) => {
    const m = bottleneckSize ?? Math.max(1, Math.floor(d / reductionFactor));
    return parallel ? m * (inFeatures + d) + m + d : 2 * m * d + m + d;
  },
  notInFile: [],
  golden: [],
  models: ["mlp"],
  leaves: 0.8,
};

export function describeBottleneck(method: Method<BottleneckConfig>): void {
  describeMethod(
    method,
    [
      { name: "as it is", config: { scaling: 2.5 } },
      { name: "a factor", config: { reductionFactor: 3, nonLinearity: "gelu" } },
      { name: "a size, tanh", config: { bottleneckSize: 3, nonLinearity: "tanh", scaling: 1.5, initWeights: "bert" } },
      { name: "starts at zero", config: { bottleneckSize: 2, initWeights: "mam_adapter" }, startsAsBase: true },
      { name: "parallel", config: { bottleneckSize: 4, nonLinearity: "gelu_new", parallel: true, scaling: 4 } },
      {
        name: "parallel, from zero",
        config: { bottleneckSize: 4, parallel: true, scaling: 4, initWeights: "mam_adapter" },
        startsAsBase: true,
      },
    ],
    facts,
  );
  describe(`${method.name}: numbers`, () => {
    for (const one of goldenCases()) {
      it(`are torch's: ${one.non_linearity}${one.parallel ? ", parallel" : ""}`, () => checkGolden(method, one));
    }
  });
  it(`${method.name} cannot be merged, and says that it is not linear`, async () => {
    const layer = linear("fc", 4, 5);
    const adapter = attach({ ...layer, layers: [layer.layer] }, method, { targetModules: ["fc"] });
    await assert.rejects(merge(interpDevice(), adapter), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.problem.hint ?? "", /linear function/);
      return true;
    });
  });
  it(`${method.name} trains norms if asked`, () => {
    const model = gpt2({ n_embd: 12, n_layer: 3, n_head: 2 });
    const without = attach(model, method, { config: { bottleneckSize: 2 } });
    const norms = attach(model, method, { config: { bottleneckSize: 2, trainNorms: true } });
    // Two norms in a block and one at the end, a weight and a bias each (Houlsby et al. 2019, §2.1).
    const L = 2 * 3 + 1;
    assert.equal(countElements(norms.parameters) - countElements(without.parameters), 2 * L * 12);
    assert.equal(norms.copies.size, 2 * L);
  });
}

/** GPT-3's shape: 96 blocks, d = 12288. */
export function gpt3(): ReturnType<typeof gpt2> {
  return gpt2({ n_embd: 12_288, n_layer: 96, n_head: 96, n_positions: 2048 });
}

function gpt2(fields: Readonly<Record<string, number>>): ReturnType<ReturnType<typeof familyOf>["build"]> {
  return familyOf("gpt2").build(
    new ModelConfigFile({ model_type: "gpt2", vocab_size: 7, n_positions: 5, ...fields }, "config.json"),
  );
}

interface GoldenCase {
  readonly non_linearity: BottleneckConfig["nonLinearity"];
  readonly parallel: boolean;
  readonly scaling: number;
  readonly x: readonly (readonly number[])[];
  readonly weighting: readonly (readonly number[])[];
  readonly weight: readonly (readonly number[])[];
  readonly bias: readonly number[];
  readonly parameters: Readonly<Record<string, Nested>>;
  readonly y: readonly (readonly number[])[];
  readonly gradients: Readonly<Record<string, Nested>>;
}

type Nested = readonly number[] | readonly (readonly number[])[];

function goldenCases(): readonly GoldenCase[] {
  const text = readFileSync(new URL("../../../golden/bottleneck.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly cases: readonly GoldenCase[] }).cases;
}

async function checkGolden(method: Method<BottleneckConfig>, one: GoldenCase): Promise<void> {
  const fc = linear("fc", one.x[0]!.length, one.bias.length);
  const config = {
    bottleneckSize: one.parameters["adapter_down.bias"]!.length,
    nonLinearity: one.non_linearity,
    scaling: one.scaling,
    parallel: one.parallel,
  };
  const adapter = attach({ ...fc, layers: [fc.layer] }, method, { targetModules: ["fc"], config });
  const device = interpDevice();
  await device.write("fc.weight", tensorOf(one.weight));
  await device.write("fc.bias", tensorOf(one.bias));
  const states = adapter.targets[0]!.states;
  for (const [name, { name: state }] of states) await device.write(state, tensorOf(one.parameters[name]!));
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: shapeOf([one.x.length, one.x[0]!.length]) });
  const weighting = graph.feed("weighting", { dtype: "float32", shape: shapeOf([one.y.length, one.y[0]!.length]) });
  const tracing = tracingOf(graph);
  const y = fc.forward({ ...tracing, adapt: adapterHook([adapter]) }, x);
  const wanted = [x, ...[...states.values()].map(({ name, shape }) => tracing.parameter(name, shape))];
  graph.output("y", y);
  const names = ["x", ...states.keys()];
  grad(reduceSum(mul(y, weighting)), wanted).forEach((value, i) => graph.output(`gradient.${names[i]!}`, value));
  const executable = await device.compile(graph);
  const results = await executable.run({ x: tensorOf(one.x), weighting: tensorOf(one.weighting) });
  near(results.y!, one.y, "y");
  for (const name of names) near(results[`gradient.${name}`]!, one.gradients[name]!, name);
}

function tensorOf(values: Nested): Tensor {
  const shape =
    typeof values[0] === "number" ? [values.length] : [values.length, (values[0] as readonly number[]).length];
  return { dtype: "float32", shape, data: Float32Array.from(values.flat()) };
}

/** Inputs are rounded to float32, and computed with in float64. */
function near({ data }: Tensor, want: Nested, what: string): void {
  const wanted = want.flat();
  const largest = Math.max(...wanted.map(Math.abs));
  const worst = Math.max(...wanted.map((value, i) => Math.abs(value - Number(data[i]))));
  assert.ok(worst <= 1e-6 * largest, `${what} differs by ${worst / largest} of the largest`);
}
