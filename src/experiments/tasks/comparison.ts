/** Who has more? One of two, as in WinoGrande; which pairs of numbers were trained on says nothing of the others. */
import { generatedTask, type Task, type Words } from "./task.ts";
import { CHILDREN, inWords, OBJECTS } from "./words.ts";

export const LABELS: Task["labels"] = ["first", "second"];
export const ABOUT = "which of two children has more";

const NUMBERS = Array.from({ length: 40 }, (_, i) => i + 1);

export const COMPARISON = generatedTask({ name: "comparison", about: ABOUT, labels: LABELS }, (words, label) => {
  const numbers = twoNumbers(words);
  // Both orders of a pair are on one side: the test asks for pairs that were never compared.
  return { text: question(words, CHILDREN, numbers, label), key: numbers.join(" ") };
});

/** Different ones from 1 to 40. */
export function twoNumbers(words: Words): readonly [less: number, more: number] {
  const [x, y] = words.sample(NUMBERS, 2) as [number, number];
  return x < y ? [x, y] : [y, x];
}

/** @param label index of the one who has more */
export function question(
  words: Words,
  children: readonly string[],
  [less, more]: readonly [less: number, more: number],
  label: number,
): string {
  const [a, b] = label === 0 ? [more, less] : [less, more];
  const [first, second] = words.sample(children, 2);
  const objects = words.pick(OBJECTS);
  return `${first!} has ${inWords(a)} ${objects} and ${second!} has ${inWords(b)} ${objects}. Who has more ${objects}?`;
}
