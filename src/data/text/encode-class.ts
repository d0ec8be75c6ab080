/**
 * A text, or two, as a classifier reads it: with the tokens that the tokenizer puts around them, as transformers'
 * `tokenizer(text, text_pair)` gives them, and no chat template.
 */
import { DataError } from "../../errors.ts";
import type { ClassSample, Target } from "../sample.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { concatenate } from "./truncate.ts";

/** Tokens of a text, or of two, and which of both each belongs to. */
export interface ClassTokens {
  readonly inputIds: Int32Array;
  /** 1 for tokens of the second text, where the tokenizer marks them. */
  readonly types: Int32Array;
  /** Number of tokens before it was cut; absent: it was not. */
  readonly truncatedFrom?: number;
}

/**
 * Texts above `cutoffLen` tokens lose their ends: of two, the longer one first, as with transformers' `longest_first`.
 * @throws DataError when not even the tokens around the texts fit
 */
export async function classTokens(
  { text, pair }: Pick<ClassSample, "text" | "pair">,
  tokenizer: Tokenizer,
  cutoffLen: number,
): Promise<ClassTokens> {
  const whole = await withBos(await tokenizer.encodePair(text, pair), tokenizer);
  const { length } = whole.inputIds;
  if (length <= cutoffLen) return whole;
  const parts = await tokenizer.encodeBatch(pair === undefined ? [text] : [text, pair]);
  const room = cutoffLen - (length - parts.reduce((sum, part) => sum + part.length, 0));
  if (room < parts.length) {
    throw new DataError({
      where: "cutoff_len",
      what: "leaves no room for a text beside the tokens around it",
      got: cutoffLen,
      expected: `at least ${cutoffLen - room + parts.length}`,
    });
  }
  const kept = longestFirst(parts[0]!.length, parts[1]?.length ?? 0, room);
  const starts = placesOf(whole.inputIds, parts);
  const cut = (ids: Int32Array) => withoutEnds(ids, parts, starts, kept);
  return { inputIds: cut(whole.inputIds), types: cut(whole.types), truncatedFrom: length };
}

/**
 * Where the class is told: by the first token, or the last. As in transformers the last one is the last that is not the
 * token that rows are filled with, which a text may end in where that token means something else too.
 */
export function classTarget(
  ids: ArrayLike<number>,
  classToken: "first" | "last",
  label: number,
  padTokenId?: number,
): Target {
  if (classToken === "first") return { at: 0, label };
  let at = ids.length - 1;
  while (at > 0 && ids[at] === padTokenId) at--;
  return { at, label };
}

/** The token that programs fill rows up with: the tokenizer's own, whatever else it means. */
export function fillingToken(tokenizer: Pick<Tokenizer, "specialTokens" | "idOf" | "padId">): number {
  const named = tokenizer.specialTokens["pad_token"];
  return (named === undefined ? undefined : tokenizer.idOf(named)) ?? tokenizer.padId;
}

/** Tokens of two texts that remain in `room`, as the library `tokenizers` has it: the longer one is cut down to the other, then both. */
export function longestFirst(first: number, second: number, room: number): readonly [first: number, second: number] {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second);
  let [a, b] = shorter > room ? [shorter, shorter] : [shorter, Math.max(shorter, room - shorter)];
  if (a + b > room) [a, b] = [Math.floor(room / 2), Math.floor(room / 2) + (room % 2)];
  return first <= second ? [a, b] : [b, a];
}

/** Some tokenizers say in their settings alone that texts begin with a token. */
async function withBos(
  { ids, types }: { readonly ids: Int32Array; readonly types: Int32Array },
  { addsBos, bosId }: Tokenizer,
): Promise<ClassTokens> {
  if (!addsBos || bosId === undefined || ids[0] === bosId) return { inputIds: ids, types };
  return { inputIds: concatenate([Int32Array.of(bosId), ids]), types: concatenate([Int32Array.of(0), types]) };
}

/** Where the tokens of each text begin: the first from the front, the second from the back. */
function placesOf(ids: Int32Array, [first, second]: readonly Int32Array[]): number[] {
  const isAt = (part: Int32Array, at: number) => part.every((id, i) => ids[at + i] === id);
  let start = 0;
  while (start + first!.length < ids.length && !isAt(first!, start)) start++;
  if (second === undefined) return [start];
  let last = ids.length - second.length;
  while (last > start + first!.length && !isAt(second, last)) last--;
  return [start, last];
}

function withoutEnds(
  ids: Int32Array,
  parts: readonly Int32Array[],
  starts: readonly number[],
  kept: readonly number[],
): Int32Array {
  const pieces: Int32Array[] = [];
  let at = 0;
  parts.forEach((part, i) => {
    pieces.push(ids.slice(at, starts[i]! + kept[i]!));
    at = starts[i]! + part.length;
  });
  return concatenate([...pieces, ids.slice(at)]);
}
