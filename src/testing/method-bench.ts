/** A tuning method at work: an adapter on a small model on the engine, fresh, as noise, or after some steps. */
import type { Adapter } from "../adapters/adapter.ts";
import { initializeAdapter } from "../adapters/initialize.ts";
import type { Method } from "../adapters/method.ts";
import { adamw } from "../optim/adam.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device, Tensor } from "../runtime/runtime.ts";
import { Stepper } from "../train/stepper.ts";
import { type Rig, scatterParameters, trainingOf } from "./method-rig.ts";

/** Rows of a batch: none of the models' sizes. */
export const ROWS = 9;

/** What a method is tried with. */
export interface Bench {
  readonly device: Device;
  readonly rig: Rig;
  readonly adapter: Adapter;
  /** That of the feeds. */
  readonly x: Tensor;
  readonly feeds: { readonly x: Tensor; readonly labels: Tensor };
  /** Settings that PEFT's file cannot hold. */
  readonly notInFile: readonly string[];
  /** What its file is read as. */
  readonly readAs: Method<object>;
}

/** A method on the model as a whole has no targets. */
export function targetsFor({ on }: Pick<Method<object>, "on">, layers: readonly string[]) {
  return on === "model" ? {} : { targetModules: layers };
}

/** A fresh adapter on a base with known weights. */
export async function start({ device, rig, adapter }: Pick<Bench, "device" | "rig" | "adapter">): Promise<void> {
  await scatterParameters(device, rig.model.parameters, { seed: 3 });
  await initializeAdapter(device, adapter, 5);
}

/** A base with known weights and an adapter whose trained parameters are noise. */
export async function scatter({ device, rig, adapter }: Pick<Bench, "device" | "rig" | "adapter">): Promise<void> {
  await start({ device, rig, adapter });
  await scatterParameters(device, adapter.parameters);
}

/** Losses of AdamW steps on the batch. */
export async function train({ device, rig, adapter, feeds }: Bench, steps: number): Promise<number[]> {
  const optimizer = adamw();
  const stepper = await Stepper.create(device, trainingOf(rig, [adapter], optimizer), { optimizer });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push((await stepper.step(feeds, 0.05)).loss);
  await stepper.dispose();
  return losses;
}

export async function withDevice(use: (device: Device) => Promise<void>): Promise<void> {
  const device = await ortDevice({ threads: 1 });
  try {
    await use(device);
  } finally {
    await device.dispose();
  }
}
