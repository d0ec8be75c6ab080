/** Texts that say what is so: descriptions, definitions, questions with answers, lessons, lists and sums. */

import { capital, gerund, listOf, plural, third } from "./english.ts";
import { type Fact, FACTS, factsOf, TOPICS, type Topic } from "./facts.ts";
import { children, resident } from "./stories/cast.ts";
import type { Writer } from "./template.ts";
import { ANIMALS } from "./world/animals.ts";
import { DAYS, inWords, MONTHS, SEASONS } from "./world/calendar.ts";
import { FOODS } from "./world/food.ts";
import { JOBS } from "./world/jobs.ts";
import { CAUSES, WEATHER } from "./world/nature.ts";
import { OPPOSITES } from "./world/opposites.ts";
import { RESIDENTS, TOWN } from "./world/people.ts";
import { PLACES } from "./world/places.ts";
import { THINGS } from "./world/things.ts";

type Piece = (w: Writer) => string;

/** Sums outnumber all other facts, and are drawn less often than their number asks. */
const TOPIC_SHARES: Readonly<Record<Topic, number>> = {
  job: 3,
  work: 5,
  animal: 9,
  thing: 9,
  food: 4,
  colour: 5,
  place: 4,
  opposite: 5,
  number: 8,
  calendar: 3,
  cause: 2,
  person: 7,
};
const TOPIC_TICKETS = TOPICS.flatMap((topic) => Array.from({ length: TOPIC_SHARES[topic] }, () => topic));

/** @param but nobody asks about the one who is asked */
function someFacts(w: Writer, count: number, but?: string): Fact[] {
  const drawn = drawFacts(w, count).filter(({ subject }) => subject !== but);
  return drawn.length > 0 ? drawn : someFacts(w, count, but);
}

function drawFacts(w: Writer, count: number): Fact[] {
  if (w.chance(0.5)) return w.sample(factsOf(w.pick(TOPIC_TICKETS)), count);
  if (w.chance(0.5)) {
    const { subject } = w.pick(factsOf(w.pick(TOPIC_TICKETS)));
    return w.sample(
      FACTS.filter((fact) => fact.subject === subject),
      count,
    );
  }
  return Array.from({ length: count }, () => w.pick(factsOf(w.pick(TOPIC_TICKETS))));
}

const questions: Piece = (w) =>
  someFacts(w, w.between(2, 5))
    .map(({ ask, answer }) => `${w.say(ask)} ${w.say(answer)}`)
    .join(" ");

const statements: Piece = (w) =>
  someFacts(w, w.between(3, 6))
    .map(({ tell }) => w.say(tell))
    .join(" ");

const lesson: Piece = (w) => {
  const v = {
    ...children(w, "A", "B", "C"),
    ...resident(w, "R", ["teacher", "librarian", "sailor", "shepherd", "clockmaker"]),
  };
  const names = w.sample(["A", "B", "C"] as const, 3);
  const asked = someFacts(w, w.between(2, 3), v.R).map(({ ask, answer }, i) => {
    const said = `"${w.say(answer).slice(0, -1)}," said $${names[i]!}.`;
    const praise = w.pick(["", "", ' "{That is right|Very good|Well done|Good}," said $R.', " $R {nodded|smiled}."]);
    return `"${w.say(ask)}" asked $R. ${said}${praise}`;
  });
  const opening = w.pick([
    "$R the $R.job {sat|was sitting} with the children.",
    "It was {Monday|Tuesday|Thursday}, and the children {sat in a circle|were still sleepy}.",
    "$R had {a few|many|three} questions for $A, $B and $C.",
  ]);
  const close = w.pick([
    "",
    "",
    "Then the bell rang.",
    "After that they all went home.",
    '"{Enough for today|Tomorrow we go on}," said $R.',
  ]);
  return w.say([opening, ...asked, close].join(" "), v);
};

const curious: Piece = (w) => {
  const v = { ...children(w, "A"), ...resident(w) };
  const [fact, other] = someFacts(w, 2, v.R);
  const lines = [
    w.pick([
      "$A {asks|asked} many questions.",
      "$A wanted to know everything.",
      "$A met $R the $R.job {in the street|at the market|by the river}.",
    ]),
    `"${w.say(fact!.ask)}" asked $A. "${w.say(fact!.answer)}" said $R.`.replace(/\." said/, '," said'),
    ...(other === undefined
      ? []
      : [
          `"And ${lowerAsk(w.say(other.ask))}" asked $A. "${w.say(other.answer)}" said $R.`.replace(
            /\." said/,
            '," said',
          ),
        ]),
    w.pick([
      '"{Thank you|Now I know that too}," said $A.',
      "$A thought about it all the way home.",
      '"You ask good questions," said $R.',
    ]),
  ];
  return w.say(lines.join(" "), v);
};

function lowerAsk(question: string): string {
  return question.slice(0, 1).toLowerCase() + question.slice(1);
}

const aboutAnimal: Piece = (w) => {
  const a = w.pick(ANIMALS);
  const v = {
    X: a.name,
    kind: a.kind,
    mark: a.mark,
    young: a.young,
    food: a.food,
    home: a.home,
    legs: a.legs,
    moves: third(a.moves),
    colour: a.colour,
  };
  return w.say(
    [
      "{A $X is a $kind with $mark.|The $X is a $kind. It has $mark.}",
      ...w.sample(
        [
          "It lives $home.",
          "It eats $food.",
          "It is $colour.",
          "It has $legs legs and $moves.",
          ...(a.sound === "-" ? [] : [`When it wants to say something, it ${third(a.sound)}.`]),
          ...(a.young.includes(" ") || a.young === "baby" ? [] : ["A young $X is called a $young."]),
        ],
        w.between(2, 4),
      ),
      ...(w.chance(0.3)
        ? [
            w.pick([
              "Children like the $X very much.",
              "You can read about it in the library.",
              "Not everyone has seen one.",
            ]),
          ]
        : []),
    ].join(" "),
    v,
  );
};

const aboutPerson: Piece = (w) => {
  const r = w.pick(RESIDENTS);
  const job = JOBS.find(({ name }) => name === r.job)!;
  const he = capital(r.he);
  const his = r.he === "he" ? "his" : "her";
  const lines = [
    `${he} lives in the ${r.colour} house ${r.spot}.`,
    `${he} has a ${r.pet} called ${r.petName}.`,
    `${he} works ${job.place} and needs ${job.tool} for ${his} work.`,
    `${he} likes to eat ${r.likes}.`,
    `In the evening, ${r.he} likes to ${r.hobby}.`,
    `${he} is ${r.trait}{, and everyone likes ${r.he === "he" ? "him" : "her"}|}.`,
  ];
  const opening = `{${r.name} is the ${r.job} of ${TOWN}.|${r.name} is a ${r.job}. A ${r.job} ${third(job.does)}.|The ${r.job} of ${TOWN} is called ${r.name}.}`;
  return w.say([opening, ...w.sample(lines, w.between(3, 5))].join(" "));
};

const aboutThing: Piece = (w) => {
  const t = w.pick(THINGS);
  const owner = w.pick(RESIDENTS);
  return w.say(
    [
      `{A ${t.name} is a ${t.kind} for ${gerund(t.use)}.|If you want to ${t.use}, you need a ${t.name}.}`,
      ...w.sample(
        [
          `It is made of ${t.made}.`,
          `People keep it ${t.kept}.`,
          `${owner.name} the ${owner.job} has {a new one|an old one|two of them|a very good one}.`,
          `{There is one in almost every house.|You can buy one at the market.|Without it, many things would be harder.}`,
        ],
        w.between(2, 3),
      ),
    ].join(" "),
  );
};

const aboutPlace: Piece = (w) => {
  const p = w.pick(PLACES);
  const who = JOBS.find(({ place }) => place.endsWith(` the ${p.name}`));
  return w.say(
    [
      `{A ${p.name} is a place where people ${p.does}.|The ${p.name} of ${TOWN} is a {fine|quiet|busy} place.}`,
      `You can see ${p.see} ${p.at} the ${p.name}.`,
      `People go to the ${p.name} to ${p.does}.`,
      ...(who === undefined ? [] : [`A ${who.name} works there.`]),
      w.pick([
        "It is open every day.",
        "In the evening it is quiet.",
        "Children like to go there.",
        "On Sundays many people come.",
        "It is older than anyone can remember.",
      ]),
    ].join(" "),
  );
};

const contrast: Piece = (w) => {
  const [a, b, c] = w.sample(JOBS, 3);
  const [x, y] = w.sample(ANIMALS, 2);
  const [s, t] = w.sample(THINGS, 2);
  return w.say(
    w
      .sample(
        [
          `A ${a!.name} ${third(a!.does)}, but a ${b!.name} ${third(b!.does)}.`,
          `A ${c!.name} needs ${c!.tool}, and a ${a!.name} needs ${a!.tool}.`,
          `A ${x!.name} lives ${x!.home}, but a ${y!.name} lives ${y!.home}.`,
          x!.legs === y!.legs
            ? `A ${x!.name} and a ${y!.name} both have ${x!.legs} legs.`
            : `A ${x!.name} has ${x!.legs} legs, and a ${y!.name} has ${y!.legs} legs.`,
          `We use a ${s!.name} to ${s!.use}, and a ${t!.name} to ${t!.use}.`,
          `{A ${s!.name} is not a ${t!.name}|Nobody uses a ${s!.name} to ${t!.use}}{, of course|}.`,
        ],
        w.between(2, 4),
      )
      .join(" "),
  );
};

const opposites: Piece = (w) => {
  const shown = w.sample(
    OPPOSITES.filter((each) => each.shown !== "-"),
    w.between(2, 4),
  );
  return shown
    .map(({ word, opposite, shown: phrase }) => {
      const subject = phrase.replace(" is *", "");
      return w.say(
        `{If ${subject} is not ${word}, it may be ${opposite}.|${subject} is ${word}. The opposite of ${word} is ${opposite}.|Yesterday ${subject} was ${word}, and today it is ${opposite}.|Is ${subject} ${word} or ${opposite}? It is {${word}, not ${opposite}|${opposite}, not ${word}}.}`,
      );
    })
    .join(" ");
};

const counting: Piece = (w) => {
  const start = w.between(0, 14);
  const step = w.pick([1, 1, 1, 2]);
  const count = w.between(4, 6);
  const up = Array.from({ length: count }, (_, i) => inWords(start + i * step));
  const noun = plural(w.pick([...ANIMALS, ...THINGS]).name);
  const people = children(w, "A");
  return w.say(
    w.pick([
      `Count with me: ${up.join(", ")}.`,
      `$A counts the ${noun}: ${up.join(", ")}.${step === 2 ? " $A.He counts in twos." : ""}`,
      `${up.toReversed().join(", ")}. So we count {back|down} from ${up.at(-1)!} to ${up[0]!}.`,
      `After ${up[0]!} comes ${up[1]!}${step === 2 ? ", if you count in twos" : ""}, and then ${up[2]!}.`,
    ]),
    people,
  );
};

const sums: Piece = (w) => {
  const noun = w.pick([...ANIMALS, ...FOODS.filter(({ count }) => count === "one"), ...THINGS]).name;
  const many = (n: number): string => `${inWords(n)} ${n === 1 ? noun : plural(noun)}`;
  const [a, b] = [w.between(1, 10), w.between(1, 10)];
  const [big, small] = [Math.max(a, b), Math.min(a, b)];
  const people = children(w, "A", "B");
  return w.say(
    w.pick([
      `$A has ${many(a)} and $B has ${many(b)}. Together they have ${many(a + b)}, because ${inWords(a)} plus ${inWords(b)} is ${inWords(a + b)}.`,
      `There {are|were} ${many(big + 1)}. $A {takes|took} away ${inWords(small)}. ${inWords(big + 1)} minus ${inWords(small)} is ${inWords(big + 1 - small)}.`,
      `How much is ${inWords(a)} plus ${inWords(b)}? ${inWords(a)} plus ${inWords(b)} is ${inWords(a + b)}. {And how much is ${inWords(b)} plus ${inWords(a)}? It is the same.|}`,
      `${inWords(a)} plus ${inWords(b)} is ${inWords(a + b)}. ${inWords(a + b)} minus ${inWords(b)} is ${inWords(a)}.`,
    ]),
    people,
  );
};

const calendar: Piece = (w) => {
  const i = w.between(0, 6);
  const day = (n: number): string => DAYS[(i + n) % 7]!;
  const m = w.between(0, 11);
  const month = (n: number): string => MONTHS[(m + n) % 12]!;
  const season = w.pick(SEASONS);
  const r = w.pick(RESIDENTS);
  return w.say(
    w.pick([
      `Today is ${day(1)}. Yesterday was ${day(0)}, and tomorrow will be ${day(2)}.`,
      `The days of the week are ${listOf(DAYS)}.`,
      `The months of the year are ${listOf(MONTHS)}.`,
      `${month(0)}, ${month(1)}, ${month(2)}, ${month(3)}: so the months go by.`,
      `In ${season.name}, ${season.known}. The months of ${season.name} are ${listOf([0, 1, 2].map((n) => MONTHS[(season.start + n) % 12]!))}.`,
      `On ${day(0)} ${r.name} works, on ${day(1)} ${r.he} rests, and on ${day(2)} ${r.he} likes to ${r.hobby}.`,
      `A week has seven days. A year has twelve months and four seasons. {The seasons are ${listOf(SEASONS.map(({ name }) => name))}.|The first month is January and the last month is December.}`,
    ]),
  );
};

const lists: Piece = (w) => {
  const kinds = [
    ["fruits", FOODS.filter(({ kind }) => kind === "fruit").map(({ name }) => plural(name))],
    ["vegetables", FOODS.filter(({ kind }) => kind === "vegetable").map(({ name }) => plural(name))],
    ["drinks", FOODS.filter(({ kind }) => kind === "drink").map(({ name }) => name)],
    ["farm animals", ANIMALS.filter(({ kind }) => kind === "farm animal").map(({ name }) => plural(name))],
    ["wild animals", ANIMALS.filter(({ kind }) => kind === "wild animal").map(({ name }) => plural(name))],
    ["sea animals", ANIMALS.filter(({ kind }) => kind === "sea animal").map(({ name }) => plural(name))],
    ["birds", ANIMALS.filter(({ kind }) => kind.includes("bird")).map(({ name }) => plural(name))],
    ["insects", ANIMALS.filter(({ kind }) => kind === "insect").map(({ name }) => plural(name))],
    ["tools", THINGS.filter(({ kind }) => kind === "tool").map(({ name }) => plural(name))],
    ["toys", THINGS.filter(({ kind }) => kind === "toy").map(({ name }) => plural(name))],
    ["containers", THINGS.filter(({ kind }) => kind === "container").map(({ name }) => plural(name))],
    ["vehicles", THINGS.filter(({ kind }) => kind.endsWith("vehicle")).map(({ name }) => plural(name))],
    ["instruments", THINGS.filter(({ kind }) => kind === "instrument").map(({ name }) => plural(name))],
    ["colours", ["red", "blue", "green", "yellow", "white", "black", "brown", "orange", "purple", "grey", "pink"]],
  ] as const;
  return w
    .sample(kinds, w.between(1, 3))
    .map(([kind, members]) => {
      const some = listOf(w.sample<string>(members, 3));
      return w.say(
        `{${some} are ${kind}.|Some ${kind} are ${some}.|There are many ${kind}: ${some}, for example.|Can you name three ${kind}? ${some}.}`,
      );
    })
    .join(" ");
};

const weather: Piece = (w) => {
  const v = w.pick(WEATHER);
  const cause = w.pick(CAUSES);
  return w.say(
    [
      `{It was a ${v.was} day in ${TOWN}.|Today the weather is ${v.was}.|What a ${v.was} morning!} {${capital(v.scene)}.|}`,
      `{People wore ${v.wear}.|${w.pick(RESIDENTS).name} looked out of the window and ${v.was === "sunny" ? "smiled" : "sighed"}.}`,
      `When ${cause.when}, ${cause.then}.{ Why? Because ${cause.because}.|}`,
    ].join(" "),
  );
};

const shopping: Piece = (w) => {
  const seller = resident(w, "R", ["baker", "florist", "tailor", "fisherman", "beekeeper", "clockmaker"]);
  const wares: Record<string, readonly string[]> = {
    baker: ["a loaf of bread", "two rolls", "a plum cake"],
    florist: ["three red roses", "a bunch of tulips", "one sunflower"],
    tailor: ["a warm coat", "a blue shirt", "four buttons"],
    fisherman: ["two silver fish", "a big crab", "a fish for the cat"],
    beekeeper: ["a jar of honey", "two candles", "honey sweets"],
    clockmaker: ["a small clock", "a new watch", "a clock with a bird in it"],
  };
  return w.say(
    [
      '"Good {morning|day|evening}, $R," said $A.',
      '"Good day, $A. {What can I do for you|What would you like}?" asked $R the $R.job.',
      `"I would like ${w.pick(wares[seller["R.job"]!]!)}, please," said $A.`,
      `"{Here you are|With pleasure}. That is ${inWords(w.between(2, 9))} coins," said $R.`,
      '{"Thank you, and goodbye," said $A.|"That is a fair price," said $A. "Goodbye!"|$A paid, said thank you and went home.}',
    ].join(" "),
    { ...seller, ...children(w, "A") },
  );
};

const meeting: Piece = (w) =>
  w.say(
    [
      '{"Hello|"Good morning|"Ahoy}, $R!" {called|said} $A.',
      '"{Hello|Good morning|Ahoy}, $A. {What brings you here|How are you today}?" asked $R.',
      w.pick([
        `"I am {well|tired|hungry|happy}," said $A. "And {how is|where is} $R.petname?" "$R.petname is at home and {sleeps|waits for me}," said $R.`,
        `"I am going to the {bakery|market|harbour|library}," said $A. "Will you come with me?" {"Not today," said $R. "A $R.job has no time."|"Yes, let us go," said $R, and they went together.}`,
        `"I am looking for {my brother|my ball|some work}," said $A. {"I cannot help you," said $R. "Ask at the town hall," said $R.|"Look near the fountain," said $R.}`,
      ]),
      w.pick([
        "Then they said goodbye.",
        '"{Fair winds|Calm seas|Steady as she goes|Mind the tide}, $A," said $R.',
        '"See you tomorrow," said $A.',
        "It began to rain, and they both ran.",
      ]),
    ].join(" "),
    { ...resident(w), ...children(w, "A") },
  );

/** Each kind of text, with its share of the knowledge documents. */
export const KNOWLEDGE: readonly (readonly [Piece, number])[] = [
  [questions, 26],
  [statements, 12],
  [lesson, 9],
  [curious, 7],
  [aboutAnimal, 7],
  [aboutPerson, 7],
  [aboutThing, 7],
  [aboutPlace, 4],
  [contrast, 4],
  [opposites, 3],
  [counting, 3],
  [sums, 5],
  [calendar, 3],
  [lists, 3],
  [weather, 3],
  [shopping, 3],
  [meeting, 4],
];
