/** Who has more? One of two, as in WinoGrande; which pairs of numbers were trained on says nothing of the others. */
import { generatedTask } from "./task.ts";
import { CHILDREN, inWords, OBJECTS } from "./words.ts";

const NUMBERS = 40;

export const COMPARISON = generatedTask(
  { name: "comparison", about: "which of two children has more", labels: ["first", "second"] },
  (words, label) => {
    const numbers = words.sample(
      Array.from({ length: NUMBERS }, (_, i) => i + 1),
      2,
    );
    const [less, more] = numbers.toSorted((a, b) => a - b);
    const [a, b] = label === 0 ? [more!, less!] : [less!, more!];
    const [first, second] = words.sample(CHILDREN, 2);
    const objects = words.pick(OBJECTS);
    return {
      text: `${first!} has ${inWords(a)} ${objects} and ${second!} has ${inWords(b)} ${objects}. Who has more ${objects}?`,
      // Both orders of a pair are on one side: the test asks for pairs that were never compared.
      key: `${less!} ${more!}`,
    };
  },
);
