/** What an export starts from: the weights that adapters are merged into, and the model that they were trained on. */
import { mkdtemp, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError } from "../errors.ts";
import { readModelConfig, type WeightDtype } from "../formats/model/config.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import { AutoModelForCausalLM } from "./causal-lm-model.ts";
import { AutoModelForSequenceClassification } from "./classification-model.ts";
import { loadAdapters } from "./export-adapters.ts";
import type { ExportedClasses } from "./export-classes.ts";
import type { ExportOptions } from "./export-options.ts";
import type { CheckText } from "./merge-check.ts";
import { type NotingDevice, noteGraphs } from "./operators.ts";
import type { FromPretrainedOptions, PretrainedModel } from "./pretrained-model.ts";
import { chosenStorage, type StorageSettings } from "./quantization.ts";
import { AGAINST, type Against, storageCost, type StorageCost, type StorageReport } from "./storage-cost.ts";

/** What is merged into, and what was trained. */
export interface Source {
  /** With float32 weights: what the adapters are merged into. */
  readonly base: PretrainedModel;
  readonly device: NotingDevice;
  /** The model that the report names. */
  readonly identified: PretrainedModel;
  readonly dtype: WeightDtype | undefined;
  /** How the weights were stored in training; undefined: as float32. */
  readonly storage: StorageReport | undefined;
  /** What the storage costs on some texts, with adapters from their folders. */
  readonly costs: (texts: readonly CheckText[], adapterDirs: readonly string[]) => Promise<StorageReport | undefined>;
  readonly dispose: () => Promise<void>;
}

/** @throws ConfigError if the checkpoint has no original weights, and these are asked for */
export async function openSource(
  baseDir: string,
  options: ExportOptions,
  classes: ExportedClasses | undefined,
): Promise<Source> {
  const { against = "dequantised", threads, signal, storage, doubleQuantization, quantizationConfig } = options;
  const engine = () => ortDevice(threads === undefined ? {} : { threads });
  const loading = {
    ...(signal === undefined ? {} : { signal }),
    ...(options.ropeScaling === undefined ? {} : { ropeScaling: options.ropeScaling }),
    onConvert: (done: number, total: number) => options.onProgress?.({ phase: "convert", done, total, unit: "B" }),
  };
  const device = noteGraphs(await engine());
  const opened: { dispose: () => Promise<void> }[] = [device];
  const dispose = async () => {
    for (const each of opened.splice(0).reverse()) await each.dispose();
  };
  const load = async (dir: string, settings: StorageSettings = {}) => {
    const on = await engine();
    opened.push(on);
    return loadFor(classes, dir, { device: on, ...loading, ...settings });
  };
  /** The values that a storage stands for, as a model of its own beside the one that is to be written. */
  const decodedFolder = async (model: PretrainedModel) => {
    const out = resolve(options.out);
    const dir = await mkdtemp(join(dirname(out), `.${basename(out)}.dequantised.`));
    opened.push({ dispose: () => rm(dir, { recursive: true, force: true }) });
    await model.savePretrained(dir, { dtype: "float32" });
    return dir;
  };
  try {
    const settings: StorageSettings = {
      ...(storage === undefined ? {} : { storage }),
      ...(doubleQuantization === undefined ? {} : { doubleQuantization }),
      ...(quantizationConfig === undefined ? {} : { quantizationConfig }),
    };
    const isQuantized = (await readModelConfig(baseDir)).has("quantization_config");
    if (chosenStorage(settings) === undefined && !isQuantized) {
      const base = await loadFor(classes, baseDir, { device, ...loading });
      const none = { storage: undefined, costs: async () => undefined };
      return { base, device, identified: base, dtype: base.config.dtype, ...none, dispose };
    }
    const trained = await load(baseDir, settings);
    const weights = [...trained.language.storages.values()];
    if (against === "original" && isQuantized) {
      throw new ConfigError({
        where: "against",
        what: "the checkpoint has no weights but the quantised ones",
        got: "original",
        hint: "give the model that it was made from as the base, and say how it was stored: --storage nf4",
      });
    }
    const baseFolder = against === "original" ? baseDir : await decodedFolder(trained);
    const base = await loadFor(classes, baseFolder, { device, ...loading });
    const [first] = weights;
    const report: StorageReport = {
      name: first!.storage.name,
      double_quantization: first!.storage.hasConstants && first!.options.doubleQuantization,
      weights: weights.length,
      against,
    };
    const costs = async (texts: readonly CheckText[], adapterDirs: readonly string[]): Promise<StorageReport> => {
      const withAdapters = async (model: PretrainedModel) => {
        const { adapters } = await loadAdapters(model, adapterDirs);
        return { language: model.language, adapters: adapters.map(({ name }) => name) };
      };
      const reference = await withAdapters(trained);
      const found: Partial<Record<Against, StorageCost>> = {};
      for (const kind of AGAINST) {
        if (kind === "original" && isQuantized) continue;
        const other =
          kind === against
            ? { language: base.language, adapters: [...base.language.adapters.keys()] }
            : await withAdapters(await load(kind === "original" ? baseDir : await decodedFolder(trained)));
        found[kind] = await storageCost(reference, other, texts);
      }
      return { ...report, costs: found };
    };
    return { base, device, identified: trained, dtype: trained.config.dtype, storage: report, costs, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** @param classes undefined: the model goes on with texts */
export function loadFor(
  classes: ExportedClasses | undefined,
  dir: string,
  options: Omit<FromPretrainedOptions, "randomSeed">,
): Promise<PretrainedModel> {
  if (classes === undefined) return AutoModelForCausalLM.fromPretrained(dir, options);
  return AutoModelForSequenceClassification.fromPretrained(dir, { ...options, ...classes });
}
