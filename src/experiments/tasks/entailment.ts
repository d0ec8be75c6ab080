/** Does a sentence follow from the one before it? In the manner of MNLI. */
import { generatedTask } from "./task.ts";
import { CHILDREN, COLOURS, THINGS } from "./words.ts";

export const ENTAILMENT = generatedTask(
  {
    name: "entailment",
    about: "whether the second sentence follows from the first, contradicts it, or neither",
    labels: ["entailment", "neutral", "contradiction"],
  },
  (words, label) => {
    const name = words.pick(CHILDREN);
    const colours = words.sample(COLOURS, 3);
    const things = words.sample(THINGS, 3);
    const at = words.below(2);
    const premise = `${name} has a ${colours[0]!} ${things[0]!} and a ${colours[1]!} ${things[1]!}.`;
    const claimed = {
      colour: label === 2 ? (words.chance(0.5) ? colours[1 - at]! : colours[2]!) : colours[at]!,
      thing: label === 1 ? things[2]! : things[at]!,
    };
    const text = `${premise} ${name} has a ${claimed.colour} ${claimed.thing}.`;
    return { text, key: text };
  },
);
