/**
 * The task of the experiments on a single one: who has more? It needs the order of numbers in words, which the bundled model
 * has read about and was never asked for. Which pairs of numbers were trained on says nothing of the others, and the tests ask
 * for pairs that no training text has, in either order, whatever the seed.
 *
 * The question is that of `comparison`; its texts are others, since pairs are dealt out before anything else is drawn.
 */
import { Random, streamOf } from "../../random.ts";
import { ABOUT, LABELS, question, twoNumbers } from "./comparison.ts";
import { type Example, type GeneratedTask, Words } from "./task.ts";
import { CHILDREN } from "./words.ts";

const NAME = "who-has-more";
const NAMES = CHILDREN.slice(0, 20);
/** One pair of numbers in this many is for tests. */
const TEST_SHARE = 4;

export const WHO_HAS_MORE: GeneratedTask = {
  name: NAME,
  about: ABOUT,
  labels: LABELS,
  generate(seed, n, split = "train") {
    const words = new Words(new Random(seed, streamOf(`${NAME}/${split}`)));
    const known = new Set<string>();
    const examples: Example[] = [];
    while (examples.length < n) {
      const label = examples.length % LABELS.length;
      const numbers = twoNumbers(words);
      if ((streamOf(numbers.join(" ")) % TEST_SHARE === 0) !== (split === "test")) continue;
      const text = question(words, NAMES, numbers, label);
      if (known.has(text)) continue;
      known.add(text);
      examples.push({ text, label });
    }
    return words.shuffled(examples);
  },
};
