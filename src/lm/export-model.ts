/**
 * A model with adapters as one model in a folder: merged in float32, rounded once, read back and compared with what was
 * trained.
 *
 * The folder gets its name after the check. Until then it is called `NAME.unchecked`, and after a failed one
 * `NAME.failed`; an earlier export of that name stays as it was.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Adapter } from "../adapters/adapter.ts";
import { mergedWeights } from "../adapters/merge.ts";
import { loadTokenizer, type Tokenizer } from "../data/text/index.ts";
import { ConfigError, DataError } from "../errors.ts";
import { readModelConfig, type WeightDtype } from "../formats/model/config.ts";
import { loadWeights } from "../formats/model/weights.ts";
import { checkFree, replaceFolder, writeModel, type WriteModelOptions } from "../formats/model/write.ts";
import { loadAdapter } from "../formats/peft/index.ts";
import { resolveFolder } from "../hub/resolve.ts";
import type { ParameterSpec } from "../nn/module.ts";
import type { RopeStretch } from "../models/stretch-positions.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import type { Device } from "../runtime/runtime.ts";
import { AutoModelForCausalLM } from "./causal-lm-model.ts";
import { AutoModelForSequenceClassification } from "./classification-model.ts";
import { CHECK_PROMPTS, type CheckPrompt, drawnPrompts, encodePrompts } from "./check-prompts.ts";
import { type ExportedClasses, exportedClasses } from "./export-classes.ts";
import { type ExportedText, exportedText } from "./export-text.ts";
import { commitOf, identityOf, modelFiles } from "./file-identity.ts";
import { LanguageModel } from "./language-model.ts";
import {
  CHECK_LIMITS,
  type CheckLimits,
  type CheckText,
  compareModels,
  continueGreedily,
  exceeded,
  logitsOf,
  short,
  summarize,
  type TextDifference,
} from "./merge-check.ts";
import {
  type AdapterIdentity,
  type BaseIdentity,
  MERGE_REPORT_FILE,
  type MergeReport,
  wireLimits,
  wireTexts,
} from "./merge-report.ts";
import { chosenStorage, type StorageSettings } from "./quantization.ts";
import { type FromPretrainedOptions, type HubOptions, hubOptions, type PretrainedModel } from "./pretrained-model.ts";
import { readModel } from "./read-model.ts";
import { CAUSAL, type Task } from "../models/text-model.ts";
import { classTokenAt } from "./forward-classes.ts";
import { AGAINST, type Against, storageCost, type StorageCost, type StorageReport } from "./storage-cost.ts";
import { compareOperators, isSameList, type NotingDevice, noteGraphs, operatorsOf } from "./operators.ts";

export interface ExportOptions extends HubOptions, StorageSettings {
  /** Folder of the base, or its name on the hub. */
  readonly model: string;
  /** Folders of adapters, or their names on the hub; merged one after the other. None: the model is only rewritten. */
  readonly adapters: readonly string[];
  /** Folder to write. */
  readonly out: string;
  /**
   * What the adapters are merged into, where `storage` says that they were trained on stored weights, or the base is a
   * quantised checkpoint: the values that the storage stands for, which are what was trained, or the checkpoint's own.
   * Default: "dequantised".
   */
  readonly against?: Against;
  /** Type of the stored weights. Default: that of the base. */
  readonly dtype?: WeightDtype;
  /** Positions of the base, if they were stretched for training. Default: as they are. */
  readonly ropeScaling?: RopeStretch;
  /** Bytes of a file at most. Default: 5e9. */
  readonly maxShardBytes?: number;
  /** LLaMA-Factory's name of the chat template, for models that have none of their own. */
  readonly template?: string;
  /** Whether the result is compared with what was trained. Default: true. */
  readonly check?: boolean;
  /** Prompts of the comparison. Default: {@link CHECK_PROMPTS}. */
  readonly prompts?: readonly string[];
  /** Tokens that are generated after each prompt. Default: 16. */
  readonly newTokens?: number;
  /** Largest |Δlogit| of the files that passes, in place of the limits of the type. */
  readonly threshold?: number;
  /** Threads of the engine. Default: one per core. */
  readonly threads?: number;
  readonly onProgress?: (progress: ExportProgress) => void;
}

export interface ExportProgress {
  readonly phase: "hash" | "convert" | "write" | "check";
  readonly done: number;
  readonly total: number;
  readonly unit: "B" | "parameters" | "texts";
}

export interface ExportResult {
  readonly report: MergeReport;
  /** The folder as it is called now. */
  readonly dir: string;
}

const DEFAULT_NEW_TOKENS = 16;
const DEFAULT_SHARD_BYTES = 5e9;
/** The first number that rounds to infinity in float16. */
const FLOAT16_OVERFLOW = 65520;

/** A model that is being compared, with what has to be freed after it. */
interface Opened {
  readonly language: LanguageModel;
  readonly device: NotingDevice;
  readonly dispose: () => Promise<void>;
}

/**
 * Merges adapters into a model and writes the result; then checks it, unless that is turned off.
 * @returns the report, whose verdict may be `failed`: nothing is thrown for that
 * @throws ConfigError if the folder is not free, an adapter cannot be merged, or a weight is too large for `dtype`;
 *   FormatError, DataError as loading and writing
 */
export async function exportModel(options: ExportOptions): Promise<ExportResult> {
  const { adapters: names, check = true } = options;
  const out = resolve(options.out);
  const [unchecked, failed] = [`${out}.unchecked`, `${out}.failed`];
  const { dir: baseDir } = await resolveFolder(options.model, { kind: "model", ...hubOptions(options) });
  // A revision is that of the base: adapters have branches of their own.
  const { revision: _, ...forAdapters } = hubOptions(options);
  const adapterDirs: string[] = [];
  for (const name of names) adapterDirs.push((await resolveFolder(name, { kind: "adapter", ...forAdapters })).dir);
  for (const folder of [out, unchecked, failed])
    await checkFree(folder, { tensors: [], config: {}, copyFrom: [baseDir] });

  const classes = await exportedClasses(baseDir, adapterDirs);
  const source = await openSource(baseDir, options, classes);
  const { base, device } = source;
  try {
    const dtype = options.dtype ?? source.dtype ?? "float32";
    const tokenizer = await tokenizerOf(base);
    // A classifier reads texts as they are.
    const text: ExportedText =
      classes === undefined
        ? await exportedText(tokenizer, adapterDirs, options.template)
        : { origin: "none", files: {}, notes: [] };
    const prompts = check ? await checkPrompts(base, tokenizer, text, options) : [];
    if (check) await logitsOf({ language: base.language, adapters: [] }, prompts[0]!.ids);
    const baseOperators = device.graphs.flatMap((graph) => operatorsOf(graph, device.kind));

    const loaded = await loadAdapters(base, adapterDirs);
    const merged = loaded.adapters.length === 0 ? unmerged(base) : mergedWeights(device, loaded.adapters);
    const report: MergeReport = {
      verdict: "unchecked",
      problems: [],
      warnings: [...loaded.warnings, ...baseWarnings(options.model, baseDir, loaded.identities)],
      base: { ...(await baseIdentity(source.identified, options)), name_or_path: options.model },
      adapters: loaded.identities.map((identity, i) => ({ ...identity, name_or_path: names[i]! })),
      export: {
        dtype,
        parameters: merged.parameters.reduce((sum, spec) => sum + elements(spec), 0),
        chat_template: text.origin,
        ...(classes === undefined ? {} : { labels: classes.labels }),
        notes: text.notes,
      },
      ...(source.storage === undefined ? {} : { storage: source.storage }),
    };
    const written = { ...merged, dtype, text };
    await write(unchecked, base, written, options);
    const checked = check
      ? await checkExport(
          unchecked,
          base,
          {
            ...written,
            classes,
            loaded: loaded.adapters,
            prompts,
            baseOperators,
            storageReport: (texts) => source.costs(texts, adapterDirs),
          },
          options,
        )
      : {};
    const warnings = [...report.warnings, ...(checked.warnings ?? [])];
    const final = { ...report, ...checked, warnings };
    await writeFile(join(unchecked, MERGE_REPORT_FILE), `${JSON.stringify(final, null, 2)}\n`);
    const dir = final.verdict === "failed" ? failed : out;
    await replaceFolder(unchecked, dir);
    // What is left of an earlier attempt would only confuse.
    if (dir === out) await rm(failed, { recursive: true, force: true });
    return { report: final, dir };
  } finally {
    await source.dispose();
    await rm(unchecked, { recursive: true, force: true });
  }
}

/** What is merged into, and what was trained. */
interface Source {
  /** With float32 weights: what the adapters are merged into. */
  readonly base: PretrainedModel;
  readonly device: NotingDevice;
  /** The model that the report names. */
  readonly identified: PretrainedModel;
  readonly dtype: WeightDtype | undefined;
  /** How the weights were stored in training; undefined: as float32. */
  readonly storage: StorageReport | undefined;
  readonly costs: (texts: readonly CheckText[], adapterDirs: readonly string[]) => Promise<StorageReport | undefined>;
  readonly dispose: () => Promise<void>;
}

/** @throws ConfigError if the checkpoint has no original weights, and these are asked for */
async function openSource(
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
function loadFor(
  classes: ExportedClasses | undefined,
  dir: string,
  options: Omit<FromPretrainedOptions, "randomSeed">,
): Promise<PretrainedModel> {
  if (classes === undefined) return AutoModelForCausalLM.fromPretrained(dir, options);
  return AutoModelForSequenceClassification.fromPretrained(dir, { ...options, ...classes });
}

interface Weights {
  readonly parameters: readonly ParameterSpec[];
  readonly tied: Readonly<Record<string, string>>;
  readonly changed: ReadonlySet<string>;
  readonly read: (name: string) => Promise<{ readonly data: unknown }>;
}

interface Written extends Weights {
  readonly dtype: WeightDtype;
  readonly text: ExportedText;
}

function unmerged({ language: { device, model } }: PretrainedModel): Weights {
  const { parameters, tied } = model;
  return { parameters, tied, changed: new Set(), read: (name) => device.read(name) };
}

async function write(
  dir: string,
  base: PretrainedModel,
  { parameters, tied, read, dtype, text }: Written,
  { maxShardBytes = DEFAULT_SHARD_BYTES, onProgress, signal }: ExportOptions,
): Promise<void> {
  const tensors = parameters.map(({ name, shape }) => ({
    name,
    shape,
    read: async () => {
      const data = (await read(name)).data as Float32Array;
      checkRange(name, data, dtype);
      return data;
    },
  }));
  const isUntied = Object.keys(tied).length < Object.keys(base.language.model.tied).length;
  const config = isUntied ? { ...base.savedConfig, tie_word_embeddings: false } : base.savedConfig;
  const more: Partial<WriteModelOptions> = signal === undefined ? {} : { signal };
  await writeModel(dir, {
    ...more,
    tensors,
    dtype,
    shardBytes: maxShardBytes,
    config,
    copyFrom: [base.dir],
    files: text.files,
    onProgress: (done, total) => onProgress?.({ phase: "write", done, total, unit: "parameters" }),
  });
}

/** @throws ConfigError if a weight would become infinite */
function checkRange(name: string, data: Float32Array, dtype: WeightDtype): void {
  if (dtype !== "float16") return;
  const at = data.findIndex((value) => !(Math.abs(value) < FLOAT16_OVERFLOW));
  if (at < 0) return;
  throw new ConfigError({
    where: "dtype",
    what: `${name} does not fit into float16: element ${at}`,
    got: data[at],
    expected: "at most 65504 in size",
    hint: "export in bfloat16, which has float32's range, or in float32",
  });
}

async function checkExport(
  dir: string,
  base: PretrainedModel,
  {
    loaded,
    classes,
    prompts,
    baseOperators,
    storageReport,
    ...written
  }: Written & {
    classes: ExportedClasses | undefined;
    loaded: readonly Adapter[];
    prompts: readonly CheckPrompt[];
    baseOperators: readonly string[];
    storageReport: (texts: readonly CheckText[]) => Promise<StorageReport | undefined>;
  },
  options: ExportOptions,
): Promise<Partial<MergeReport>> {
  const { dtype, text } = written;
  const { language } = base;
  const names = loaded.map(({ name }) => name);
  const reference = { language, adapters: names };
  const newTokens = Math.min(options.newTokens ?? DEFAULT_NEW_TOKENS, language.model.maxPositions - 1);
  const texts =
    classes === undefined
      ? await continueGreedily(reference, prompts, newTokens)
      : prompts.map((prompt) => ({
          ...prompt,
          generated: 0,
          classAt: classTokenAt(language.model, prompt.ids),
        }));
  // Decoding has rearranged copies of the weights, which nobody needs any more.
  await language.changed();

  const total = texts.length * (dtype === "float32" ? 1 : 2);
  const onText = (from: number) => (done: number) =>
    options.onProgress?.({ phase: "check", done: from + done, total, unit: "texts" });
  // In float32 the files are the merged model, bit for bit.
  const inMemory =
    dtype === "float32"
      ? undefined
      : await compareOpened(await openMerged(base, classes, written, options), reference, texts, onText(0));
  const files = await compareOpened(
    await openExported(dir, classes, options),
    reference,
    texts,
    onText(inMemory === undefined ? 0 : texts.length),
    { language, adapters: [] },
  );
  const merged = inMemory ?? files;
  const limits = limitsFor(dtype, options.threshold, classes !== undefined);
  const operators = [merged, files].map((model) => compareOperators(baseOperators, model.operators));
  const misread = await misreadPrompts(dir, prompts, text, language.model.vocabSize, options);
  const problems = [
    ...explain(
      "merged in float32",
      exceeded(merged.differences, inMemory === undefined ? limits : CHECK_LIMITS.float32),
      {
        cause: "the merge is not exact",
        hint: "this is a bug: please report it",
      },
    ),
    ...(inMemory === undefined
      ? []
      : explain(`files in ${dtype}`, exceeded(files.differences, limits), castCause(dtype))),
    ...operators.flatMap((difference, i) =>
      isSameList(difference)
        ? []
        : [
            `${i === 0 ? "the merged model" : "the exported model"} does not execute the base's operators: ` +
              `${difference.extra.length} more, ${difference.missing.length} fewer${difference.reordered ? ", or in another order" : ""}`,
          ],
    ),
    ...misread,
  ];
  const storage = await storageReport(texts);
  const [exportedKl, effectKl] = [files.differences, files.effect].map((list) => summarize(list).meanKl);
  return {
    verdict: problems.length === 0 ? "passed" : "failed",
    problems,
    warnings: effectWarnings(files.effect, exportedKl!, effectKl!, loaded.length, dtype),
    thresholds: {
      merged: wireLimits(inMemory === undefined ? limits : CHECK_LIMITS.float32),
      exported: wireLimits(limits),
    },
    operators: {
      base: baseOperators.length,
      merged: merged.operators.length,
      exported: files.operators.length,
      extra: [...new Set(operators.flatMap(({ extra }) => extra))],
      missing: [...new Set(operators.flatMap(({ missing }) => missing))],
    },
    merged: wireTexts(texts, merged.differences),
    exported: wireTexts(texts, files.differences),
    adapter_effect: wireTexts(texts, files.effect),
    ...(storage === undefined ? {} : { storage }),
  };
}

/** Of a few texts with a class each, one that is nearly a tie must not fail a rounded model. */
function limitsFor(dtype: WeightDtype, threshold: number | undefined, isClassifier: boolean): CheckLimits {
  if (threshold !== undefined) return { maxLogit: threshold, isAbsolute: true, meanKl: Infinity, agreement: 0 };
  return isClassifier && dtype !== "float32" ? { ...CHECK_LIMITS[dtype], agreement: 0 } : CHECK_LIMITS[dtype];
}

function explain(
  what: string,
  problems: readonly string[],
  { cause, hint }: { cause: string; hint: string },
): string[] {
  return problems.length === 0 ? [] : [`${what}: ${problems.join("; ")}: ${cause} (${hint})`];
}

function castCause(dtype: WeightDtype): { cause: string; hint: string } {
  return {
    cause: `the merge is exact, and rounding to ${dtype} loses too much`,
    hint: dtype === "bfloat16" ? "export in float16 or float32" : "export in float32",
  };
}

/** Whether the adapters do anything, and whether rounding leaves it. */
function effectWarnings(
  effect: readonly TextDifference[],
  exportedKl: number,
  effectKl: number,
  adapters: number,
  dtype: WeightDtype,
): string[] {
  if (adapters === 0) return [];
  if (summarize(effect).maxLogit === 0)
    return ["with the adapter the model computes what it did before: it changes nothing"];
  if (dtype === "float32" || exportedKl < effectKl / 4) return [];
  return [
    `rounding to ${dtype} moves the model by ${short(exportedKl)} nats, and the adapter by ${short(effectKl)}: ` +
      "little of what was trained may be left; export in float32",
  ];
}

interface ComparedModel {
  readonly differences: readonly TextDifference[];
  /** Of the reference from the base alone. */
  readonly effect: readonly TextDifference[];
  readonly operators: readonly string[];
}

async function compareOpened(
  { language, device, dispose }: Opened,
  reference: { language: LanguageModel; adapters: readonly string[] },
  texts: readonly CheckText[],
  onText: (done: number) => void,
  alone?: { language: LanguageModel; adapters: readonly string[] },
): Promise<ComparedModel> {
  try {
    const others = [{ language, adapters: [] }, ...(alone === undefined ? [] : [alone])];
    const [differences, effect = []] = await compareModels(reference, others, texts, onText);
    const operators = device.graphs.flatMap((graph) => operatorsOf(graph, device.kind));
    return { differences: differences!, effect, operators };
  } finally {
    await dispose();
  }
}

/** The merged model in float32, on a device of its own: the base's weights are mapped a second time. */
async function openMerged(
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
async function openExported(
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

/** Prompts that the files in `dir` make other tokens of than the base, in a sentence. */
async function misreadPrompts(
  dir: string,
  prompts: readonly CheckPrompt[],
  { origin, template }: ExportedText,
  vocabSize: number,
  options: ExportOptions,
): Promise<string[]> {
  if (prompts[0]!.drawn === true) return [];
  const tokenizer = await loadTokenizer(dir);
  const missing = origin !== "none" && tokenizer.chatTemplate !== template?.source;
  if (missing) return ["the chat template in the files is not the one that was meant"];
  const again = await encodePrompts(tokenizer, options.prompts ?? CHECK_PROMPTS, {
    ...(template === undefined ? {} : { template }),
    vocabSize,
    maxTokens: Infinity,
  });
  const wrong = prompts.filter(({ ids }, i) => again[i]!.ids.slice(-ids.length).join() !== ids.join());
  return wrong.length === 0
    ? []
    : [`the tokenizer in the files reads ${wrong.length} of ${prompts.length} prompts otherwise`];
}

async function tokenizerOf({ dir }: PretrainedModel): Promise<Tokenizer | undefined> {
  try {
    return await loadTokenizer(dir);
  } catch (error) {
    // A model without one can still be merged; a broken one is an error.
    if (error instanceof DataError && error.problem.what.startsWith("no tokenizer")) return undefined;
    throw error;
  }
}

async function checkPrompts(
  { language: { model } }: PretrainedModel,
  tokenizer: Tokenizer | undefined,
  { template }: ExportedText,
  { prompts = CHECK_PROMPTS, newTokens = DEFAULT_NEW_TOKENS }: ExportOptions,
): Promise<CheckPrompt[]> {
  const sizes = { vocabSize: model.vocabSize, maxTokens: model.maxPositions - newTokens };
  if (tokenizer === undefined) return drawnPrompts(sizes);
  return encodePrompts(tokenizer, prompts, { ...sizes, ...(template === undefined ? {} : { template }) });
}

async function loadAdapters(
  { language }: PretrainedModel,
  dirs: readonly string[],
): Promise<{ adapters: Adapter[]; identities: Omit<AdapterIdentity, "name_or_path">[]; warnings: string[] }> {
  const { device, model } = language;
  const adapters: Adapter[] = [];
  const identities: Omit<AdapterIdentity, "name_or_path">[] = [];
  const warnings: string[] = [];
  for (const [i, dir] of dirs.entries()) {
    const name = dirs.length === 1 ? "default" : `adapter-${i + 1}`;
    const found = await loadAdapter(device, model, dir, { name });
    await language.add(found.adapter);
    adapters.push(found.adapter);
    warnings.push(...found.warnings);
    const config = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    identities.push({
      peft_type: String(config["peft_type"]),
      r: typeof config["r"] === "number" ? config["r"] : null,
      lora_alpha: typeof config["lora_alpha"] === "number" ? config["lora_alpha"] : null,
      base_model_name_or_path: found.baseModelNameOrPath ?? null,
      base_revision: typeof config["revision"] === "string" ? config["revision"] : null,
      parameters: found.adapter.parameters.reduce((sum, spec) => sum + elements(spec), 0),
      commit: commitOf(dir) ?? null,
      files: [
        await identityOf(join(dir, "adapter_config.json")),
        await identityOf(join(dir, "adapter_model.safetensors")),
      ],
    });
  }
  const withCopies = adapters.filter(({ copies }) => copies.size > 0);
  if (withCopies.length > 1) {
    throw new ConfigError({
      where: "adapters",
      what: `${withCopies.length} of them replace whole parameters (modules_to_save, bias), and cannot be on together`,
      hint: "export with the first of them, then the result with the next",
    });
  }
  return { adapters, identities, warnings };
}

/** Adapters that say they are for another base, or another commit of it. */
function baseWarnings(
  model: string,
  baseDir: string,
  adapters: readonly Omit<AdapterIdentity, "name_or_path">[],
): string[] {
  const last = (name: string) => basename(resolve(name)).toLowerCase();
  // The folder of a commit in the hub's cache is not called by the model's name.
  const isNamed = commitOf(resolve(model)) === undefined;
  const useless = "with another base than its own the result is of no use";
  return adapters.flatMap(({ base_model_name_or_path: base, base_revision: revision }) => {
    if (base !== null && isNamed && last(base) !== last(model)) {
      return [`the adapter says that it is for "${base}", and is merged into "${model}": ${useless}`];
    }
    const commit = commitOf(baseDir);
    const isOther = commit !== undefined && revision !== null && /^[0-9a-f]{40}$/.test(revision) && revision !== commit;
    return isOther ? [`the adapter says that it is for commit ${revision}, and the base is ${commit}: ${useless}`] : [];
  });
}

async function baseIdentity(base: PretrainedModel, { onProgress, signal }: ExportOptions): Promise<BaseIdentity> {
  const files = await modelFiles(base.dir);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const onBytes = (bytes: number) => onProgress?.({ phase: "hash", done: (done += bytes), total, unit: "B" });
  const identities = [];
  for (const { path } of files) {
    identities.push(await identityOf(path, { onBytes, ...(signal === undefined ? {} : { signal }) }));
  }
  return {
    name_or_path: base.nameOrPath,
    commit: commitOf(base.dir) ?? null,
    model_type: base.config.modelType,
    dtype: base.config.dtype ?? null,
    files: identities,
  };
}

function elements({ shape }: ParameterSpec): number {
  return shape.reduce((a, b) => a * b, 1);
}
