/** Shuffling a stream that does not fit into memory. */
import { ConfigError } from "../../errors.ts";
import { Random } from "../../random.ts";

export interface ShuffleOptions {
  /** Items held in memory; `buffer_size`. The larger, the better mixed; at the size of the stream it is a full shuffle. Default 16384. */
  readonly bufferSize?: number;
  readonly seed: number;
  /** Each epoch has an order of its own. Default 0. */
  readonly epoch?: number;
}

/**
 * The items in another order: the buffer is filled, and each further item takes the place of one drawn from it.
 * The same seed and epoch give the same order, in every iteration.
 * @throws ConfigError when `bufferSize` is not a positive whole number
 */
export function shuffled<T>(items: AsyncIterable<T>, options: ShuffleOptions): AsyncIterable<T> {
  const { bufferSize = 16384, seed, epoch = 0 } = options;
  if (!Number.isInteger(bufferSize) || bufferSize < 1) {
    throw new ConfigError({ where: "buffer_size", what: "not a positive whole number", got: bufferSize });
  }
  return { [Symbol.asyncIterator]: () => shuffle(items, bufferSize, new Random(seed, epoch)) };
}

async function* shuffle<T>(items: AsyncIterable<T>, size: number, random: Random): AsyncGenerator<T, void, void> {
  const buffer: T[] = [];
  for await (const item of items) {
    if (buffer.length < size) {
      buffer.push(item);
      continue;
    }
    const i = random.integer(size);
    yield buffer[i]!;
    buffer[i] = item;
  }
  for (const i of random.permutation(buffer.length)) yield buffer[i]!;
}
