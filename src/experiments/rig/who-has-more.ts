/**
 * The task of the experiments on a single one: who has more? It needs the order of numbers in words, which the bundled model
 * has read about and was never asked for. Which pairs of numbers were trained on says nothing of the others, and the tests ask
 * for pairs that no training text has, in either order, whatever the seed.
 */
import { Random, streamOf } from "../../random.ts";
import type { Example, GeneratedTask } from "../tasks/task.ts";

const NAMES = "Anna Ben Clara Dan Ella Finn Grace Henry Ida Jack Kate Leo Lucy Max Nora Oscar Rosa Sam Tess Will".split(
  " ",
);
const THINGS = "shells apples stamps coins books balls flowers stones".split(" ");
const SMALL =
  "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(
    " ",
  );
const TENS = "twenty thirty forty".split(" ");
const LARGEST = 40;
/** One pair of numbers in this many is for tests. */
const TEST_SHARE = 4;

export const WHO_HAS_MORE: GeneratedTask = {
  name: "who-has-more",
  about: "which of two children has more",
  labels: ["first", "second"],
  generate(seed, n, split = "train") {
    const random = new Random(seed, streamOf(`who-has-more/${split}`));
    const known = new Set<string>();
    const examples: Example[] = [];
    while (examples.length < n) {
      const label = examples.length % 2;
      const text = drawn(random, label, split === "test");
      if (text === undefined || known.has(text)) continue;
      known.add(text);
      examples.push({ text, label });
    }
    return Array.from(random.permutation(n), (i) => examples[i]!);
  },
};

/** @returns undefined if the pair of numbers is not one of this kind */
function drawn(random: Random, label: number, forTest: boolean): string | undefined {
  const [x, y] = Array.from(random.permutation(LARGEST).subarray(0, 2), (i) => i + 1) as [number, number];
  const [less, more] = x < y ? [x, y] : [y, x];
  if ((streamOf(`${less} ${more}`) % TEST_SHARE === 0) !== forTest) return undefined;
  const [a, b] = label === 0 ? [more, less] : [less, more];
  const [first, second] = Array.from(random.permutation(NAMES.length).subarray(0, 2), (i) => NAMES[i]!);
  const things = THINGS[random.integer(THINGS.length)]!;
  return `${first!} has ${inWords(a)} ${things} and ${second!} has ${inWords(b)} ${things}. Who has more ${things}?`;
}

/** @param n from 1 to 40 */
function inWords(n: number): string {
  if (n < 20) return SMALL[n - 1]!;
  const tens = TENS[Math.floor(n / 10) - 2]!;
  return n % 10 === 0 ? tens : `${tens}-${SMALL[(n % 10) - 1]!}`;
}
