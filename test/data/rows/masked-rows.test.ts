/** Rows of masked tokens. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Row, RowSource } from "../../../src/data/row-source.ts";
import { maskedRows, type MaskOptions } from "../../../src/data/rows/masked-rows.ts";

const [MASK, CLS, SEP] = [4, 2, 3];
const OPTIONS: MaskOptions = { maskTokenId: MASK, vocabSize: 1000, isSpecial: (id) => id < 5, seed: 9 };
const TEXTS = Array.from({ length: 40 }, (_, i) => [
  CLS,
  ...Array.from({ length: 100 + i }, (_, j) => 5 + ((i + 7 * j) % 995)),
  SEP,
]);

async function passOf(source: RowSource, epoch: number, from = 0): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of source.rows(epoch, from)) rows.push(row);
  return rows;
}

suite("masked rows", () => {
  test("15 % of the tokens are to be predicted; 80, 10 and 10 % of them are masked, others, and as they were", async () => {
    const rows = await passOf(maskedRows(TEXTS, OPTIONS), 0);
    let [chosen, masked, kept] = [0, 0, 0];
    rows.forEach(({ inputIds, targets, labels }, i) => {
      const text = TEXTS[i]!;
      assert.ok(labels.every((label) => label === -100));
      const places = new Set(targets!.map(({ at }) => at));
      inputIds.forEach((id, at) => {
        if (!places.has(at)) assert.equal(id, text[at]);
      });
      for (const { at, label } of targets!) {
        assert.equal(label, text[at]);
        assert.ok(at > 0 && at < text.length - 1, "a special token is chosen");
        chosen++;
        if (inputIds[at] === MASK) masked++;
        if (inputIds[at] === label) kept++;
      }
    });
    const tokens = TEXTS.reduce((sum, { length }) => sum + length - 2, 0);
    // Four standard deviations of a binomial distribution.
    const near = (count: number, of: number, p: number, what: string) =>
      assert.ok(Math.abs(count - of * p) < 4 * Math.sqrt(of * p * (1 - p)), `${what}: ${count} of ${of}, not ${p}`);
    near(chosen, tokens, 0.15, "chosen");
    near(masked, chosen, 0.8, "masked");
    near(kept, chosen, 0.1, "kept");
  });

  test("other tokens in every pass and with another seed; the same ones when a pass is asked for again, or from the middle", async () => {
    const source = maskedRows(TEXTS, { ...OPTIONS, order: { seed: 3 } });
    const [first, again, second] = [await passOf(source, 0), await passOf(source, 0), await passOf(source, 1)];
    assert.deepEqual(again, first);
    assert.deepEqual(await passOf(source, 0, 17), first.slice(17));
    const byText = (rows: readonly Row[]) => rows.map(({ targets }) => JSON.stringify(targets)).toSorted();
    assert.notDeepEqual(byText(second), byText(first));
    const other = maskedRows(TEXTS, { ...OPTIONS, order: { seed: 3 }, seed: 10 });
    assert.notDeepEqual(byText(await passOf(other, 0)), byText(first));
    assert.equal(source.length, TEXTS.length);
    assert.equal(source.maxSupervised, 139);
  });

  test("options that make no sense are all named", () => {
    assert.throws(() => maskedRows(TEXTS, { ...OPTIONS, maskTokenId: -1, vocabSize: 0, probability: 2 }), {
      message: /maskTokenId is -1.*vocabSize is 0.*probability is 2/,
    });
  });
});
