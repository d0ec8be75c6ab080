/** Steps on a device: counting, scalars, and a loss that is no number. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { NumericError } from "../../src/errors.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { cast } from "../../src/ir/ops/cast.ts";
import { scalar } from "../../src/ir/ops/constant.ts";
import { less } from "../../src/ir/ops/less.ts";
import { mul } from "../../src/ir/ops/mul.ts";
import { randomUniform } from "../../src/ir/ops/random-uniform.ts";
import { reduceSum } from "../../src/ir/ops/reduce-sum.ts";
import { zeros } from "../../src/nn/init.ts";
import { adam } from "../../src/optim/adam.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";
import { batchOf, lossOf, mlpRig, readAll, scatterParameters } from "../../src/testing/method-rig.ts";
import { Stepper, stepSeed } from "../../src/train/stepper.ts";
import { SEED_FEED, trainingGraph } from "../../src/train/training-graph.ts";
import { assertClose } from "../support/close.ts";
import { float32 } from "../support/run.ts";

const rig = mlpRig();
const { parameters } = rig.model;
const all = new Set(parameters.map(({ name }) => name));

describe("a stepper", () => {
  let device: Device;
  before(async () => {
    device = await ortDevice({ threads: 1 });
  });
  after(() => device.dispose());

  test("takes the same steps on the engine as in the interpreter, over optimizers and clipping", async () => {
    for (const optimizer of [sgd({ momentum: 0.9, weightDecay: 0.1 }), adam({ epsilon: 1e-3 })]) {
      const training = trainingGraph({
        parameters,
        trainable: all,
        optimizer,
        loss: (tracing) => lossOf(tracing, rig),
        maxGradNorm: 0.5,
      });
      const runs = [];
      for (const on of [interpDevice(), device]) {
        await scatterParameters(on, parameters);
        const stepper = await Stepper.create(on, training, { optimizer });
        const steps = [];
        for (let i = 0; i < 4; i++) steps.push(await stepper.step(batchOf(rig, 9, i), 0.05 / (i + 1)));
        assert.equal(stepper.steps, 4);
        runs.push({ steps, after: await readAll(on, parameters) });
        await stepper.dispose();
      }
      const [wanted, got] = runs;
      wanted!.steps.forEach(({ loss, gradNorm }, i) => {
        const step = got!.steps[i]!;
        assertClose([step.loss, step.gradNorm!], [loss, gradNorm!], { relative: 1e-5 }, `step ${i + 1}`);
      });
      // float32 over four steps.
      for (const [name, { data }] of wanted!.after) {
        assertClose(got!.after.get(name)!.data, data, { ofLargest: 1e-5 }, name);
      }
    }
  });

  test("learns: the loss of one batch falls", async () => {
    const optimizer = adam();
    const training = trainingGraph({ parameters, trainable: all, optimizer, loss: (tracing) => lossOf(tracing, rig) });
    await scatterParameters(device, parameters);
    const stepper = await Stepper.create(device, training, { optimizer });
    const batch = batchOf(rig, 9);
    const first = await stepper.step(batch, 0.02);
    let last = first;
    for (let i = 0; i < 40; i++) last = await stepper.step(batch, 0.02);
    assert.ok(last.loss < 0.2 * first.loss, `${first.loss} and then ${last.loss}`);
    assert.equal(first.gradNorm, undefined);
    await stepper.dispose();
  });

  test("says at which step the loss is no number", async () => {
    const optimizer = sgd();
    const training = trainingGraph({ parameters, trainable: all, optimizer, loss: (tracing) => lossOf(tracing, rig) });
    await scatterParameters(device, parameters);
    const stepper = await Stepper.create(device, training, { optimizer });
    await stepper.step(batchOf(rig, 9), 0.01);
    const bad = batchOf(rig, 9);
    (bad.x.data as Float32Array)[3] = NaN;
    await assert.rejects(stepper.step(bad, 0.01), (error) => {
      assert.ok(error instanceof NumericError);
      assert.equal(
        error.message,
        "step 2: loss is NaN: expected a finite number\n  hint: use a lower learning rate (now 0.01)",
      );
      return true;
    });
    await stepper.dispose();
  });

  test("gives every step a seed of its own, from the seed of the run", async () => {
    const loss = (seed: number) => {
      const training = trainingGraph({
        parameters: [{ name: "w", shape: [200], init: zeros }],
        trainable: new Set(["w"]),
        optimizer: sgd(),
        loss: (tracing) => {
          const w = tracing.parameter("w", [200]);
          const { graph } = tracing;
          const stepSeedFeed = graph.inputs.find(({ value }) => value.name === SEED_FEED)!.value;
          const u = randomUniform(stepSeedFeed, { stream: 1, shape: shapeOf([200]) });
          return reduceSum(mul(w, cast(less(u, scalar(graph, 0.5)), "float32")));
        },
      });
      return { training, seed };
    };
    const losses: number[][] = [];
    for (const seed of [1, 1, 2]) {
      const { training } = loss(seed);
      await device.write(
        "w",
        float32(
          [200],
          Array.from({ length: 200 }, (_, i) => 1 + i / 7),
        ),
      );
      const stepper = await Stepper.create(device, training, { optimizer: sgd(), seed });
      // A learning rate of 0: only the mask changes.
      losses.push([(await stepper.step({}, 0)).loss, (await stepper.step({}, 0)).loss]);
      await stepper.dispose();
    }
    const [a, again, other] = losses;
    assert.deepEqual(a, again);
    assert.notEqual(a![0], a![1]);
    assert.notEqual(a![0], other![0]);
  });
});

test("seeds of steps: 32 bits, and no two alike among many steps and runs", () => {
  const seen = new Set<number>();
  for (let seed = -50; seed < 50; seed++) for (let step = 1; step <= 200; step++) seen.add(stepSeed(seed, step));
  // Of 20,000 draws from 2³² numbers, 0.05 pairs are expected to meet.
  assert.ok(seen.size >= 19_999, `${seen.size} different ones`);
  for (const value of seen) assert.ok(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31);
});
