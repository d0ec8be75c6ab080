/** The task of the single-task experiments: true labels, and tests that no training text answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WHO_HAS_MORE } from "../../src/experiments/tasks/who-has-more.ts";

const ONES =
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(
    " ",
  );
const TENS: Record<string, number> = { twenty: 20, thirty: 30, forty: 40 };

function numberOf(words: string): number {
  const small = ONES.indexOf(words);
  if (small >= 0) return small;
  const [tens, ones = "zero"] = words.split("-");
  return TENS[tens!]! + ONES.indexOf(ones);
}

function numbersIn(text: string): [number, number] {
  const found = /^\w+ has ([\w-]+) (\w+) and \w+ has ([\w-]+) \2\. Who has more \2\?$/.exec(text);
  assert.ok(found, text);
  return [numberOf(found[1]!), numberOf(found[3]!)];
}

test("labels are true, and half of each class", () => {
  const examples = WHO_HAS_MORE.generate(3, 400);
  for (const { text, label } of examples) {
    const [a, b] = numbersIn(text);
    assert.ok(a >= 1 && b >= 1 && a <= 40 && b <= 40 && a !== b, text);
    assert.equal(label, a > b ? 0 : 1, text);
  }
  assert.equal(examples.filter(({ label }) => label === 0).length, 200);
  assert.equal(new Set(examples.map(({ text }) => text)).size, 400);
  assert.ok(examples.slice(0, 200).filter(({ label }) => label === 0).length > 60, "in random order");
});

test("the same for the same seed, and others for another", () => {
  assert.deepEqual(WHO_HAS_MORE.generate(1, 50), WHO_HAS_MORE.generate(1, 50));
  assert.notDeepEqual(WHO_HAS_MORE.generate(1, 50), WHO_HAS_MORE.generate(2, 50));
});

test("no pair of numbers is both trained on and tested, whatever the seeds", () => {
  const pairsOf = (seed: number, split: "train" | "test") =>
    new Set(
      WHO_HAS_MORE.generate(seed, 600, split).map(({ text }) =>
        numbersIn(text)
          .toSorted((a, b) => a - b)
          .join("-"),
      ),
    );
  const tested = pairsOf(9, "test");
  assert.ok(tested.size > 100);
  for (const seed of [0, 1]) for (const pair of pairsOf(seed, "train")) assert.ok(!tested.has(pair), pair);
});
