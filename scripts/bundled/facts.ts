/**
 * What is true in the world of the text. Each fact can be asked, told in several ways and answered in one sentence, so that
 * the pretraining text and the instructions never disagree.
 */

import { capital, gerund, third, tidy } from "./english.ts";
import { ANIMALS } from "./world/animals.ts";
import { DAYS, inWords, MONTHS, SEASONS, seasonOf } from "./world/calendar.ts";
import { FOODS } from "./world/food.ts";
import { JOBS } from "./world/jobs.ts";
import { BODY, CAUSES, COLOURS } from "./world/nature.ts";
import { OPPOSITES } from "./world/opposites.ts";
import { RESIDENTS, TOWN } from "./world/people.ts";
import { PLACES } from "./world/places.ts";
import { THINGS } from "./world/things.ts";

/** What a fact is about; facts of one topic are asked in much the same words. */
export type Topic =
  | "job"
  | "work"
  | "animal"
  | "thing"
  | "food"
  | "colour"
  | "place"
  | "opposite"
  | "number"
  | "calendar"
  | "cause"
  | "person";

export interface Fact {
  readonly topic: Topic;
  /** The word that the fact is about. */
  readonly subject: string;
  /** Templates of the question. The first wording is the plainest. */
  readonly ask: string;
  /** Template that states it. */
  readonly tell: string;
  /** The answer as one sentence, the same each time. */
  readonly answer: string;
}

function fact(topic: Topic, subject: string, ask: string, answer: string, ...otherWays: string[]): Fact {
  return { topic, subject, ask, answer: tidy(answer), tell: `{${[answer, answer, ...otherWays].join("|")}}` };
}

function jobFacts(): Fact[] {
  return JOBS.flatMap(({ name, does, place, tool }) => [
    fact(
      "job",
      name,
      `What is a ${name}?`,
      `A ${name} is a person who ${third(does)}.`,
      `{A person|Someone} who ${third(does)} is {|called }a ${name}.`,
    ),
    fact(
      "work",
      name,
      `{What does a ${name} do?|What is the work of a ${name}?}`,
      `A ${name} ${third(does)}.`,
      `The work of a ${name} is to ${does}.`,
    ),
    fact("work", name, `Where does a ${name} work?`, `A ${name} works ${place}.`, `${place}, you can find a ${name}.`),
    fact(
      "work",
      name,
      `{What does a ${name} use?|What does a ${name} need?}`,
      `A ${name} uses ${tool}.`,
      `A ${name} needs ${tool} for the work.`,
    ),
  ]);
}

function animalFacts(): Fact[] {
  return ANIMALS.flatMap(({ name, kind, mark, young, food, home, legs, moves, sound, colour }) => [
    fact(
      "animal",
      name,
      `What is a ${name}?`,
      `A ${name} is a ${kind} with ${mark}.`,
      `The ${name} is a ${kind}. It has ${mark}.`,
    ),
    ...(young.includes(" ") || young === "baby"
      ? []
      : [
          fact(
            "animal",
            name,
            `{What is a young ${name} called?|What do we call a young ${name}?}`,
            `A young ${name} is called a ${young}.`,
            `A ${young} is a young ${name}.`,
          ),
        ]),
    fact("animal", name, `{What does a ${name} eat?|What does a ${name} like to eat?}`, `A ${name} eats ${food}.`),
    fact("animal", name, `Where does a ${name} live?`, `A ${name} lives ${home}.`, `The home of a ${name} is ${home}.`),
    fact("animal", name, `How many legs does a ${name} have?`, `A ${name} has ${legs} legs.`),
    fact("animal", name, `How does a ${name} move?`, `A ${name} ${third(moves)}.`, `A ${name} likes to ${moves}.`),
    ...(sound === "-"
      ? []
      : [
          fact(
            "animal",
            name,
            `{What does a ${name} say?|What sound does a ${name} make?}`,
            `A ${name} ${third(sound)}.`,
          ),
        ]),
    fact("colour", name, `What colour is a ${name}?`, `A ${name} is ${colour}.`),
  ]);
}

function thingFacts(): Fact[] {
  return THINGS.flatMap(({ name, kind, use, made, kept }) => [
    fact("thing", name, `What is a ${name}?`, `A ${name} is a ${kind} for ${gerund(use)}.`),
    fact(
      "thing",
      name,
      `{What is a ${name} for?|What do we use a ${name} for?}`,
      `A ${name} is for ${gerund(use)}.`,
      `We use a ${name} to ${use}.`,
      `If you want to ${use}, {take|use} a ${name}.`,
    ),
    fact("thing", name, `What is a ${name} made of?`, `A ${name} is made of ${made}.`),
    fact("thing", name, `Where do people keep a ${name}?`, `People keep a ${name} ${kept}.`),
  ]);
}

function foodFacts(): Fact[] {
  return FOODS.flatMap(({ name, kind, colour, taste, from, count }) => {
    const one = count === "one" ? `a ${name}` : name;
    return [
      fact("food", name, `What is ${one}?`, capital(`${one} is a ${kind} that comes from ${from}.`)),
      fact("colour", name, `What colour is ${one}?`, capital(`${one} is ${colour}.`)),
      fact("food", name, `{How does ${one} taste?|What does ${one} taste like?}`, capital(`${one} tastes ${taste}.`)),
    ];
  });
}

function placeFacts(): Fact[] {
  return PLACES.flatMap(({ name, at, does, see }) => [
    fact("place", name, `What is a ${name}?`, `A ${name} is a place where people ${does}.`),
    fact(
      "place",
      name,
      `{What do people do ${at} the ${name}?|Why do people go to the ${name}?}`,
      `People go to the ${name} to ${does}.`,
    ),
    fact("place", name, `What can you see ${at} the ${name}?`, `You can see ${see} ${at} the ${name}.`),
  ]);
}

function oppositeFacts(): Fact[] {
  const pairs = OPPOSITES.flatMap(({ word, opposite }) => [[word, opposite] as const, [opposite, word] as const]);
  // A word with two opposites (old: young, new) has no single answer.
  const once = pairs.filter(([word]) => pairs.filter(([other]) => other === word).length === 1);
  return once.map(([word, opposite]) =>
    fact(
      "opposite",
      word,
      `{What is the opposite of ${word}?|Which word is the opposite of ${word}?}`,
      `The opposite of ${word} is ${opposite}.`,
    ),
  );
}

function natureFacts(): Fact[] {
  return [
    ...COLOURS.map(({ thing, colour }) =>
      fact("colour", thing, `What colour is ${thing}?`, capital(`${thing} is ${colour}.`)),
    ),
    ...BODY.map(({ part, use }) =>
      fact(
        "thing",
        part,
        `What do we do with our ${part}?`,
        `We ${use} with our ${part}.`,
        `Our ${part} help us to ${use}.`,
      ),
    ),
    ...CAUSES.map(({ when, then, because }) =>
      fact(
        "cause",
        when,
        `What happens when ${when}?`,
        `When ${when}, ${then}.`,
        `${then} when ${when}, because ${because}.`,
      ),
    ),
  ];
}

function calendarFacts(): Fact[] {
  const cycle = (names: readonly string[], what: string): Fact[] =>
    names.flatMap((name, i) => {
      const next = names[(i + 1) % names.length]!;
      return [
        fact(
          "calendar",
          name,
          `{Which ${what} comes after ${name}?|What comes after ${name}?}`,
          `${next} comes after ${name}.`,
        ),
        fact(
          "calendar",
          next,
          `{Which ${what} comes before ${next}?|What comes before ${next}?}`,
          `${name} comes before ${next}.`,
        ),
      ];
    });
  return [
    ...cycle(DAYS, "day"),
    ...cycle(MONTHS, "month"),
    ...cycle(
      SEASONS.map(({ name }) => name),
      "season",
    ).map((each) => ({ ...each, answer: capital(each.answer) })),
    ...MONTHS.map((month, i) =>
      fact("calendar", month, `In which season is ${month}?`, `${month} is in ${seasonOf(i).name}.`),
    ),
    ...SEASONS.map(({ name, known }) => fact("calendar", name, `What happens in ${name}?`, `In ${name}, ${known}.`)),
  ];
}

/** Sums stay at most this high. */
const LARGEST_SUM = 20;

function numberFacts(): Fact[] {
  const facts: Fact[] = [];
  for (let n = 0; n <= LARGEST_SUM; n++) {
    const [word, next] = [inWords(n), inWords(n + 1)];
    facts.push(fact("number", word, `Which number comes after ${word}?`, capital(`${next} comes after ${word}.`)));
    facts.push(fact("number", next, `Which number comes before ${next}?`, capital(`${word} comes before ${next}.`)));
  }
  for (let a = 1; a <= LARGEST_SUM / 2; a++) {
    for (let b = 1; b <= LARGEST_SUM / 2; b++) {
      const sum = `${inWords(a)} plus ${inWords(b)}`;
      facts.push(fact("number", sum, `{What is ${sum}?|How much is ${sum}?}`, capital(`${sum} is ${inWords(a + b)}.`)));
      if (b > a) continue;
      const difference = `${inWords(a)} minus ${inWords(b)}`;
      const left = capital(`${difference} is ${inWords(a - b)}.`);
      facts.push(fact("number", difference, `{What is ${difference}?|How much is ${difference}?}`, left));
    }
  }
  return facts;
}

function personFacts(): Fact[] {
  return RESIDENTS.flatMap(({ name, he, job, colour, spot, pet, petName, likes, hobby, trait }) => {
    const home = `in the ${colour} house ${spot}`;
    return [
      fact(
        "person",
        name,
        `Who is ${name}?`,
        `${name} is the ${job} of ${TOWN}.`,
        `The ${job} of ${TOWN} is {called |}${name}.`,
      ),
      fact(
        "person",
        name,
        `{Where does ${name} live?|Where is the house of ${name}?}`,
        `${name} lives ${home}.`,
        `The house of ${name} is the ${colour} one ${spot}.`,
      ),
      fact("person", name, `Who lives ${home}?`, `${name} lives ${home}.`),
      fact(
        "person",
        name,
        `{Which pet does ${name} have?|What is the pet of ${name} called?}`,
        `${name} has a ${pet} called ${petName}.`,
        `${petName} is the ${pet} of ${name}.`,
      ),
      fact(
        "person",
        name,
        `What does ${name} like to eat?`,
        `${name} likes to eat ${likes}.`,
        `Nothing tastes better to ${name} than ${likes}.`,
      ),
      fact(
        "person",
        name,
        `What does ${name} like to do in the evening?`,
        `In the evening, ${name} likes to ${hobby}.`,
      ),
      fact(
        "person",
        name,
        `What is ${name} like?`,
        `${name} is ${trait}.`,
        `Everyone knows that ${name} is ${trait}, and ${he} knows it too.`,
      ),
    ];
  });
}

/** All facts, in a fixed order. */
export const FACTS: readonly Fact[] = [
  ...jobFacts(),
  ...animalFacts(),
  ...thingFacts(),
  ...foodFacts(),
  ...placeFacts(),
  ...oppositeFacts(),
  ...natureFacts(),
  ...calendarFacts(),
  ...numberFacts(),
  ...personFacts(),
];

/** The facts of one topic. */
export function factsOf(topic: Topic): readonly Fact[] {
  return BY_TOPIC.get(topic) ?? [];
}

const BY_TOPIC = new Map<Topic, Fact[]>();
for (const each of FACTS) {
  const known = BY_TOPIC.get(each.topic);
  if (known === undefined) BY_TOPIC.set(each.topic, [each]);
  else known.push(each);
}
export const TOPICS: readonly Topic[] = [...BY_TOPIC.keys()];
