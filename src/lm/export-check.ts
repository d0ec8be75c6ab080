/** An export is read back and compared with what was trained: its logits on some texts, its operators, its tokens. */
import type { Adapter } from "../adapters/adapter.ts";
import type { WeightDtype } from "../formats/model/config.ts";
import type { CheckPrompt } from "./check-prompts.ts";
import type { ExportedClasses } from "./export-classes.ts";
import { openExported, type Opened, openMerged } from "./export-opened.ts";
import type { ExportOptions } from "./export-options.ts";
import { DEFAULT_NEW_TOKENS, misreadPrompts } from "./export-prompts.ts";
import type { Written } from "./export-weights.ts";
import { classTokenAt } from "./forward-classes.ts";
import type { LanguageModel } from "./language-model.ts";
import {
  CHECK_LIMITS,
  type CheckLimits,
  type CheckText,
  compareModels,
  continueGreedily,
  exceeded,
  short,
  summarize,
  type TextDifference,
} from "./merge-check.ts";
import { type MergeReport, wireLimits, wireTexts } from "./merge-report.ts";
import { compareOperators, isSameList, operatorsOf } from "./operators.ts";
import type { PretrainedModel } from "./pretrained-model.ts";
import type { StorageReport } from "./storage-cost.ts";

/** What was written, and what it is compared with. */
export interface CheckedExport extends Written {
  readonly classes: ExportedClasses | undefined;
  readonly loaded: readonly Adapter[];
  readonly prompts: readonly CheckPrompt[];
  readonly baseOperators: readonly string[];
  readonly storageReport: (texts: readonly CheckText[]) => Promise<StorageReport | undefined>;
}

/**
 * @param base with the adapters that were merged
 * @returns the part of the report that it decides: nothing is thrown for a difference
 */
export async function checkExport(
  dir: string,
  base: PretrainedModel,
  { loaded, classes, prompts, baseOperators, storageReport, ...written }: CheckedExport,
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
