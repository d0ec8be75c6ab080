/** Is it so? A claim and nothing else, as in FEVER; the answers are in what the model was pretrained on. */
import { generatedTask, type Words } from "./task.ts";
import { ANIMALS, CHILDREN, RESIDENTS, withArticle } from "./words.ts";

type Animal = (typeof ANIMALS)[number];

const CLAIMS: readonly { key: keyof Animal; say: (name: string, value: string) => string }[] = [
  { key: "home", say: (name, value) => `The ${name} lives ${value}.` },
  { key: "young", say: (name, value) => `A young ${name} is called ${withArticle(value)}.` },
];
const OPENINGS = ["", "It is said: ", "Is it true? ", "Someone says: ", "I have read this: ", "Listen: "];

export const FACT = generatedTask(
  {
    name: "fact",
    about: "whether a claim is true, false, or about someone of whom nothing is known",
    labels: ["supported", "refuted", "unknown"],
  },
  (words, label) => {
    const text = words.pick(OPENINGS) + (label === 2 ? unknown(words) : known(words, label === 0));
    return { text };
  },
);

function known(words: Words, isTrue: boolean): string {
  const { key, say } = words.pick(CLAIMS);
  const animal = words.pick(ANIMALS);
  return say(animal.name, isTrue ? animal[key] : words.pick(othersThan(key, animal[key])));
}

function unknown(words: Words): string {
  const [child, resident] = [words.pick(CHILDREN), words.pick(RESIDENTS)];
  return words.chance(0.5) ? `${child} lives ${resident.spot}.` : `The cat of ${child} is called ${resident.petName}.`;
}

function othersThan(key: keyof Animal, value: string): string[] {
  return [...new Set(ANIMALS.map((row) => row[key]))].filter((other) => other !== value);
}
