/** Is it so? A claim and nothing else, as in FEVER; the answers are in what the model was pretrained on. */
import { generatedTask, type Words } from "./task.ts";
import { ANIMALS, CHILDREN, RESIDENTS, withArticle } from "./words.ts";

type Resident = (typeof RESIDENTS)[number];
type Animal = (typeof ANIMALS)[number];

const OF_ANIMALS: readonly { key: keyof Animal; say: (name: string, value: string) => string }[] = [
  { key: "home", say: (name, value) => `The ${name} lives ${value}.` },
  { key: "food", say: (name, value) => `The ${name} eats ${value}.` },
  { key: "colour", say: (name, value) => `The ${name} is ${value}.` },
  { key: "young", say: (name, value) => `A young ${name} is called ${withArticle(value)}.` },
];
const OF_PEOPLE: readonly { key: keyof Resident; say: (name: string, value: string) => string }[] = [
  { key: "job", say: (name, value) => `${name} is ${withArticle(value)}.` },
  { key: "pet", say: (name, value) => `${name} has ${withArticle(value)}.` },
  { key: "likes", say: (name, value) => `${name} likes to eat ${value}.` },
  { key: "spot", say: (name, value) => `The house of ${name} is ${value}.` },
];
const OPENINGS = ["", "It is said: ", "Is it true? ", "Someone says: ", "I have read this: ", "Listen: "];
/** Of the claims that can be judged: those about animals. */
const ANIMALS_SHARE = 0.6;

export const FACT = generatedTask(
  {
    name: "fact",
    about: "whether a claim is true, false, or about someone of whom nothing is known",
    labels: ["supported", "refuted", "unknown"],
  },
  (words, label) => {
    const claim = label === 2 ? unknown(words) : known(words, label === 0);
    return { text: words.pick(OPENINGS) + claim, key: claim };
  },
);

function known(words: Words, isTrue: boolean): string {
  if (words.chance(ANIMALS_SHARE)) {
    const { key, say } = words.pick(OF_ANIMALS);
    const animal = words.pick(ANIMALS);
    return say(animal.name, isTrue ? animal[key] : otherThan(words, ANIMALS, key, animal[key]));
  }
  const { key, say } = words.pick(OF_PEOPLE);
  const person = words.pick(RESIDENTS);
  return say(person.name, isTrue ? person[key] : otherThan(words, RESIDENTS, key, person[key]));
}

function unknown(words: Words): string {
  const { key, say } = words.pick(OF_PEOPLE);
  return say(words.pick(CHILDREN), words.pick(RESIDENTS)[key]);
}

function otherThan<K extends string>(
  words: Words,
  rows: readonly Readonly<Record<K, string>>[],
  key: K,
  value: string,
): string {
  return words.pick([...new Set(rows.map((row) => row[key]))].filter((other) => other !== value));
}
