/** Who and what a story is about, as values for its templates. */

import { article } from "../english.ts";
import type { Values, Writer } from "../template.ts";
import { ANIMALS } from "../world/animals.ts";
import { DAYS } from "../world/calendar.ts";
import { FOODS } from "../world/food.ts";
import { WEATHER } from "../world/nature.ts";
import { CHILDREN, RESIDENTS } from "../world/people.ts";
import { PLACES } from "../world/places.ts";

/** A story: a few sentences that belong together. */
export type Plot = (w: Writer) => string;

/** `$A`, `$A.he`, `$A.him`, `$A.his`, `$A.He`, `$A.child` for the prefix `A`. */
function pronouns(prefix: string, name: string, he: string): Values {
  const male = he === "he";
  return {
    [prefix]: name,
    [`${prefix}.he`]: he,
    [`${prefix}.He`]: male ? "He" : "She",
    [`${prefix}.him`]: male ? "him" : "her",
    [`${prefix}.his`]: male ? "his" : "her",
    [`${prefix}.child`]: male ? "boy" : "girl",
    [`${prefix}.sib`]: male ? "brother" : "sister",
  };
}

/** Different children, one for each prefix. */
export function children(w: Writer, ...prefixes: string[]): Values {
  const chosen = w.sample(CHILDREN, prefixes.length);
  return Object.assign({}, ...chosen.map(({ name, he }, i) => pronouns(prefixes[i]!, name, he))) as Values;
}

/** A grown-up: also `$R.job`, `$R.home`, `$R.pet`, `$R.petname`, `$R.likes`, `$R.hobby`, `$R.trait`. */
export function resident(w: Writer, prefix = "R", jobs?: readonly string[]): Values {
  const r = w.pick(jobs === undefined ? RESIDENTS : RESIDENTS.filter(({ job }) => jobs.includes(job)));
  return {
    ...pronouns(prefix, r.name, r.he),
    [`${prefix}.job`]: r.job,
    [`${prefix}.home`]: `in the ${r.colour} house ${r.spot}`,
    [`${prefix}.pet`]: r.pet,
    [`${prefix}.petname`]: r.petName,
    [`${prefix}.likes`]: r.likes,
    [`${prefix}.hobby`]: r.hobby,
    [`${prefix}.trait`]: r.trait,
  };
}

/** A place: `$place` ("the mill") and `$at` ("at the mill"). */
export function place(w: Writer): Values {
  const { name, at } = w.pick(PLACES);
  return { place: `the ${name}`, at: `${at} the ${name}` };
}

/** Animals that may meet in a fable: `$X` and `$Y`, each with `.home`, `.food`, `.mark`. */
export function animals(w: Writer, ...prefixes: string[]): Values {
  const chosen = w.sample(
    ANIMALS.filter(({ kind }) => kind !== "sea animal" && kind !== "desert animal"),
    prefixes.length,
  );
  return Object.assign(
    {},
    ...chosen.map(({ name, home, food, mark, moves }, i) => ({
      [prefixes[i]!]: name,
      [`${prefixes[i]}.home`]: home,
      [`${prefixes[i]}.food`]: food,
      [`${prefixes[i]}.mark`]: mark,
      [`${prefixes[i]}.moves`]: moves,
    })),
  ) as Values;
}

/** What can be cut in two and eaten at once. */
const SHARED = "apple pear plum banana peach melon carrot tomato cucumber egg pancake bread cheese chocolate".split(
  " ",
);

/** Something to eat: `$food` ("a plum", with its article) and `$foodname`. */
export function food(w: Writer): Values {
  const { name, count } = w.pick(FOODS.filter((each) => SHARED.includes(each.name)));
  return { foodname: name, food: count === "one" ? `${article(name)} ${name}` : `some ${name}` };
}

/** When it happened: `$when` opens a sentence ("One sunny morning"). */
export function time(w: Writer): Values {
  const { was, scene } = w.pick(WEATHER);
  return {
    when: w.fill(
      w.pick([
        `One ${was} {morning|afternoon|day}`,
        "One {morning|evening|day|afternoon}",
        `{On|Last} ${w.pick(DAYS)}`,
        "{After school|After breakfast|Before supper|Early in the morning|Late in the afternoon}",
        "In the {spring|summer|autumn|winter}",
      ]),
    ),
    scene,
  };
}

/** Several sentences; one that opens with "?" is left out half of the time. */
export function tell(w: Writer, values: Values, sentences: readonly string[]): string {
  const kept = sentences.filter((sentence) => !sentence.startsWith("?") || w.chance(0.5));
  return w.say(kept.map((sentence) => sentence.replace(/^\?\s*/, "")).join(" "), values);
}
