/** The models that are compared with what was trained: the merged one in memory, and the one in the files. */
import { mkdtemp, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { loadWeights } from "../formats/model/weights.ts";
import { CAUSAL, type Task } from "../models/text-model.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device } from "../runtime/runtime.ts";
import type { ExportedClasses } from "./export-classes.ts";
import type { ExportOptions } from "./export-options.ts";
import { loadFor } from "./export-source.ts";
import type { Weights } from "./export-weights.ts";
import { LanguageModel } from "./language-model.ts";
import { type NotingDevice, noteGraphs } from "./operators.ts";
import type { PretrainedModel } from "./pretrained-model.ts";
import { readModel } from "./read-model.ts";

/** A model that is being compared, with what has to be freed after it. */
export interface Opened {
  readonly language: LanguageModel;
  readonly device: NotingDevice;
  readonly dispose: () => Promise<void>;
}

/** The merged model in float32, on a device of its own: the base's weights are mapped a second time. */
export async function openMerged(
  base: PretrainedModel,
  classes: ExportedClasses | undefined,
  merged: Weights,
  { threads }: ExportOptions,
): Promise<Opened> {
  const device = noteGraphs(await ortDevice(threads === undefined ? {} : { threads }));
  try {
    const copy = await loadFor(classes, base.dir, { device });
    const specs = new Map(merged.parameters.map((spec) => [spec.name, spec]));
    for (const name of merged.changed) {
      const data = (await merged.read(name)).data as Float32Array;
      await device.write(name, { dtype: "float32", shape: specs.get(name)!.shape, data });
    }
    const { parameters, tied } = merged;
    const language = new LanguageModel(device, { ...copy.language.model, parameters, tied });
    return { language, device, dispose: () => device.dispose() };
  } catch (error) {
    await device.dispose();
    throw error;
  }
}

/** The model as it lies in the files. What has to be converted goes beside them, and is gone afterwards. */
export async function openExported(
  dir: string,
  classes: ExportedClasses | undefined,
  { threads, signal }: ExportOptions,
): Promise<Opened> {
  const device: Device = await ortDevice(threads === undefined ? {} : { threads });
  const noting = noteGraphs(device);
  const cacheDir = await mkdtemp(join(dirname(dir), `.${basename(dir)}.float32.`));
  const dispose = async () => {
    await device.dispose();
    await rm(cacheDir, { recursive: true, force: true });
  };
  try {
    const task: Task = classes === undefined ? CAUSAL : { kind: "classification", classes: classes.labels.length };
    const { model, match } = await readModel(dir, { taskOf: () => task });
    await loadWeights(noting, model.parameters, dir, {
      ...match,
      cacheDir,
      ...(signal === undefined ? {} : { signal }),
    });
    return { language: new LanguageModel(noting, model), device: noting, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
