/**
 * Several streams as one: one after the other, or interleaved, as the strategies of LLaMA-Factory (and `interleave_datasets` of
 * Hugging Face) have it.
 */
import { ConfigError, DataError } from "../../errors.ts";
import { Random, streamOf } from "../../random.ts";

/**
 * `concat`: one after the other. The others take from the streams in turn, or as drawn with the probabilities.
 * `interleave_under` stops when the first stream is used up; `interleave_over` when the last one is, those that are used up
 * before starting again; `interleave_once` gives every row once.
 */
export type MixStrategy = "concat" | "interleave_under" | "interleave_over" | "interleave_once";

export const MIX_STRATEGIES: readonly MixStrategy[] = [
  ...(["concat", "interleave_under"] as const),
  ...(["interleave_over", "interleave_once"] as const),
];

export interface MixOptions {
  readonly strategy: MixStrategy;
  /** One for each stream, adding up to 1. Default: the streams take turns. */
  readonly probabilities?: readonly number[];
  readonly seed: number;
}

/** @throws ConfigError when the probabilities do not fit the strategy and the number of streams */
export function checkMix({ strategy, probabilities }: MixOptions, streams: number): void {
  if (!MIX_STRATEGIES.includes(strategy)) {
    throw new ConfigError({
      where: "mix_strategy",
      what: "unknown",
      got: strategy,
      expected: MIX_STRATEGIES.join(", "),
    });
  }
  if (probabilities === undefined) return;
  const where = "interleave_probs";
  if (strategy === "concat") {
    const hint = "set mix_strategy: interleave_under, or leave interleave_probs out";
    throw new ConfigError({ where, what: "mix_strategy concat does not draw", hint });
  }
  if (probabilities.length !== streams) {
    const expected = `${streams}, one for each data set`;
    throw new ConfigError({ where, what: "wrong number of probabilities", got: probabilities.length, expected });
  }
  const sum = probabilities.reduce((total, probability) => total + probability, 0);
  if (!probabilities.every((probability) => probability > 0) || Math.abs(sum - 1) > 1e-6) {
    throw new ConfigError({
      where,
      what: "not probabilities",
      got: probabilities,
      expected: "positive, adding up to 1",
    });
  }
}

/** @throws DataError when a stream that is interleaved with others is empty */
export async function* mixed<T>(
  streams: readonly AsyncIterable<T>[],
  options: MixOptions,
): AsyncGenerator<T, void, void> {
  if (options.strategy === "concat" || streams.length === 1) {
    for (const stream of streams) yield* stream;
    return;
  }
  const cursors = streams.map((stream) => new Cursor(stream));
  try {
    for (const cursor of cursors) await cursor.start();
    yield* interleaved(cursors, options);
  } finally {
    for (const cursor of cursors) await cursor.close();
  }
}

async function* interleaved<T>(
  cursors: readonly Cursor<T>[],
  { strategy, probabilities, seed }: MixOptions,
): AsyncGenerator<T, void, void> {
  const isOver = () =>
    strategy === "interleave_under" ? cursors.some(({ ended }) => ended) : cursors.every(({ ended }) => ended);
  const once = strategy === "interleave_once";
  const random = new Random(seed, streamOf("interleave"));
  while (!isOver()) {
    // In turn, a round is finished before it is asked whether that was all; drawn, every row is a round.
    const round = probabilities === undefined ? cursors : [cursors[draw(probabilities, random)]!];
    for (const cursor of round) {
      if (once && cursor.ended) continue;
      yield cursor.value;
      await cursor.advance(!once);
    }
  }
}

/** A place in a stream that knows whether the row it is at is there, and so whether the one before was the last. */
class Cursor<T> {
  readonly #stream: AsyncIterable<T>;
  #iterator: AsyncIterator<T> | undefined;
  #value: T | undefined;
  /** Whether the stream has been used up at least once. */
  ended = false;

  constructor(stream: AsyncIterable<T>) {
    this.#stream = stream;
  }

  get value(): T {
    return this.#value as T;
  }

  async start(): Promise<void> {
    this.#iterator = this.#stream[Symbol.asyncIterator]();
    const next = await this.#iterator.next();
    if (next.done === true)
      throw new DataError({ where: "mix_strategy", what: "a data set has no rows to interleave" });
    this.#value = next.value;
  }

  async advance(again: boolean): Promise<void> {
    const next = await this.#iterator!.next();
    if (next.done !== true) {
      this.#value = next.value;
      return;
    }
    this.ended = true;
    if (again) await this.start();
  }

  async close(): Promise<void> {
    await this.#iterator?.return?.();
  }
}

/** An index, drawn with its probability. */
function draw(probabilities: readonly number[], random: Random): number {
  let left = random.uniform();
  for (const [i, probability] of probabilities.entries()) {
    left -= probability;
    if (left < 0) return i;
  }
  // Rounding: the probabilities add up to a little less than what was drawn.
  return probabilities.length - 1;
}
