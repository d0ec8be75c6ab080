/** A training step as a graph: what it reads, what it updates, what it refuses. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { adapterHook, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora.ts";
import { ConfigError, GraphError } from "../../src/errors.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { reachable, results } from "../../src/ir/graph.ts";
import { adamw } from "../../src/optim/adam.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { lossOf, mlpRig } from "../../src/testing/method-rig.ts";
import { SCALAR_FEED, SEED_FEED, slotName, trainingGraph } from "../../src/train/training-graph.ts";

const rig = mlpRig();
const { parameters, layers } = rig.model;
const all = new Set(parameters.map(({ name }) => name));
const loss = (tracing: Parameters<typeof lossOf>[0]) => lossOf(tracing, rig);

function updated(graph: Graph): string[] {
  return [...graph.updates.keys()].map(({ name }) => name).toSorted();
}

describe("a training graph", () => {
  test("updates the trainable parameters and the optimizer's states, and nothing else", () => {
    const trainable = new Set(["fc2.weight", "fc3.bias"]);
    const { graph, slots, frozen } = trainingGraph({ parameters, trainable, optimizer: adamw(), loss });
    const states = [...trainable].flatMap((name) => ["exp_avg", "exp_avg_sq"].map((slot) => slotName(name, slot)));
    assert.deepEqual(updated(graph), [...trainable, ...states].toSorted());
    assert.deepEqual(slots.map(({ name }) => name).toSorted(), states.toSorted());
    assert.deepEqual(slots.map(({ name, shape }) => [name, [...shape]]).slice(0, 1), [
      [slotName("fc2.weight", "exp_avg"), [6, 11]],
    ]);
    assert.deepEqual([...frozen].toSorted(), ["fc1.bias", "fc1.weight", "fc2.bias", "fc3.weight"]);
    assert.deepEqual([...graph.outputs.keys()], ["loss"]);
    const feeds = graph.inputs.filter(({ kind }) => kind === "feed").map(({ value }) => value.name);
    for (const name of [SEED_FEED, ...adamw().scalars.map((scalar) => SCALAR_FEED + scalar)]) {
      assert.ok(feeds.includes(name), name);
    }
  });

  test("gives the norm of the gradients if it clips them", () => {
    const options = { parameters, trainable: all, optimizer: sgd(), loss };
    assert.ok(!trainingGraph(options).graph.outputs.has("grad_norm"));
    const { graph } = trainingGraph({ ...options, maxGradNorm: 1 });
    assert.deepEqual(graph.outputs.get("grad_norm")!.type, { dtype: "float32", shape: [] });
  });

  test("lists the weights under adapters as frozen, and makes no product for them", () => {
    const adapter = attach({ parameters, layers }, lora, { config: { r: 3, alpha: 5 }, targetModules: ["fc2"] });
    const trainable = new Set(adapter.parameters.map(({ name }) => name));
    const options = { optimizer: sgd(), loss, adapt: () => adapterHook([adapter]) };
    const { graph, frozen } = trainingGraph({
      ...options,
      parameters: [...parameters, ...adapter.parameters],
      trainable,
    });
    assert.deepEqual(updated(graph), [...trainable].toSorted());
    assert.deepEqual([...frozen].toSorted(), [...all].toSorted());
    const products = reachable(graph, results(graph)).filter(({ op }) => op.name === "matmul").length;
    // Forward 3 and 2 of the adapter; backward through fc3, to B, to A x, and to A. Nothing below fc2.
    assert.equal(products, 5 + 4);
  });

  test("does not count a parameter that the loss does not use among the frozen ones", () => {
    const unused = { name: "unused.weight", shape: [3], init: parameters[0]!.init };
    const trainable = new Set(["fc1.weight"]);
    const { frozen } = trainingGraph({ parameters: [...parameters, unused], trainable, optimizer: sgd(), loss });
    assert.ok(!frozen.includes("unused.weight"));
    assert.equal(frozen.length, 5);
  });

  test("refuses to train nothing, names that are no parameters, and parameters without effect", () => {
    const refuses = (trainable: readonly string[], type: typeof ConfigError | typeof GraphError, message: RegExp) =>
      assert.throws(
        () => {
          const unused = { name: "unused.weight", shape: [3], init: parameters[0]!.init };
          const some = { parameters: [...parameters, unused], trainable: new Set(trainable), optimizer: sgd(), loss };
          trainingGraph(some);
        },
        (error) => {
          assert.ok(error instanceof type);
          assert.match(error.message, message);
          return true;
        },
      );
    refuses([], ConfigError, /^nothing is trainable\n {2}hint: attach an adapter, or unfreeze some parameters$/);
    refuses(["fc1.wieght", "fc1.bias"], ConfigError, /^trainable: not among the 7 parameters .*: got fc1\.wieght$/);
    refuses(["unused.weight"], GraphError, /^unused\.weight: the loss does not depend on it\n {2}hint: /);
  });
});
