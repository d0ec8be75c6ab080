/** Rows that a caller gives to a trainer. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { rowsOf, type TrainRow } from "../../src/train/train-rows.ts";

suite("rows to train on", () => {
  let model: CausalLMModel;
  before(async () => {
    model = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/gpt2", { threads: 1 });
  });
  after(() => model.dispose());

  const cases: readonly [what: string, rows: readonly TrainRow[], message: RegExp][] = [
    ["a token that is none", [{ inputIds: [1] }, { inputIds: [1, 43] }], /row 1: inputIds has 43, and .* 43 tokens/],
    // Kernels count negative indices from the end.
    ["a negative token", [{ inputIds: [-1, 2] }], /row 0: inputIds has -1/],
    ["labels of another length", [{ inputIds: [1, 2, 3], labels: [1, 2] }], /labels has 2 entries and inputIds 3/],
    ["a label that is none", [{ inputIds: [1, 2], labels: [-100, 99] }], /labels has 99, neither a token nor -100/],
    ["Python's spelling", [{ input_ids: [1] } as never], /inputIds is missing \(it has input_ids\)/],
    ["text", [{ inputIds: "one two" as never }], /inputIds is not an array/],
    ["no tokens", [{ inputIds: [] }], /row 0: has no tokens/],
    ["more tokens than positions", [{ inputIds: Array<number>(14).fill(1) }], /has 14 tokens, and the model 13 pos/],
    ["no rows at all", undefined as never, /trainDataset: is not an array of rows/],
    ["many wrong rows", Array<TrainRow>(9).fill({ inputIds: [99] }), /row 4: [^]*and 4 rows more/],
  ];
  for (const [what, rows, message] of cases) {
    test(what, () =>
      assert.throws(
        () => rowsOf("trainDataset", rows, model.language.model, { seed: undefined }),
        (error) => error instanceof ConfigError && message.test(error.message),
      ),
    );
  }

  test("padding is left out", async () => {
    const row = { inputIds: [0, 0, 5, 6, 7], labels: [-100, -100, -100, 6, 7], attentionMask: [0, 0, 1, 1, 1] };
    const source = rowsOf("trainDataset", [row], model.language.model, { seed: undefined });
    for await (const kept of source.rows(0, 0)) {
      assert.deepEqual([...kept.inputIds], [5, 6, 7]);
      assert.deepEqual([...kept.labels], [-100, 6, 7]);
    }
    assert.equal(source.length, 1);
  });
});
