/** What kind of thing did someone take? To be read off a sentence with three people, in the manner of SIQA's three answers. */
import { generatedTask } from "./task.ts";
import { ANIMALS, CHILDREN, FOOD, TOOLS } from "./words.ts";

const KINDS = [ANIMALS.map(({ name }) => name), FOOD, TOOLS] as const;
const LABELS = ["animal", "food", "tool"];

export const TAKEN = generatedTask(
  { name: "taken", about: "what the one who is asked for took: an animal, food, or a tool", labels: LABELS },
  (words, label) => {
    const [who, second, third] = words.sample(CHILDREN, 3);
    const kinds = [label, ...words.shuffled([0, 1, 2].filter((kind) => kind !== label))];
    const clauses = [who!, second!, third!].map((name, i) => `${name} took the ${words.pick(KINDS[kinds[i]!]!)}`);
    const [a, b, c] = words.shuffled(clauses);
    const text = `${a!}, ${b!} and ${c!}. What did ${who!} take?`;
    return { text, key: text };
  },
);
