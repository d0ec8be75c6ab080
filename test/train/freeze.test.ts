/** Freezing by name: which parameters stay trainable, and that a step leaves the others as they are. */
import assert from "node:assert/strict";
import test from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { adam } from "../../src/optim/adam.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { batchOf, lossOf, mlpRig, readAll, scatterParameters } from "../../src/testing/method-rig.ts";
import { freezeByName } from "../../src/parameters.ts";
import { Stepper } from "../../src/train/stepper.ts";
import { trainingGraph } from "../../src/train/training-graph.ts";

const rig = mlpRig();
const { parameters } = rig.model;

test("names and patterns freeze what they match", () => {
  assert.deepEqual([...freezeByName(parameters, ["fc1.weight", /^fc2\./])], ["fc1.bias", "fc3.weight", "fc3.bias"]);
  // A global pattern remembers where its last match ended.
  assert.deepEqual([...freezeByName(parameters, [/\.(weight|bias)$/g])], []);
  assert.throws(
    () => freezeByName(parameters, ["fc1.wieght", "fc1", /fc9/]),
    (error) => {
      assert.ok(error instanceof ConfigError);
      for (const given of ["fc1.wieght", '"fc1"', "fc9"]) assert.ok(error.message.includes(given), error.message);
      return true;
    },
  );
});

test("a step moves the trainable parameters and leaves every bit of the frozen ones", async () => {
  const device = await ortDevice({ threads: 1 });
  try {
    await scatterParameters(device, parameters);
    const before = await readAll(device, parameters);
    const trainable = freezeByName(parameters, [/^fc1\./, "fc3.bias"]);
    const optimizer = adam();
    const training = trainingGraph({ parameters, trainable, optimizer, loss: (tracing) => lossOf(tracing, rig) });
    assert.deepEqual([...training.frozen].sort(), ["fc1.bias", "fc1.weight", "fc3.bias"]);
    const stepper = await Stepper.create(device, training, { optimizer });
    await stepper.step(batchOf(rig, 9), 0.01);
    for (const [name, { data }] of await readAll(device, parameters)) {
      if (trainable.has(name)) assert.notDeepEqual(data, before.get(name)!.data, name);
      else assert.deepEqual(data, before.get(name)!.data, name);
    }
  } finally {
    await device.dispose();
  }
});
