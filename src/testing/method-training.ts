/** A method in training: where it starts, what moves, how each step goes, and whether it learns. */
import assert from "node:assert/strict";
import { adapterHook, adapterStates, withCopies } from "../adapters/adapter.ts";
import { Graph } from "../ir/graph.ts";
import { adamw } from "../optim/adam.ts";
import { sgd } from "../optim/sgd.ts";
import { interpDevice } from "../runtime/interp.ts";
import { Stepper } from "../train/stepper.ts";
import { type Bench, scatter, start, train } from "./method-bench.ts";
import { close, numbersOf, sameBits } from "./method-numbers.ts";
import { batchOf, logitsOf, lossOf, readAll, tracingOf, trainingOf } from "./method-rig.ts";

export async function checkStart(bench: Bench): Promise<void> {
  const { device, rig, adapter, x } = bench;
  await start(bench);
  const base = await logitsOf(device, rig, x, []);
  sameBits(await logitsOf(device, rig, x, [adapter]), base, "logits");
}

export async function checkTraining(bench: Bench): Promise<void> {
  const { device, rig, adapter, x } = bench;
  await start(bench);
  const base = await logitsOf(device, rig, x, []);
  const frozen = await readAll(device, rig.model.parameters);
  const fresh = await readAll(device, adapter.parameters);
  await train(bench, 3);
  for (const [name, tensor] of await readAll(device, rig.model.parameters)) sameBits(tensor, frozen.get(name)!, name);
  for (const [name, tensor] of await readAll(device, adapter.parameters)) {
    assert.notDeepEqual(tensor.data, fresh.get(name)!.data, `${name} has not moved`);
  }
  sameBits(await logitsOf(device, rig, x, []), base, "logits without the adapter");
  assert.notDeepEqual((await logitsOf(device, rig, x, [adapter])).data, base.data, "the adapter has no effect");
}

export async function checkStep({ device, rig, adapter, feeds }: Bench): Promise<void> {
  for (const optimizer of [sgd({ momentum: 0.9 }), adamw()]) {
    await scatter({ device, rig, adapter });
    const judge = interpDevice();
    const given = await readAll(device, [...rig.model.parameters, ...adapterStates(adapter)]);
    for (const [name, tensor] of given) await judge.write(name, tensor);
    const training = trainingOf(rig, [adapter], optimizer);
    // Adam divides by √v: where a gradient is near 0, rounding decides where its parameter goes.
    const compared = [...training.slots, ...(optimizer.name === "sgd" ? adapter.parameters : [])];
    for (const target of [device, judge]) {
      const stepper = await Stepper.create(target, training, { optimizer, seed: 2 });
      await stepper.step(feeds, 0.05);
      await stepper.dispose();
    }
    for (const { name } of compared) close(await device.read(name), await judge.read(name), name);
  }
}

export async function checkOverfit(bench: Bench, leaves: number): Promise<void> {
  // Few rows: a small rank cannot learn many random labels by heart.
  const feeds = batchOf(bench.rig, 4);
  await start(bench);
  const before = await evaluate(bench, feeds);
  await train({ ...bench, feeds }, 20);
  const now = await evaluate(bench, feeds);
  assert.ok(now < leaves * before, `the loss fell from ${before} to ${now} only`);
}

/** The loss outside training: nothing is random. */
async function evaluate({ device, rig, adapter }: Bench, feeds: Bench["feeds"]): Promise<number> {
  const graph = new Graph();
  graph.output("loss", lossOf(withCopies({ ...tracingOf(graph), adapt: adapterHook([adapter]) }, [adapter]), rig));
  const executable = await device.compile(graph);
  const { loss } = await executable.run(feeds);
  await executable.dispose();
  return numbersOf(loss!)[0]!;
}
