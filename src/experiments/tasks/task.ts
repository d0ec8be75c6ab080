/**
 * Classification tasks: a text, and which of a few classes it belongs to.
 *
 * Generated ones are functions of a seed. A text is either for training or for tests, whatever the seed; a task may say that what
 * its texts are about is.
 */
import { ConfigError } from "../../errors.ts";
import { Random, streamOf } from "../../random.ts";

export interface Example {
  readonly text: string;
  /** A second text, where the task is about two and the model's tokenizer puts them together. */
  readonly pair?: string;
  /** Index of its class. */
  readonly label: number;
}

export type Split = "train" | "test";

export interface Task {
  /** Short, for tables: `entailment`. */
  readonly name: string;
  /** In a sentence. */
  readonly about: string;
  /** Names of the classes. */
  readonly labels: readonly string[];
}

/** A task that draws its texts. */
export interface GeneratedTask extends Task {
  /**
   * Different texts, as many of each class as the number allows, in random order: the same ones for the same arguments.
   * @param split default: `train`
   * @throws ConfigError if there are not so many
   */
  readonly generate: (seed: number, n: number, split?: Split) => Example[];
}

/** What is drawn. */
export interface Drawn {
  readonly text: string;
  /** Whatever must not be both trained on and tested. Default: the text. */
  readonly key?: string;
}

/** One in this many keys is for tests. */
const TEST_SHARE = 4;
/** Draws in a row that give nothing new, after which there is nothing new. */
const PATIENCE = 2000;

/** @param draw a text of the class */
export function generatedTask(task: Task, draw: (words: Words, label: number) => Drawn): GeneratedTask {
  return {
    ...task,
    generate(seed, n, split = "train") {
      const words = new Words(new Random(seed, streamOf(`${task.name}/${split}`)));
      const known = new Set<string>();
      const examples = Array.from({ length: n }, (_, i) => {
        const label = i % task.labels.length;
        for (let attempt = 0; attempt < PATIENCE; attempt++) {
          const { text, key = text } = draw(words, label);
          if (splitOf(task.name, key) !== split || known.has(text)) continue;
          known.add(text);
          return { text, label };
        }
        throw new ConfigError({
          where: `task ${task.name}`,
          what: `there are no ${n} different texts for ${split === "train" ? "training" : "tests"}`,
          expected: `at most about ${known.size}`,
        });
      });
      return words.shuffled(examples);
    },
  };
}

function splitOf(task: string, key: string): Split {
  return streamOf(`${task}/${key}`) % TEST_SHARE === 0 ? "test" : "train";
}

/** Draws from lists. */
export class Words {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    return this.#random.integer(n);
  }

  chance(probability: number): boolean {
    return this.#random.uniform() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** Different entries of a list. */
  sample<T>(list: readonly T[], count: number): T[] {
    return Array.from(this.#random.permutation(list.length).subarray(0, count), (i) => list[i]!);
  }

  shuffled<T>(list: readonly T[]): T[] {
    return this.sample(list, list.length);
  }
}
