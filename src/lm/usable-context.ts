/** What virtual tokens leave of a model's positions. */
import type { Adapter } from "../adapters/adapter.ts";
import { ConfigError } from "../errors.ts";
import type { TextModel } from "../models/text-model.ts";
import { virtualTokens } from "./adapted-sequence.ts";

export interface UsableContext {
  /** Places of each example that adapters take. */
  readonly virtual_tokens: number;
  /** Positions that are left for tokens: N − P of Li & Liang's N. */
  readonly usable_context: number;
}

/** Undefined where adapters take nothing. */
export function usableContext(
  { maxPositions }: Pick<TextModel, "maxPositions">,
  adapters: readonly Adapter[],
): UsableContext | undefined {
  const { count } = virtualTokens(adapters);
  return count === 0 ? undefined : { virtual_tokens: count, usable_context: Math.max(0, maxPositions - count) };
}

/** In words: `20 virtual tokens: 1,004 of 1,024 positions are left`. */
export function contextText({ virtual_tokens: taken, usable_context: left }: UsableContext): string {
  const grouped = (count: number) => count.toLocaleString("en-US");
  return `${grouped(taken)} virtual tokens: ${grouped(left)} of the model's ${grouped(left + taken)} positions are left`;
}

/**
 * @param where the setting that said the length
 * @throws ConfigError if rows of this length and the virtual tokens need positions that a table does not have
 */
export function checkContext(
  { maxPositions, rope }: TextModel,
  adapters: readonly Adapter[],
  where: string,
  length: number,
): void {
  const { count } = virtualTokens(adapters);
  // Rotations go on for ever, and a table of positions ends.
  if (rope !== undefined || length + count <= maxPositions) return;
  const left = Math.max(0, maxPositions - count);
  throw new ConfigError({
    where,
    what: "is more than the model's positions",
    got: length,
    expected: `at most ${left}${count === 0 ? "" : `: ${count} of ${maxPositions} positions are taken by virtual tokens`}`,
    hint: left === 0 ? "use fewer virtual tokens" : `cutoff_len: ${left}`,
  });
}
