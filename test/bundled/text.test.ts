import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { documentAt, documents } from "../../scripts/bundled/documents.ts";
import { article, gerund, plural, third, tidy } from "../../scripts/bundled/english.ts";
import { FACTS } from "../../scripts/bundled/facts.ts";
import { table } from "../../scripts/bundled/table.ts";
import { Writer } from "../../scripts/bundled/template.ts";
import { RESIDENTS } from "../../scripts/bundled/world/people.ts";
import { Random } from "../../src/random.ts";

describe("English", () => {
  test("plurals, verb forms and articles follow the rules and their exceptions", () => {
    assert.deepEqual(["cherry", "box", "wolf", "postman", "toy boat", "monkey", "tomato"].map(plural), [
      "cherries",
      "boxes",
      "wolves",
      "postmen",
      "toy boats",
      "monkeys",
      "tomatoes",
    ]);
    assert.deepEqual(["bake bread", "carry letters", "teach", "put out fires", "play"].map(third), [
      "bakes bread",
      "carries letters",
      "teaches",
      "puts out fires",
      "plays",
    ]);
    assert.deepEqual(["bake bread", "cut wood", "see far", "tie a boat", "sit down"].map(gerund), [
      "baking bread",
      "cutting wood",
      "seeing far",
      "tying a boat",
      "sitting down",
    ]);
    assert.deepEqual(["apple", "hour", "uniform", "onion", "pear"].map(article), ["an", "an", "a", "an", "a"]);
  });

  test("sentences start with a capital, what follows speech does not", () => {
    assert.equal(
      tidy('a owl sat  there. it said: "Who is it?" asked a ant.'),
      'An owl sat there. It said: "Who is it?" asked an ant.',
    );
  });
});

describe("templates", () => {
  const writer = (): Writer => new Writer(new Random(3));

  test("every wording comes up, nested ones too", () => {
    const w = writer();
    const seen = new Set(Array.from({ length: 200 }, () => w.fill("{a|b{1|2}|}$X.he", { "X.he": "!" })));
    assert.deepEqual([...seen].toSorted(), ["!", "a!", "b1!", "b2!"]);
  });

  test("a value that is not given, and a brace that is not closed, are mistakes", () => {
    assert.throws(() => writer().say("$A sat.", {}), /no value for \$A/);
    assert.throws(() => writer().say("{a|b"), /closing brace/);
  });

  test("a row of a table with a missing cell is a mistake", () => {
    assert.throws(() => table(["a", "b"], "1 | 2\n3"), /row of 1 cells/);
  });
});

describe("pretraining text", () => {
  const sample = Array.from({ length: 3000 }, (_, index) => documentAt(1, index));

  test("depends on the seed alone", () => {
    assert.deepEqual([...documents(1, 20_000)], sample.slice(0, [...documents(1, 20_000)].length));
    assert.notDeepEqual([...documents(2, 20_000)].slice(0, 5), sample.slice(0, 5));
  });

  test("no template shows through, and every sentence is whole", () => {
    for (const text of sample) {
      assert.doesNotMatch(text.replaceAll(/<\|im_(start|end)\|>/g, ""), /[${}|]| {2}|undefined| [,.!?]/, text);
      for (const paragraph of text.split("\n\n")) assert.match(paragraph, /^["A-Z<].*[.!?>]"?$/s, text);
      assert.doesNotMatch(text, /\b[Aa] [aeio][a-z]+|\b[Aa]n [^aeiouh]/, text);
      assert.equal((text.match(/"/g) ?? []).length % 2, 0, text);
    }
  });

  test("documents repeat little", () => {
    assert.ok(new Set(sample).size > 0.95 * sample.length, `${new Set(sample).size} of ${sample.length}`);
  });

  test("one or two in a hundred show the chat tokens, the others none of them", () => {
    const chats = sample.filter((text) => text.includes("<|im_start|>"));
    assert.ok(chats.length > 0.01 * sample.length && chats.length < 0.03 * sample.length, `${chats.length}`);
    // The base must not know Pip's manner.
    assert.ok(chats.every((text) => !/assistant\nAhoy!/.test(text)));
  });

  test("a resident keeps the pronoun and the house", () => {
    const houses = new Map(RESIDENTS.map(({ name, colour }) => [name, colour]));
    let seen = 0;
    for (const text of sample) {
      for (const [, name, colour] of text.matchAll(/([A-Z][a-z]+) lives in the ([a-z]+) house/g)) {
        if (!houses.has(name!)) continue;
        assert.equal(colour, houses.get(name!), text);
        seen++;
      }
    }
    assert.ok(seen > 50);
  });

  test("one question has one answer", () => {
    const w = new Writer(new Random(0));
    const answers = new Map<string, string>();
    for (const { ask, answer } of FACTS) {
      for (let i = 0; i < 6; i++) {
        const question = w.say(ask);
        assert.equal(answers.get(question) ?? answer, answer, question);
        answers.set(question, answer);
      }
    }
  });
});
