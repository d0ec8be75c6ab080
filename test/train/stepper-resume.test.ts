/** A saved state that is not one of the run it is given to. The bit-for-bit resumption is in the contract of methods. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { adam } from "../../src/optim/adam.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device, Tensor } from "../../src/runtime/runtime.ts";
import { batchOf, lossOf, mlpRig, scatterParameters } from "../../src/testing/method-rig.ts";
import { Stepper, type StepperState, zeroTensor } from "../../src/train/stepper.ts";
import { slotName, trainingGraph } from "../../src/train/training-graph.ts";

const rig = mlpRig();
const { parameters } = rig.model;
const optimizer = adam();
const training = trainingGraph({
  parameters,
  trainable: new Set(["fc1.weight"]),
  optimizer,
  loss: (tracing) => lossOf(tracing, rig),
});
let device: Device;
before(async () => {
  device = await ortDevice({ threads: 1 });
  await scatterParameters(device, parameters);
});
after(() => device.dispose());

test("a state is a copy: later steps do not change it", async () => {
  const stepper = await Stepper.create(device, training, { optimizer, seed: 3 });
  await stepper.step(batchOf(rig, 9), 0.01);
  const state = await stepper.state();
  const slot = slotName("fc1.weight", "exp_avg");
  const kept = Float32Array.from(state.slots.get(slot)!.data as Float32Array);
  await stepper.step(batchOf(rig, 9), 0.01);
  assert.deepEqual([...state.slots.keys()], [slot, slotName("fc1.weight", "exp_avg_sq")]);
  assert.deepEqual(state.slots.get(slot)!.data, kept);
  assert.deepEqual([state.steps, state.seed], [1, 3]);
  await stepper.dispose();
});

test("everything that does not fit is named at once", async () => {
  const slots = new Map<string, Tensor>([
    [slotName("fc1.weight", "exp_avg"), zeroTensor([7, 11])],
    [slotName("fc2.weight", "exp_avg"), zeroTensor([6, 11])],
  ]);
  const resume: StepperState = { steps: -1, seed: 3, slots };
  await assert.rejects(Stepper.create(device, training, { optimizer, seed: 4, resume }), (error) => {
    assert.ok(error instanceof ConfigError);
    for (const part of [
      "-1 is not a number of steps",
      "the seed was 3 and is now 4",
      "optimizer/fc1.weight/exp_avg is float32[7, 11] and not float32[11, 7]",
      "optimizer/fc1.weight/exp_avg_sq is missing",
      "nothing in this run is called optimizer/fc2.weight/exp_avg",
    ]) {
      assert.ok(error.message.includes(part), error.message);
    }
    return true;
  });
});
