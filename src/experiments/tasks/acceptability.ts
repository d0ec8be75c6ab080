/** Is it a sentence, or are two of its words in the wrong places? In the manner of CoLA. */
import { generatedTask } from "./task.ts";
import { ANIMALS, CHILDREN, COLOURS, FOOD, PLACES, THINGS } from "./words.ts";

export const ACCEPTABILITY = generatedTask(
  { name: "acceptability", about: "whether the words of a sentence are in their order", labels: ["wrong", "right"] },
  (words, label) => {
    const [child, friend] = words.sample(CHILDREN, 2);
    const thing = `${words.pick(COLOURS)} ${words.pick(THINGS)}`;
    const sentence = words
      .pick([
        `${child!} found a ${thing} ${words.pick(PLACES)}`,
        `${child!} gave ${friend!} a ${thing}`,
        `the ${words.pick(ANIMALS).name} looked at ${child!} ${words.pick(PLACES)}`,
        `${child!} and ${friend!} ate a ${words.pick(FOOD)} ${words.pick(PLACES)}`,
      ])
      .split(" ");
    if (label === 0) {
      const at = 1 + words.below(sentence.length - 2);
      [sentence[at], sentence[at + 1]] = [sentence[at + 1]!, sentence[at]!];
    }
    const text = `${sentence.join(" ")}.`;
    return { text: text.slice(0, 1).toUpperCase() + text.slice(1) };
  },
);
