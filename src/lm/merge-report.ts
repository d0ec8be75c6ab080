/** `merge_report.json`, beside an exported model: what it was made of, and how it compares with what was trained. */
import type { FileIdentity } from "./file-identity.ts";
import type { StorageReport } from "./storage-cost.ts";
import { type CheckLimits, type CheckText, summarize, type TextDifference } from "./merge-check.ts";

export const MERGE_REPORT_FILE = "merge_report.json";

export interface BaseIdentity {
  readonly name_or_path: string;
  /** Of the hub; null for other folders. */
  readonly commit: string | null;
  readonly model_type: string;
  /** As `config.json` says. */
  readonly dtype: string | null;
  readonly files: readonly FileIdentity[];
}

export interface AdapterIdentity {
  readonly name_or_path: string;
  readonly commit: string | null;
  readonly peft_type: string;
  readonly r: number | null;
  readonly lora_alpha: number | null;
  /** The base that it says it is for. */
  readonly base_model_name_or_path: string | null;
  readonly base_revision: string | null;
  readonly parameters: number;
  readonly files: readonly FileIdentity[];
}

export interface WireLimits {
  readonly max_logit_difference: number;
  /** Whether the limit grows with the logits, above 10. */
  readonly relative_above_10: boolean;
  /** Null: not asked for. */
  readonly mean_kl: number | null;
  readonly greedy_agreement: number | null;
}

/** How a model differs from the reference, the base with its adapters on. */
export interface WireComparison {
  readonly max_logit_difference: number;
  readonly largest_logit: number;
  /** KL(reference ‖ model) in nats, mean over all places. */
  readonly mean_kl: number;
  readonly greedy_agreement: number;
  readonly greedy_tokens: number;
  readonly texts: readonly {
    readonly prompt: string;
    readonly tokens: number;
    readonly max_logit_difference: number;
    readonly mean_kl: number;
    readonly greedy_agreed: number;
    readonly greedy_tokens: number;
  }[];
}

export interface MergeReport {
  /** `unchecked`: nobody asked. */
  readonly verdict: "passed" | "failed" | "unchecked";
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  readonly base: BaseIdentity;
  readonly adapters: readonly AdapterIdentity[];
  readonly export: {
    readonly dtype: string;
    readonly parameters: number;
    readonly chat_template: "adapter" | "base" | "named" | "none";
    /** Names of the classes, of a classifier. */
    readonly labels?: readonly string[];
    readonly notes: readonly string[];
  };
  /** How the base was stored while the adapters were trained, where that was not as float32 values. */
  readonly storage?: StorageReport;
  readonly thresholds?: { readonly merged: WireLimits; readonly exported: WireLimits };
  /** Operators that one pass executes, and those that the base does not. */
  readonly operators?: {
    readonly base: number;
    readonly merged: number;
    readonly exported: number;
    readonly extra: readonly string[];
    readonly missing: readonly string[];
  };
  /** Merged in float32, before rounding. */
  readonly merged?: WireComparison;
  /** The files, read back. */
  readonly exported?: WireComparison;
  /** The base without adapters: how much they do. */
  readonly adapter_effect?: WireComparison;
}

export function wireLimits({ maxLogit, isAbsolute = false, meanKl, agreement }: CheckLimits): WireLimits {
  return {
    max_logit_difference: maxLogit,
    relative_above_10: !isAbsolute,
    mean_kl: Number.isFinite(meanKl) ? meanKl : null,
    greedy_agreement: agreement > 0 ? agreement : null,
  };
}

export function wireTexts(texts: readonly CheckText[], differences: readonly TextDifference[]): WireComparison {
  const { maxLogit, largest, meanKl, agreed, greedy } = summarize(differences);
  return {
    max_logit_difference: finite(maxLogit),
    largest_logit: finite(largest),
    mean_kl: finite(meanKl),
    greedy_agreement: greedy === 0 ? 1 : agreed / greedy,
    greedy_tokens: greedy,
    texts: differences.map((text, i) => ({
      prompt: texts[i]!.prompt,
      tokens: text.places,
      max_logit_difference: finite(text.maxLogit),
      mean_kl: finite(text.meanKl),
      greedy_agreed: text.agreed,
      greedy_tokens: text.greedy,
    })),
  };
}

/** JSON has no infinity; the largest number there is will not be taken for a good one. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : Number.MAX_VALUE;
}
