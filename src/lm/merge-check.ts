/**
 * Whether a merged model is the model that was trained: logits and greedy tokens of both on the same texts.
 *
 * The base with its adapters continues each prompt greedily; every model then reads prompt and continuation in one pass.
 * So all are compared in the same places, and a token on which they disagree is counted once, not with all that follows.
 */
import type { WeightDtype } from "../formats/model/config.ts";
import { generate } from "./generate.ts";
import type { LanguageModel } from "./language-model.ts";
import { sequenceFeeds } from "./sequence.ts";

/** A model, with the adapters that are on. */
export interface Compared {
  readonly language: LanguageModel;
  readonly adapters: readonly string[];
}

/** A text to compare on. */
export interface CheckText {
  /** The prompt, for people. */
  readonly prompt: string;
  /** Token ids of the prompt and of the continuation. */
  readonly ids: readonly number[];
  /** How many of the ids are the continuation. */
  readonly generated: number;
  /** Of a classifier: the place that tells the class. It is compared in place of the continuation. */
  readonly classAt?: number;
}

/** How two models differ on one text. */
export interface TextDifference {
  /** Largest |Δlogit| of all places; infinity where one of the models gives no number. */
  readonly maxLogit: number;
  /** Largest |logit| of the reference. */
  readonly largest: number;
  /** Mean over the places of KL(reference ‖ other), in nats. */
  readonly meanKl: number;
  /** Places of the continuation at which both find the same token most likely, and how many there are. */
  readonly agreed: number;
  readonly greedy: number;
  /** Places of the text. */
  readonly places: number;
}

/** What may differ. */
export interface CheckLimits {
  /** Largest |Δlogit| for logits up to 10; above that in proportion to the reference's largest logit. */
  readonly maxLogit: number;
  /** Mean KL in nats. */
  readonly meanKl: number;
  /** Share of the greedy tokens that must agree. */
  readonly agreement: number;
  /** `maxLogit` is meant as it is, however large the logits are. Default: false. */
  readonly isAbsolute?: boolean;
}

/**
 * By the type of the stored weights. Float32 differs by the order of sums alone. Rounding a weight moves it by up to 2⁻¹¹
 * (float16) or 2⁻⁸ (bfloat16) of its size, at random: logits move by some hundredths, more where the model is deep, and a
 * token that was nearly a tie can turn. Errors of a merge are far above: a forgotten scale or a wrong base moves the mean KL
 * by tenths of a nat and more.
 */
export const CHECK_LIMITS: Readonly<Record<WeightDtype, CheckLimits>> = {
  float32: { maxLogit: 1e-4, meanKl: 1e-6, agreement: 0.99 },
  float16: { maxLogit: 0.1, meanKl: 2e-3, agreement: 0.9 },
  bfloat16: { maxLogit: 0.5, meanKl: 1e-2, agreement: 0.8 },
};

/** Logits for which a limit is meant as it is. */
const USUAL_LOGIT = 10;
/** Prompts that are continued at a time. */
const BATCH = 8;

/** Continues the prompts greedily. @param count of new tokens, at least 1 */
export async function continueGreedily(
  { language, adapters }: Compared,
  prompts: readonly { readonly prompt: string; readonly ids: readonly number[] }[],
  count: number,
): Promise<CheckText[]> {
  const texts: CheckText[] = [];
  for (let from = 0; from < prompts.length; from += BATCH) {
    const batch = prompts.slice(from, from + BATCH);
    const ids = batch.map((prompt) => prompt.ids);
    const options = { maxNewTokens: count, stopIds: [], doSample: false };
    const { rows } = await generate(
      language,
      ids,
      batch.map(() => adapters),
      options,
    );
    batch.forEach(({ prompt, ids }, i) =>
      texts.push({ prompt, ids: [...ids, ...rows[i]!], generated: rows[i]!.length }),
    );
  }
  return texts;
}

/** Logits after every token of a text, [T · V]. */
export async function logitsOf({ language, adapters }: Compared, ids: readonly number[]): Promise<Float32Array> {
  const rows = {
    batch: 1,
    length: ids.length,
    tokens: Int32Array.from(ids),
    segments: new Int32Array(ids.length).fill(1),
    positions: Int32Array.from(ids, (_, i) => i),
  };
  const { data } = await language.logits(sequenceFeeds(language.model, rows), [adapters]);
  // A copy: the engine writes the next result over this one.
  return Float32Array.from(data as Float32Array);
}

/** Compares each of the others with the reference, on each text. @param onText is called after each text */
export async function compareModels(
  reference: Compared,
  others: readonly Compared[],
  texts: readonly CheckText[],
  onText?: (done: number) => void,
): Promise<TextDifference[][]> {
  const found: TextDifference[][] = others.map(() => []);
  for (const [i, { ids, generated, classAt }] of texts.entries()) {
    const expected = await logitsOf(reference, ids);
    for (const [k, other] of others.entries()) {
      const width = reference.language.model.outputs;
      found[k]!.push(compareLogits(expected, await logitsOf(other, ids), width, generated, classAt));
    }
    onText?.(i + 1);
  }
  return found;
}

/**
 * @param expected logits of the reference, [T · V], and `got` those of the other
 * @param generated how many tokens at the end were generated: they are predicted by the places before them
 * @param classAt the place that tells the class, in place of those
 */
export function compareLogits(
  expected: Float32Array,
  got: Float32Array,
  vocabSize: number,
  generated: number,
  classAt?: number,
): TextDifference {
  const places = expected.length / vocabSize;
  let [maxLogit, largest, kl, agreed] = [0, 0, 0, 0];
  for (let t = 0; t < places; t++) {
    const [p, q] = [expected, got].map((logits) => logits.subarray(t * vocabSize, (t + 1) * vocabSize)) as [
      Float32Array,
      Float32Array,
    ];
    for (let v = 0; v < vocabSize; v++) {
      const difference = Math.abs(p[v]! - q[v]!);
      if (!(difference <= maxLogit)) maxLogit = Number.isNaN(difference) ? Infinity : difference;
      if (Math.abs(p[v]!) > largest) largest = Math.abs(p[v]!);
    }
    kl += divergence(p, q);
    const isGreedy = classAt === undefined ? t >= places - 1 - generated && t < places - 1 : t === classAt;
    if (isGreedy && argMax(p) === argMax(q)) agreed++;
  }
  const greedy = classAt === undefined ? Math.min(generated, places - 1) : 1;
  return { maxLogit, largest, meanKl: kl / places, agreed, greedy, places };
}

/** All texts together: the worst logit, the mean KL over all places, all greedy tokens. */
export function summarize(differences: readonly TextDifference[]): TextDifference {
  const places = differences.reduce((sum, text) => sum + text.places, 0);
  return {
    maxLogit: Math.max(...differences.map(({ maxLogit }) => maxLogit)),
    largest: Math.max(...differences.map(({ largest }) => largest)),
    meanKl: differences.reduce((sum, { meanKl, places: own }) => sum + meanKl * own, 0) / places,
    agreed: differences.reduce((sum, { agreed }) => sum + agreed, 0),
    greedy: differences.reduce((sum, { greedy }) => sum + greedy, 0),
    places,
  };
}

/** What is above its limit, each in a few words; nothing where all is well. */
export function exceeded(differences: readonly TextDifference[], limits: CheckLimits): string[] {
  const { meanKl, agreed, greedy } = summarize(differences);
  const problems: string[] = [];
  const size = ({ maxLogit, largest }: TextDifference) =>
    limits.isAbsolute === true ? maxLogit : maxLogit / Math.max(1, largest / USUAL_LOGIT);
  const worst = differences.toSorted((a, b) => size(b) - size(a))[0]!;
  const allowed = limits.maxLogit * (limits.isAbsolute === true ? 1 : Math.max(1, worst.largest / USUAL_LOGIT));
  if (!(worst.maxLogit <= allowed)) {
    problems.push(`logits differ by up to ${short(worst.maxLogit)} (allowed: ${short(allowed)})`);
  }
  if (!(meanKl <= limits.meanKl)) problems.push(`mean KL is ${short(meanKl)} nats (allowed: ${short(limits.meanKl)})`);
  if (agreed < limits.agreement * greedy) {
    problems.push(`${agreed} of ${greedy} greedy tokens agree (needed: ${Math.ceil(limits.agreement * greedy)})`);
  }
  return problems;
}

/** Two digits are enough for a size. */
export function short(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4
    ? String(Number(value.toPrecision(2)))
    : value.toExponential(1);
}

/** KL(p ‖ q) of two rows of logits, in nats. */
function divergence(p: Float32Array, q: Float32Array): number {
  const [a, b] = [logSum(p), logSum(q)];
  let sum = 0;
  for (let v = 0; v < p.length; v++) {
    const logP = p[v]! - a;
    sum += Math.exp(logP) * (logP - (q[v]! - b));
  }
  // Rounding can make it a little less than nothing.
  return Number.isNaN(sum) ? Infinity : Math.max(0, sum);
}

function logSum(logits: Float32Array): number {
  let largest = -Infinity;
  for (const x of logits) if (x > largest) largest = x;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - largest);
  return largest + Math.log(sum);
}

function argMax(logits: Float32Array): number {
  let best = 0;
  for (let v = 1; v < logits.length; v++) if (logits[v]! > logits[best]!) best = v;
  return best;
}
