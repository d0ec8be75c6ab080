/** The loss of texts under models with and without adapters, against `forward` text by text. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { forgetting, textLoss, textRows } from "../../../src/analysis/measures/index.ts";
import type { Tokenizer } from "../../../src/data/text/tokenizer.ts";
import { DataError } from "../../../src/errors.ts";
import { AutoModelForCausalLM, AutoTokenizer, type CausalLMModel } from "../../../src/lm/causal-lm-model.ts";
import { getPeftModel } from "../../../src/lm/peft-model.ts";

const TEXTS = [
  "A baker bakes bread.",
  "What colour is a swan? A swan is white. What colour is a crow? A crow is black.",
  "Three plus one is four.",
];

describe("the loss of texts", () => {
  let model: CausalLMModel;
  let tokenizer: Tokenizer;
  before(async () => {
    model = await AutoModelForCausalLM.fromPretrained("bundled/model", { threads: 1 });
    tokenizer = await AutoTokenizer.fromPretrained("bundled/model");
  });
  after(() => model.dispose());

  const byHand = async (
    forward: CausalLMModel["forward"],
    texts = TEXTS,
    maxTokens = Infinity,
  ): Promise<{ loss: number; tokens: number }> => {
    let [sum, tokens] = [0, 0];
    for (const text of texts) {
      // As in pretraining: each text ends with the token that ends texts.
      const ids = [...(await tokenizer.encode(text)), tokenizer.eosId!].slice(0, maxTokens);
      const { loss } = await forward({ inputIds: [ids], labels: [ids] });
      sum += loss! * (ids.length - 1);
      tokens += ids.length - 1;
    }
    return { loss: sum / tokens, tokens };
  };

  it("is the mean over all tokens of all texts, in batches of any size, cut to a length", async () => {
    const want = await byHand((input) => model.forward(input));
    for (const batchSize of [1, 2, 8]) {
      const got = await textLoss(model, TEXTS, { tokenizer, batchSize });
      assert.ok(Math.abs(got.loss - want.loss) < 1e-5, `${got.loss} and ${want.loss}`);
      assert.equal(got.tokens, want.tokens);
      assert.equal(got.perplexity, Math.exp(got.loss));
    }
    const cut = await textLoss(model, TEXTS, { tokenizer, maxTokens: 5 });
    const short = await byHand((input) => model.forward(input), TEXTS, 5);
    assert.ok(Math.abs(cut.loss - short.loss) < 1e-5);
    assert.equal(cut.tokens, 12);
  });

  it("with an adapter, without it, and merged", async () => {
    const peft = getPeftModel(model, { peftType: "LORA", r: 2, loraAlpha: 6, targetModules: "all-linear" });
    const rows = await textRows(TEXTS, tokenizer);
    const plain = await textLoss(model, rows);
    assert.deepEqual(await textLoss(peft, rows), plain, "B is zero still");
    const { language } = model;
    for (const { name, shape } of language.adapter("default").parameters) {
      if (!name.includes("lora_B")) continue;
      const size = shape.reduce((a, b) => a * b, 1);
      const data = Float32Array.from({ length: size }, (_, i) => 0.5 * Math.sin(i * i));
      await language.device.write(name, { dtype: "float32", shape, data });
    }
    const { base, tuned, increase, relative } = await forgetting(peft, rows);
    assert.deepEqual(base, plain);
    const want = await byHand((input) => peft.forward(input));
    assert.ok(Math.abs(tuned.loss - want.loss) < 1e-5);
    assert.ok(increase > 0.1, "the adapter does something");
    assert.equal(increase, tuned.loss - base.loss);
    assert.ok(Math.abs(relative - (tuned.loss / base.loss - 1)) < 1e-12);
    assert.equal((await textLoss(peft, rows, { withoutAdapters: true })).loss, base.loss);
    await peft.mergeAdapter();
    assert.ok(Math.abs((await textLoss(peft, rows)).loss - tuned.loss) < 1e-5);
    await peft.unmergeAdapter();
    await peft.deleteAdapter("default");
  });

  it("refuses what has no loss", async () => {
    await assert.rejects(textLoss(model, TEXTS), /texts need the model's tokenizer/);
    await assert.rejects(textLoss(model, [], { tokenizer }), DataError);
    await assert.rejects(textLoss(model, ["x"], { tokenizer, maxTokens: 1 }), /no token to predict/);
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(textLoss(model, TEXTS, { tokenizer, batchSize: 1, signal }), /enough/);
  });
});
