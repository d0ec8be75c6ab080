/** Ten steps of each optimizer, and clipping, against PyTorch: golden/make/optim.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { ndarray } from "../../src/ir/ndarray.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { adam, type AdamOptions, adamw } from "../../src/optim/adam.ts";
import { clipByNorm, globalNorm } from "../../src/optim/clip.ts";
import { OPTIMIZERS } from "../../src/optim/index.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { sgd, type SgdOptions } from "../../src/optim/sgd.ts";
import { interpret } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { assertClose } from "../support/close.ts";
import { float32, runGraph } from "../support/run.ts";

interface TorchOptions {
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weight_decay?: number;
  readonly betas?: readonly [number, number];
  readonly eps?: number;
}

interface Golden {
  readonly shape: readonly number[];
  readonly start: readonly number[];
  readonly gradients: readonly (readonly number[])[];
  readonly learning_rates: readonly number[];
  readonly runs: readonly {
    readonly name: string;
    readonly optimizer: keyof typeof OPTIMIZERS;
    readonly options: TorchOptions;
    readonly parameters: readonly (readonly number[])[];
  }[];
  readonly clip: {
    readonly max_norm: number;
    readonly gradients: readonly (readonly number[])[];
    readonly norm: number;
    readonly clipped: readonly (readonly number[])[];
  };
}

const file = new URL("../../../golden/optim.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as Golden;

function make(kind: keyof typeof OPTIMIZERS, torch: TorchOptions): Optimizer {
  const decay = torch.weight_decay === undefined ? {} : { weightDecay: torch.weight_decay };
  if (kind === "sgd") {
    const options: SgdOptions = {
      ...decay,
      ...(torch.momentum === undefined ? {} : { momentum: torch.momentum }),
      ...(torch.nesterov === undefined ? {} : { nesterov: torch.nesterov }),
    };
    return sgd(options);
  }
  const options: AdamOptions = {
    ...decay,
    ...(torch.betas === undefined ? {} : { beta1: torch.betas[0], beta2: torch.betas[1] }),
    ...(torch.eps === undefined ? {} : { epsilon: torch.eps }),
  };
  return kind === "adam" ? adam(options) : adamw(options);
}

/** One step on a parameter `p` with the gradient as a feed. */
function stepGraph(optimizer: Optimizer): Graph {
  const graph = new Graph();
  const type = { dtype: "float32" as const, shape: shapeOf(golden.shape) };
  const parameter = graph.state("p", type);
  const slots = Object.fromEntries(optimizer.slots.map((name) => [name, graph.state(name, type)]));
  const scalars = Object.fromEntries(
    optimizer.scalars.map((name) => [name, graph.feed(name, { dtype: "float32", shape: [] })]),
  );
  const next = optimizer.update({ parameter, gradient: graph.feed("g", type), slots, scalars });
  graph.update(parameter, next.parameter);
  for (const name of optimizer.slots) graph.update(slots[name]!, next.slots[name]!);
  return graph;
}

describe("as in PyTorch", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 1 });
  });
  after(() => device.dispose());

  for (const { name, optimizer: kind, options, parameters } of golden.runs) {
    const optimizer = make(kind, options);
    const graph = stepGraph(optimizer);
    const size = golden.start.length;

    test(`${name}: every step, in the interpreter`, () => {
      let states = Object.fromEntries([
        ["p", ndarray(golden.shape, golden.start)] as const,
        ...optimizer.slots.map((slot) => [slot, ndarray(golden.shape, new Float64Array(size))] as const),
      ]);
      golden.gradients.forEach((gradient, i) => {
        const scalars = Object.entries(optimizer.scalarsAt(i + 1, golden.learning_rates[i]!));
        const { updates } = interpret(graph, {
          ...states,
          g: ndarray(golden.shape, gradient),
          ...Object.fromEntries(scalars.map(([key, value]) => [key, ndarray([], [value])])),
        });
        states = { ...states, ...updates };
        // Both in float64, rounded in other places.
        assertClose(states["p"]!.data, parameters[i]!, { ofLargest: 1e-12 }, `step ${i + 1}`);
      });
    });

    test(`${name}: every step, on the engine`, async () => {
      const zeros = float32(golden.shape, new Float32Array(size));
      const states = {
        p: float32(golden.shape, golden.start),
        ...Object.fromEntries(optimizer.slots.map((slot) => [slot, zeros])),
      };
      const feeds = golden.gradients.map((gradient, i) => {
        const scalars = optimizer.scalarsAt(i + 1, golden.learning_rates[i]!);
        return {
          g: float32(golden.shape, gradient),
          ...Object.fromEntries(optimizer.scalars.map((key) => [key, float32([], [scalars[key]!])])),
        };
      });
      for (const steps of [1, 2, 10]) {
        const got = await runGraph(device, graph, states, feeds.slice(0, steps));
        // float32, ten roundings of numbers near 1.
        assertClose(
          got.states["p"]!.data,
          parameters[steps - 1]!,
          { relative: 1e-6, ofLargest: 1e-6 },
          `step ${steps}`,
        );
      }
    });
  }
});

test("clipping by the norm of all gradients together is PyTorch's", () => {
  const { max_norm: maxNorm, gradients, norm, clipped } = golden.clip;
  const graph = new Graph();
  const shapes = [[4], [2, 3]];
  const values = shapes.map((shape, i) => graph.feed(`g${i}`, { dtype: "float32", shape: shapeOf(shape) }));
  const total = globalNorm(values);
  graph.output("norm", total);
  clipByNorm(values, total, maxNorm).forEach((value, i) => graph.output(`clipped${i}`, value));
  const feeds = (factor: number) =>
    Object.fromEntries(
      gradients.map((g, i) => [
        `g${i}`,
        ndarray(
          shapes[i]!,
          g.map((value) => value * factor),
        ),
      ]),
    );
  const { outputs } = interpret(graph, feeds(1));
  // PyTorch's numbers are float32.
  assertClose(outputs["norm"]!.data, [norm], { relative: 1e-6 });
  clipped.forEach((expected, i) => assertClose(outputs[`clipped${i}`]!.data, expected, { relative: 1e-6 }));
  // Gradients below the limit stay as they are, to the bit.
  const small = interpret(graph, feeds(0.01)).outputs;
  gradients.forEach((g, i) =>
    assert.deepEqual(
      [...small[`clipped${i}`]!.data],
      g.map((value) => value * 0.01),
    ),
  );
});

test("optimizers keep no state that they do not need", () => {
  assert.deepEqual(sgd().slots, []);
  assert.deepEqual(sgd({ momentum: 0.9 }).slots, ["momentum_buffer"]);
  assert.deepEqual(adam().slots, ["exp_avg", "exp_avg_sq"]);
  for (const [name, create] of Object.entries(OPTIMIZERS)) assert.equal(create().name, name);
});

test("options out of range are named", () => {
  const refuses = (make: () => Optimizer, message: string) =>
    assert.throws(make, (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.message, message);
      return true;
    });
  refuses(() => adamw({ beta2: 1 }), "adamw: beta2: out of range: got 1, expected 0 <= beta2 < 1");
  refuses(() => adam({ beta1: -0.1 }), "adam: beta1: out of range: got -0.1, expected 0 <= beta1 < 1");
  refuses(() => adam({ epsilon: NaN }), "adam: epsilon: out of range: got NaN, expected a finite number >= 0");
  refuses(() => sgd({ weightDecay: -1 }), "sgd: weightDecay: out of range: got -1, expected a finite number >= 0");
  refuses(() => sgd({ nesterov: true }), "sgd: nesterov: needs momentum\n  hint: set momentum, such as 0.9");
});
