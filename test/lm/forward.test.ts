/** `forward` against transformers: golden/causal-lm. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import type { ForwardInput } from "../../src/lm/forward.ts";
import { assertClose } from "../support/close.ts";
import { GOLDEN_NAMES, goldenModel, type GoldenModel } from "./golden-model.ts";

for (const name of GOLDEN_NAMES) {
  suite(`forward of ${name}`, () => {
    let golden: GoldenModel;
    before(async () => {
      golden = await goldenModel(name);
    });
    after(() => golden.model.dispose());

    test("gives transformers' logits, of padding on either side too, and its loss", async () => {
      const { model, batch, logits, loss } = golden;
      const output = await model.forward(batch);
      assert.deepEqual(output.dims, [3, 11, model.language.model.vocabSize]);
      assertClose(output.logits, logits, { ofLargest: 1e-5 });
      assertClose([output.loss!], [loss], { relative: 1e-5 });
    });

    test("predicts the first token of a row that is padded on the left from its padding, as transformers does", async () => {
      const { model, batch, logits } = golden;
      const [V, T, first] = [model.language.model.vocabSize, 11, 4];
      const label = batch.inputIds[2]![first]!;
      const labels = batch.labels.map((row, b) => row.map((_, t) => (b === 2 && t === first ? label : -100)));
      const { loss } = await model.forward({ ...batch, labels });
      const at = (2 * T + first - 1) * V;
      const row = Float64Array.from(logits.subarray(at, at + V));
      const expected = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[label]!;
      assertClose([loss!], [expected], { relative: 1e-5 });
    });

    test("gives a row alone what it gives it in a batch", async () => {
      const { model, batch, logits } = golden;
      const [V, T] = [model.language.model.vocabSize, 11];
      const mask = batch.attentionMask[1]!;
      const keep = (rows: readonly (readonly number[])[]) => [rows[1]!.filter((_, t) => mask[t] === 1)];
      const output = await model.forward({ inputIds: keep(batch.inputIds), positionIds: keep(batch.positionIds) });
      assert.equal(output.loss, undefined);
      const expected = logits.subarray(T * V, T * V + output.logits.length);
      assertClose(output.logits, expected, { ofLargest: 1e-5 });
    });
  });
}

suite("what forward takes, and refuses", () => {
  let golden: GoldenModel;
  before(async () => {
    golden = await goldenModel("gpt2");
  });
  after(() => golden.model.dispose());

  const cases: readonly [what: string, input: ForwardInput, message: RegExp][] = [
    ["no rows", { inputIds: [] }, /inputIds has no tokens/],
    ["an empty row", { inputIds: [[]] }, /inputIds has no tokens/],
    ["ragged rows", { inputIds: [[1, 2, 3], [1]] }, /inputIds\[1\] has 1 entries and inputIds\[0\] has 3[^]*padded/],
    ["a mask of another length", { inputIds: [[1, 2]], attentionMask: [[1]] }, /attentionMask\[0\] has 1 entries/],
    ["labels for more rows", { inputIds: [[1]], labels: [[1], [1]] }, /labels has 2 rows and inputIds 1/],
    ["a token that is none", { inputIds: [[1, 43]] }, /inputIds has 43, and the vocabulary has 43 tokens/],
    ["a token that is no integer", { inputIds: [[0.5]] }, /inputIds has 0.5/],
    ["a label that is none", { inputIds: [[1]], labels: [[-1]] }, /labels has -1, neither a token nor -100/],
    ["more tokens than positions", { inputIds: [Array<number>(14).fill(1)] }, /position 13 .* the model has 13/],
    [
      "a name in Python's spelling",
      { input_ids: [[1]] } as never,
      /no such options: got input_ids[^]*nearest one is inputIds/,
    ],
    ["no inputIds", {} as never, /inputIds is missing[^]*\[\[1, 2, 3\], \[4, 5, 6\]\]/],
    ["a row that is not in brackets", { inputIds: [1, 2] as never }, /not an array of rows/],
    ["a position that is not there", { inputIds: [[1]], positionIds: [[99]] }, /position 99/],
  ];
  for (const [what, input, message] of cases) {
    test(what, () =>
      assert.rejects(
        golden.model.forward(input),
        (error) => error instanceof ConfigError && message.test(error.message),
      ),
    );
  }

  test("typed arrays, as a tokenizer gives them, are rows like others", async () => {
    const plain = await golden.model.forward({ inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] });
    const row = Int32Array.of(1, 2, 3);
    assert.deepEqual(await golden.model.forward({ inputIds: [row], labels: [row] }), plain);
    assert.deepEqual(
      (await golden.model.generate({ inputIds: [row], maxNewTokens: 3 })).rows,
      (await golden.model.generate({ inputIds: [[1, 2, 3]], maxNewTokens: 3 })).rows,
    );
  });

  test("an option of generate that does not exist", () =>
    assert.rejects(
      golden.model.generate({ inputIds: [[1]], maxTokens: 3 } as never),
      /there are no such options: got maxTokens/,
    ));

  test("labels of which none counts have no loss", async () => {
    const { loss } = await golden.model.forward({ inputIds: [[1, 2]], labels: [[1, -100]] });
    assert.ok(Number.isNaN(loss));
  });
});
