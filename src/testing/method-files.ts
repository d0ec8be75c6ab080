/** A method in files: saved and loaded, paused and resumed, named as PEFT names it. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Adapter, attach } from "../adapters/adapter.ts";
import type { Method } from "../adapters/method.ts";
import { loadAdapter, saveAdapter } from "../formats/peft/index.ts";
import { peftType } from "../formats/peft/methods.ts";
import { restoreAdapter, saveStates } from "../formats/peft/restore.ts";
import { openSafetensors } from "../formats/safetensors/index.ts";
import { adamw } from "../optim/adam.ts";
import type { Device } from "../runtime/runtime.ts";
import { Stepper } from "../train/stepper.ts";
import { type Bench, scatter, start, withDevice } from "./method-bench.ts";
import { close, sameBits } from "./method-numbers.ts";
import { logitsOf, type Rig, scatterParameters, trainingOf } from "./method-rig.ts";

export async function checkConversion(bench: Bench, folder: string): Promise<void> {
  const { device, rig, adapter, x } = bench;
  const dir = join(folder, "converted");
  await scatter(bench);
  const expected = await logitsOf(device, rig, x, [adapter]);
  await saveAdapter(device, adapter, dir);
  await withDevice(async (other) => {
    await scatterParameters(other, rig.model.parameters, { seed: 3 });
    const { adapter: loaded, warnings } = await loadAdapter(other, rig.model, dir);
    assert.deepEqual(warnings, []);
    close(await logitsOf(other, rig, x, [loaded]), expected, "logits");
  });
}

export async function checkFile(bench: Bench, folder: string): Promise<void> {
  const { device, rig, adapter, x } = bench;
  const dir = join(folder, "adapter");
  await scatter({ device, rig, adapter });
  const expected = await logitsOf(device, rig, x, [adapter]);
  await saveAdapter(device, adapter, dir);
  await withDevice(async (other) => {
    await scatterParameters(other, rig.model.parameters, { seed: 3 });
    const loaded = await reload(other, bench, dir);
    sameBits(await logitsOf(other, rig, x, [loaded]), expected, "logits");
  });
}

async function reload(
  device: Device,
  { adapter: saved, rig, notInFile, readAs }: Bench,
  dir: string,
): Promise<Adapter> {
  const settings = Object.entries(saved.config as Readonly<Record<string, unknown>>).filter(([key]) =>
    Object.hasOwn(readAs.settings, key),
  );
  const config = Object.fromEntries(settings.filter(([key]) => notInFile.includes(key)));
  const { adapter, warnings } = await loadAdapter(device, rig.model, dir, { config, method: readAs.name });
  assert.deepEqual(warnings, []);
  assert.equal(adapter.method.name, readAs.name);
  assert.deepEqual(adapter.config, Object.fromEntries(settings));
  assert.deepEqual(
    adapter.parameters.map(({ name, shape }) => ({ name, shape })),
    saved.parameters.map(({ name, shape }) => ({ name, shape })),
  );
  return adapter;
}

export async function checkResume(bench: Bench, folder: string, converts: boolean): Promise<void> {
  const { device, rig, adapter, feeds } = bench;
  const dir = join(folder, "paused");
  await start(bench);
  const optimizer = adamw();
  const whole = await Stepper.create(device, trainingOf(rig, [adapter], optimizer), { optimizer, seed: 11 });
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) losses.push((await whole.step(feeds, 0.01)).loss);
  await saveAdapter(device, adapter, dir);
  if (converts) await saveStates(device, adapter, dir);
  const state = await whole.state();
  for (let i = 0; i < 3; i++) losses.push((await whole.step(feeds, 0.01)).loss);
  await whole.dispose();

  await withDevice(async (other) => {
    await scatterParameters(other, rig.model.parameters, { seed: 3 });
    const loaded = converts ? await restored(other, bench, dir) : await reload(other, bench, dir);
    const training = trainingOf(rig, [loaded], optimizer);
    const resumed = await Stepper.create(other, training, { optimizer, resume: state });
    assert.equal(resumed.steps, 3);
    for (const loss of losses.slice(3)) assert.equal((await resumed.step(feeds, 0.01)).loss, loss);
    for (const { name } of [...adapter.parameters, ...training.slots]) {
      sameBits(await other.read(name), await device.read(name), name);
    }
  });
}

/** A fresh adapter with the states of a checkpoint. */
async function restored(device: Device, { rig, adapter }: Bench, dir: string): Promise<Adapter> {
  await start({ device, rig, adapter });
  await restoreAdapter(device, adapter, dir);
  return adapter;
}

export async function checkNames<C extends object>(method: Method<C>, rig: Rig, dir: string): Promise<void> {
  const written = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as {
    readonly peft_type: string;
  };
  assert.equal(written.peft_type, peftType(method as Method<object>));
  const folder = await mkdtemp(join(tmpdir(), "lowrank-method-"));
  try {
    await withDevice(async (device) => {
      const { adapter } = await loadAdapter(device, rig.model, dir);
      const layers = adapter.targets.map(({ layer }) => layer.name);
      const config = adapter.config as Partial<C>;
      const ours = attach(rig.model, method, { targetModules: layers, config });
      await start({ device, rig, adapter: ours });
      await saveAdapter(device, ours, folder);
    });
    assert.deepEqual(await layout(folder), await layout(dir));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function layout(dir: string): Promise<Record<string, readonly number[]>> {
  const file = await openSafetensors(join(dir, "adapter_model.safetensors"));
  await file.close();
  return Object.fromEntries([...file.tensors].map(([name, { shape }]): [string, readonly number[]] => [name, shape]));
}
