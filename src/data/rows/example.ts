/** One sample as tokens, with what a report says about it. */
import type { Sample } from "../sample.ts";
import { type Dropped, encodeSample, encodeText, type EncodeSettings, type Remark } from "../text/encode.ts";
import { type ChatTemplate, resolveTemplate } from "../text/templates.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { trainedRuns } from "./stored-row.ts";

export interface Example {
  readonly inputIds: Int32Array;
  /** As in `StoredRow`. */
  readonly trained: Int32Array;
  readonly label?: number;
  readonly types?: Int32Array;
  /** Whether the last token that is trained on ends an answer or a text. */
  readonly stopTrained: boolean;
  /** Number of tokens before it was cut; absent: it was not. */
  readonly truncatedFrom?: number;
  readonly remarks: readonly Remark[];
}

export type ExampleResult = Example | Dropped;

/** What turns samples into examples. */
export interface Coder {
  readonly tokenizer: Tokenizer;
  /** Absent where there are only texts. */
  readonly template: ChatTemplate | undefined;
  readonly settings: EncodeSettings;
  /** Texts stay whole, whatever their length: they are cut into rows later. */
  readonly whole: boolean;
}

/** What another thread needs to make the same {@link Coder}. */
export interface CoderRecipe {
  readonly dir: string;
  readonly template: Pick<ChatTemplate, "name" | "origin"> | undefined;
  readonly settings: EncodeSettings;
  readonly whole: boolean;
}

export function recipeOf({ tokenizer, template, settings, whole }: Coder): CoderRecipe {
  const { name, origin } = template ?? {};
  const named = name === undefined || origin === undefined ? undefined : { name, origin };
  return { dir: tokenizer.dir, template: named, settings, whole };
}

/** @throws what `loadTokenizer` and `resolveTemplate` do */
export async function coderOf({ dir, template, settings, whole }: CoderRecipe): Promise<Coder> {
  const tokenizer = await loadTokenizer(dir);
  const resolved =
    template === undefined
      ? undefined
      : resolveTemplate(tokenizer, template.origin === "model" ? undefined : template.name, { override: true });
  return { tokenizer, template: resolved, settings, whole };
}

/**
 * The samples together, so that texts are rendered while others are tokenised.
 * @throws what `encodeSample` does, for the first sample that fails
 */
export async function encodeExamples(samples: readonly Sample[], coder: Coder): Promise<ExampleResult[]> {
  const settled = await Promise.allSettled(samples.map((sample) => encodeExample(sample, coder)));
  return settled.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}

async function encodeExample(sample: Sample, coder: Coder): Promise<ExampleResult> {
  const { tokenizer, template, settings, whole } = coder;
  const example =
    whole && sample.kind === "text"
      ? wholeText(await encodeText(sample, tokenizer), tokenizer.stopIds)
      : compact(await encodeSample(sample, tokenizer, template, settings));
  if (!("dropped" in example) && example.trained.length === 0) return { dropped: "has no token to train on" };
  return example;
}

function wholeText(inputIds: Int32Array, stopIds: readonly number[]): Example {
  const trained = inputIds.length > 1 ? [1, inputIds.length] : [];
  const last = inputIds.at(-1);
  return {
    inputIds,
    trained: Int32Array.from(trained),
    stopTrained: last !== undefined && stopIds.includes(last),
    remarks: [],
  };
}

function compact(result: Awaited<ReturnType<typeof encodeSample>>): ExampleResult {
  if ("dropped" in result) return result;
  const { encoded, ...rest } = result;
  const { inputIds, targets, types } = encoded;
  const [target] = targets ?? [];
  if (target !== undefined) {
    const trained = Int32Array.of(target.at, target.at + 1);
    return { ...rest, inputIds, trained, label: target.label, ...(types === undefined ? {} : { types }) };
  }
  return { ...rest, inputIds: encoded.inputIds, trained: trainedRuns(encoded.labels) };
}
