/** How many are there? Few, some, or many. */
import { generatedTask } from "./task.ts";
import { CHILDREN, inWords, OBJECTS, PLACES, TAILS } from "./words.ts";

/** Numbers of each class, from and to. */
const RANGES = [
  [2, 12],
  [13, 29],
  [30, 60],
] as const;

export const AMOUNT = generatedTask(
  { name: "amount", about: "whether something is few, some, or many", labels: ["few", "some", "many"] },
  (words, label) => {
    const [from, to] = RANGES[label]!;
    const number = inWords(from + words.below(to - from + 1));
    const said = words.pick([
      `${words.pick(CHILDREN)} found ${number} ${words.pick(OBJECTS)} ${words.pick(PLACES)}.`,
      `There are ${number} ${words.pick(OBJECTS)} ${words.pick(PLACES)}.`,
    ]);
    const text = `${said} ${words.pick(TAILS)}`;
    return { text };
  },
);
