/**
 * A model with adapters as one model in a folder: merged in float32, rounded once, read back and compared with what was
 * trained.
 *
 * The folder gets its name after the check. Until then it is called `NAME.unchecked`, and after a failed one
 * `NAME.failed`; an earlier export of that name stays as it was.
 */
import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { mergedWeights } from "../adapters/merge.ts";
import { checkFree, replaceFolder } from "../formats/model/write.ts";
import { resolveFolder } from "../hub/resolve.ts";
import { countElements } from "../nn/module.ts";
import { baseWarnings, loadAdapters } from "./export-adapters.ts";
import { checkExport } from "./export-check.ts";
import { exportedClasses } from "./export-classes.ts";
import type { ExportOptions } from "./export-options.ts";
import { checkPrompts, tokenizerOf } from "./export-prompts.ts";
import { openSource } from "./export-source.ts";
import { type ExportedText, exportedText } from "./export-text.ts";
import { unmerged, writeWeights } from "./export-weights.ts";
import { commitOf, identityOf, modelFiles } from "./file-identity.ts";
import { logitsOf } from "./merge-check.ts";
import { type BaseIdentity, MERGE_REPORT_FILE, type MergeReport } from "./merge-report.ts";
import { operatorsOf } from "./operators.ts";
import { hubOptions, type PretrainedModel } from "./pretrained-model.ts";

export type { ExportOptions, ExportProgress } from "./export-options.ts";

export interface ExportResult {
  readonly report: MergeReport;
  /** The folder as it is called now. */
  readonly dir: string;
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
        parameters: countElements(merged.parameters),
        chat_template: text.origin,
        ...(classes === undefined ? {} : { labels: classes.labels }),
        notes: text.notes,
      },
      ...(source.storage === undefined ? {} : { storage: source.storage }),
    };
    const written = { ...merged, dtype, text };
    await writeWeights(unchecked, base, written, options);
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
