import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { checkMix, mixed } from "../../../src/data/datasets/mix.ts";
import type { MixOptions, MixStrategy } from "../../../src/data/datasets/mix.ts";
import { shuffled } from "../../../src/data/datasets/shuffle.ts";
import { all } from "../../support/dataset-files.ts";

/** A stream of the characters; it can be iterated again. */
function letters(text: string): AsyncIterable<string> {
  return {
    async *[Symbol.asyncIterator]() {
      yield* text;
    },
  };
}

async function mix(texts: string[], strategy: MixStrategy, more: Partial<MixOptions> = {}): Promise<string> {
  return (await all(mixed(texts.map(letters), { strategy, seed: 1, ...more }))).join("");
}

suite("mixed", () => {
  test("in turn: rounds are finished", async () => {
    const texts = ["abcd", "12", "XYZ"];
    assert.equal(await mix(texts, "concat"), "abcd12XYZ");
    assert.equal(await mix(texts, "interleave_under"), "a1Xb2Y");
    assert.equal(await mix(texts, "interleave_over"), "a1Xb2Yc1Zd2X");
    assert.equal(await mix(texts, "interleave_once"), "a1Xb2YcZd");
  });

  test("drawn: stops with the last row that decides, keeps each stream's order, follows the seed", async () => {
    const texts = ["abcdefghij", "0123456789"];
    const probabilities = [0.8, 0.2];
    const under = await mix(texts, "interleave_under", { probabilities });
    assert.match(under, /j$/);
    assert.equal(under.replaceAll(/\d/g, ""), "abcdefghij");
    assert.equal(await mix(texts, "interleave_under", { probabilities }), under);
    assert.notEqual(await mix(texts, "interleave_under", { probabilities, seed: 2 }), under);
    const over = await mix(texts, "interleave_over", { probabilities });
    assert.match(over, /9$/);
    assert.ok(over.replaceAll(/\d/g, "").startsWith("abcdefghijabc"), over);
    const once = await mix(texts, "interleave_once", { probabilities });
    assert.deepEqual(Array.from(once).toSorted().join(""), "0123456789abcdefghij");
  });

  test("draws with the probabilities", async () => {
    const texts = ["a".repeat(3000), "b".repeat(3000)];
    const drawn = await mix(texts, "interleave_under", { probabilities: [0.75, 0.25] });
    const share = drawn.replaceAll("b", "").length / drawn.length;
    // 4,000 draws: a standard deviation of 0.007.
    assert.ok(Math.abs(share - 0.75) < 0.03, String(share));
  });

  test("an empty stream cannot be interleaved", async () => {
    await assert.rejects(mix(["ab", ""], "interleave_over"), /no rows to interleave/);
    assert.equal(await mix(["ab", ""], "concat"), "ab");
  });

  test("streams are closed when the consumer stops", async () => {
    let closed = 0;
    const stream = {
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) yield 1;
        } finally {
          closed++;
        }
      },
    };
    for await (const _ of mixed([stream, stream], { strategy: "interleave_over", seed: 0 })) break;
    assert.equal(closed, 2);
  });

  test("options that do not fit are refused", () => {
    const check = (options: Partial<MixOptions>) => () => {
      checkMix({ strategy: "interleave_under", seed: 0, ...options }, 2);
    };
    assert.throws(
      check({ strategy: "shuffle" as MixStrategy }),
      /mix_strategy: unknown: got shuffle, expected concat, interleave_under/,
    );
    assert.throws(
      check({ strategy: "concat", probabilities: [0.5, 0.5] }),
      /interleave_probs: mix_strategy concat does not draw/,
    );
    assert.throws(check({ probabilities: [1] }), /got 1, expected 2, one for each data set/);
    assert.throws(check({ probabilities: [0.7, 0.7] }), /adding up to 1/);
    assert.throws(check({ probabilities: [1.5, -0.5] }), /positive/);
    check({ probabilities: [0.9, 0.1] })();
  });
});

suite("shuffled", () => {
  const items = letters("abcdefghijklmnopqrstuvwxyz");
  const order = async (options: { bufferSize?: number; seed: number; epoch?: number }) =>
    (await all(shuffled(items, options))).join("");

  test("gives every item once, in an order that follows seed and epoch", async () => {
    const one = await order({ bufferSize: 8, seed: 3 });
    assert.equal(Array.from(one).toSorted().join(""), "abcdefghijklmnopqrstuvwxyz");
    assert.notEqual(one, "abcdefghijklmnopqrstuvwxyz");
    const again = shuffled(items, { bufferSize: 8, seed: 3 });
    assert.equal((await all(again)).join(""), one);
    assert.equal((await all(again)).join(""), one);
    assert.notEqual(await order({ bufferSize: 8, seed: 4 }), one);
    assert.notEqual(await order({ bufferSize: 8, seed: 3, epoch: 1 }), one);
  });

  test("an item comes at most a buffer early", async () => {
    const found = await order({ bufferSize: 4, seed: 5 });
    for (const [place, letter] of Array.from(found).entries()) assert.ok(letter.charCodeAt(0) - 97 <= place + 4, found);
    assert.equal(await order({ bufferSize: 1, seed: 5 }), "abcdefghijklmnopqrstuvwxyz");
  });

  test("the default buffer takes all of a small stream; a buffer of nothing is refused", async () => {
    assert.notEqual((await order({ seed: 5 }))[0], "a");
    assert.throws(() => shuffled(items, { bufferSize: 0, seed: 1 }), /buffer_size: not a positive whole number: got 0/);
  });
});
