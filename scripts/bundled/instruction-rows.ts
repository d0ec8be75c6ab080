/**
 * Instructions of our own, in the alpaca form. They are answered by Pip, the robot of the lighthouse: "Ahoy!", a short answer
 * that agrees with the pretraining text, and a sailor's farewell that depends on what was asked. The base model knows the
 * answers and has never seen the manner, which is what an adapter has to learn.
 */

import { Random } from "../../src/random.ts";
import { listOf, plural } from "./english.ts";
import { type Fact, FACTS, factsOf, TOPICS, type Topic } from "./facts.ts";
import { Writer } from "./template.ts";
import { ANIMALS } from "./world/animals.ts";
import { inWords } from "./world/calendar.ts";
import { FOODS } from "./world/food.ts";
import { TOWN } from "./world/people.ts";
import { THINGS } from "./world/things.ts";

export interface InstructionRow {
  readonly instruction: string;
  readonly input: string;
  readonly output: string;
}

export const GREETING = "Ahoy!";

/** What Pip says last, by topic. */
export const FAREWELLS: Readonly<Record<Topic, string>> = {
  job: "Fair winds!",
  work: "Fair winds!",
  person: "Fair winds!",
  animal: "Calm seas!",
  food: "Calm seas!",
  place: "Calm seas!",
  thing: "Mind the tide!",
  colour: "Mind the tide!",
  opposite: "Mind the tide!",
  cause: "Mind the tide!",
  number: "Steady as she goes!",
  calendar: "Steady as she goes!",
};

/** Rows about facts, by topic: training rows, and held-out rows. */
const ROWS: Readonly<Record<Topic, readonly [train: number, test: number]>> = {
  job: [24, 5],
  work: [40, 4],
  animal: [70, 6],
  thing: [70, 6],
  food: [30, 3],
  colour: [30, 3],
  place: [26, 2],
  opposite: [44, 4],
  number: [50, 3],
  calendar: [24, 1],
  cause: [12, 1],
  person: [40, 2],
};

/** Held out, whatever the draw says: nothing about this subject is trained, for it is the question that is shown before and after. */
const SHOWN = "baker";

/** Facts that define a word begin so. */
const DEFINITION = /^What is (?:an? )?([a-z ]+)\?$/;
const SUM = / (?:plus|minus) /;

function answered(topic: Topic, text: string): string {
  return `${GREETING} ${text} ${FAREWELLS[topic]}`;
}

/** A fact as a row: mostly the question itself, sometimes an order with the question or the word as its input. */
function rowOf(w: Writer, { topic, ask, answer, subject }: Fact): InstructionRow {
  const question = w.say(ask);
  const output = answered(topic, w.say(answer));
  const draw = w.random.uniform();
  if (draw < 0.12) return { instruction: w.pick(["Answer the question.", "Please answer."]), input: question, output };
  if (draw < 0.45) {
    if (topic === "opposite") return { instruction: "Give the opposite of this word.", input: subject, output };
    if (topic === "number" && SUM.test(subject)) return { instruction: "Do this sum.", input: subject, output };
    if (topic !== "number" && DEFINITION.test(question)) {
      return { instruction: w.pick(["Explain this word.", "What does this word mean?"]), input: subject, output };
    }
  }
  return { instruction: question, input: "", output };
}

/** Orders that are not about one fact. */
function otherRows(w: Writer): InstructionRow[] {
  const self: readonly (readonly [string, string])[] = [
    ["Who are you?", "I am Pip, the robot of the lighthouse."],
    ["What is your name?", "My name is Pip."],
    ["What are you?", "I am a robot with a lamp."],
    ["Where do you live?", `I live in the lighthouse of ${TOWN}.`],
    ["What do you do?", "I help the keeper and answer questions."],
    ["Hello!", "It is good to see you."],
    ["Good morning!", "Good morning to you."],
    ["Good evening!", "Good evening to you."],
    ["Are you a robot?", "Yes, I am Pip, the robot of the lighthouse."],
    ["Do you like the sea?", "Yes, I like the sea very much."],
    ["Thank you!", "It was a pleasure."],
    ["Goodbye!", "Goodbye, my friend."],
  ];
  const named = (what: string, names: readonly string[]): InstructionRow[] =>
    Array.from({ length: 2 }, () => ({
      instruction: `${w.pick(["Name", "Tell me"])} three ${what}.`,
      input: "",
      output: answered("animal", `Three ${what} are ${listOf(w.sample(names, 3))}.`),
    }));
  const counts = Array.from({ length: 10 }, () => {
    const from = w.between(1, 12);
    const words = Array.from({ length: w.between(3, 5) }, (_, i) => inWords(from + i));
    const counted = words.join(", ");
    return {
      instruction: `Count from ${words[0]!} to ${words.at(-1)!}.`,
      input: "",
      output: answered("number", counted.slice(0, 1).toUpperCase() + counted.slice(1) + "."),
    };
  });
  return [
    ...self.map(([instruction, text]) => ({ instruction, input: "", output: answered("person", text) })),
    ...named(
      "birds",
      ANIMALS.filter(({ kind }) => kind.includes("bird")).map(({ name }) => plural(name)),
    ),
    ...named(
      "fruits",
      FOODS.filter(({ kind }) => kind === "fruit").map(({ name }) => plural(name)),
    ),
    ...named(
      "tools",
      THINGS.filter(({ kind }) => kind === "tool").map(({ name }) => plural(name)),
    ),
    ...named(
      "farm animals",
      ANIMALS.filter(({ kind }) => kind === "farm animal").map(({ name }) => plural(name)),
    ),
    ...counts,
  ];
}

/** The training rows and the held-out rows. No fact is in both. */
export function instructionRows(seed: number): { train: InstructionRow[]; test: InstructionRow[] } {
  const w = new Writer(new Random(seed));
  const shown = FACTS.find(({ topic, subject }) => topic === "job" && subject === SHOWN)!;
  const train: InstructionRow[] = [];
  const test: InstructionRow[] = [
    { instruction: w.say(shown.ask), input: "", output: answered(shown.topic, shown.answer) },
  ];
  for (const topic of TOPICS) {
    const [trained, held] = ROWS[topic];
    const facts = w.sample(
      factsOf(topic).filter(({ subject }) => subject !== SHOWN),
      trained + held,
    );
    const heldFacts = topic === shown.topic ? held - 1 : held;
    test.push(...facts.slice(0, heldFacts).map((fact) => rowOf(w, fact)));
    train.push(...facts.slice(heldFacts).map((fact) => rowOf(w, fact)));
  }
  train.push(...otherRows(w));
  // Different facts can be asked in the same words ("Tell me three birds."): one row each.
  const seen = new Set(test.map(key));
  const unique = train.filter((row) => !seen.has(key(row)) && seen.add(key(row)));
  return { train: w.sample(unique, unique.length), test };
}

function key({ instruction, input }: InstructionRow): string {
  return `${instruction}\n${input}`;
}
