/** What kind of thing did someone take? Another thing is there to mislead. In the manner of SIQA's three answers. */
import { generatedTask } from "./task.ts";
import { ANIMALS, CHILDREN, FOOD, PLACES, TOOLS } from "./words.ts";

const KINDS = [ANIMALS.map(({ name }) => name), FOOD, TOOLS] as const;

export const TAKEN = generatedTask(
  {
    name: "taken",
    about: "what a child took: an animal, food, or a tool; it saw another one",
    labels: ["animal", "food", "tool"],
  },
  (words, label) => {
    const child = words.pick(CHILDREN);
    const thing = words.pick(KINDS[label]!);
    const other = words.pick(KINDS[(label + 1 + words.below(2)) % 3]!);
    const place = words.pick(PLACES);
    const text = words.chance(0.5)
      ? `${child} saw the ${other} and took the ${thing} ${place}.`
      : `${child} took the ${thing} and saw the ${other} ${place}.`;
    return { text };
  },
);
