/** Generated tasks: what is drawn, and that it is right. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { type GeneratedTask, TASKS } from "../../src/experiments/tasks/index.ts";
import { inWords } from "../../src/experiments/tasks/words.ts";

/** As many as experiments ask for. */
const TRAIN = 512;
const TEST = 300;

test("six tasks, with the numbers of classes of the paper's six", () => {
  assert.deepEqual(
    TASKS.map(({ labels }) => labels.length),
    [3, 2, 2, 3, 2, 3],
  );
  assert.equal(new Set(TASKS.map(({ name }) => name)).size, 6);
});

for (const task of TASKS) {
  suite(task.name, () => {
    const train = task.generate(3, TRAIN);
    const tests = task.generate(3, TEST, "test");

    test("classes are of one size", () => {
      for (const [examples, n] of [
        [train, TRAIN],
        [tests, TEST],
      ] as const) {
        const counts = task.labels.map((_, label) => examples.filter((one) => one.label === label).length);
        assert.equal(examples.length, n);
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join(" "));
      }
    });

    test("texts are different, and no test text is trained on, whatever the seeds", () => {
      const trained = new Set([...train, ...task.generate(4, TRAIN)].map(({ text }) => text));
      assert.equal(new Set(train.map(({ text }) => text)).size, TRAIN);
      assert.equal(new Set(tests.map(({ text }) => text)).size, TEST);
      assert.deepEqual(
        [...tests, ...task.generate(5, TEST, "test")].filter(({ text }) => trained.has(text)),
        [],
      );
    });

    test("the seed decides all, and another one gives other texts", () => {
      assert.deepEqual(task.generate(3, TRAIN), train);
      const others = task.generate(4, TRAIN).filter(({ text }) => !train.some((one) => one.text === text));
      assert.ok(others.length > TRAIN / 4, `${others.length} new ones`);
    });

    test("labels come in no order", () => {
      const regular = train.filter(({ label }, i) => label === i % task.labels.length).length;
      assert.ok(regular < 0.7 * TRAIN, `${regular} of ${TRAIN} in turn`);
    });
  });
}

test("asking for more than there are is an error", () => {
  const sentiment = TASKS.find(({ name }) => name === "sentiment")!;
  assert.throws(() => sentiment.generate(0, 20_000, "test"), /no 20000 different texts for tests.*at most about/s);
  assert.throws(() => sentiment.generate(0, 20_000, "test"), ConfigError);
});

suite("labels are right", () => {
  const of = (name: string): GeneratedTask => TASKS.find((task) => task.name === name)!;

  test("comparison: the larger number, and pairs of tests are never trained on", () => {
    const values = new Map(Array.from({ length: 100 }, (_, n) => [inWords(n), n]));
    const pairOf = (text: string) =>
      [.../has (\S+) .*? has (\S+) /.exec(text)!].slice(1).map((word) => values.get(word)!);
    const { generate } = of("comparison");
    const [train, tests] = [generate(1, TRAIN), generate(1, TEST, "test")];
    for (const { text, label } of train) {
      const [a, b] = pairOf(text);
      assert.equal(label, a! > b! ? 0 : 1, text);
    }
    const key = (text: string) =>
      pairOf(text)
        .toSorted((a, b) => a - b)
        .join();
    const trained = new Set(train.map(({ text }) => key(text)));
    assert.deepEqual(
      tests.filter(({ text }) => trained.has(key(text))),
      [],
    );
  });

  test("amount: few, some, many by the number", () => {
    for (const { text, label } of of("amount").generate(1, 90)) {
      const number = Array.from({ length: 100 }, (_, n) => n).findLast((n) => text.includes(` ${inWords(n)} `))!;
      assert.equal(label, number <= 12 ? 0 : number <= 29 ? 1 : 2, text);
    }
  });

  test("sentiment: what is denied is its opposite", () => {
    const examples = of("sentiment").generate(1, 400);
    const moods = (label: number, denied: boolean) =>
      new Set(
        examples.flatMap(({ text, label: own }) => {
          const [, not, mood] = /was (not )?(\w+)/.exec(text)!;
          return own === label && (not !== undefined) === denied ? [mood] : [];
        }),
      );
    for (const label of [0, 1]) {
      assert.ok(moods(label, false).size > 5);
      const shared = [...moods(label, false)].filter((mood) => moods(label, true).has(mood));
      assert.deepEqual(shared, []);
      const opposite = [...moods(label, true)].filter((mood) => moods(1 - label, false).has(mood));
      assert.ok(opposite.length > 5);
    }
  });

  test("acceptability: wrong sentences are right ones with two words exchanged", () => {
    const { generate } = of("acceptability");
    const words = (text: string) => text.toLowerCase().replace(".", "").split(" ").toSorted().join(" ");
    const shapes = new Set(generate(1, TRAIN).map(({ text }) => words(text).split(" ").length));
    assert.ok(shapes.size > 1);
    for (const { text, label } of generate(1, 100)) {
      const isRight = / (found a|gave \w+ a|looked at|ate a) /.test(text) && /^(The )?\w+/.test(text);
      if (label === 1) assert.ok(isRight, text);
    }
  });
});
