/** Prompt tuning: PEFT's files, numbers and training; the contract of virtual tokens; what it starts from. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { promptTuning, type PromptTuningConfig } from "../../src/adapters/prompt-tuning.ts";
import { loadTokenizer } from "../../src/data/text/tokenizer.ts";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { adaptable } from "../../src/lm/peft-config.ts";
import { getPeftModel, PeftModel } from "../../src/lm/peft-model.ts";
import { countElements } from "../../src/nn/module.ts";
import { gpt3 } from "./bottleneck-contract.ts";
import { describeLeftPadded, describePromptCase } from "./prompt-cases.ts";
import { describeVirtualTokens } from "./virtual-contract.ts";

describePromptCase(promptTuning, { folder: "prompt", config: { numVirtualTokens: 4 } });
describePromptCase(promptTuning, { folder: "prompt-gpt2", config: { numVirtualTokens: 5 } });
for (const folder of ["prompt", "prompt-gpt2", "prompt-llama", "prompt-window"]) describeLeftPadded(folder);

describeVirtualTokens({ name: "prompt", config: { peftType: "PROMPT_TUNING", numVirtualTokens: 3 } });

describe("what a prompt starts from", () => {
  let base: CausalLMModel;
  before(async () => {
    base = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/qwen2-tied", { threads: 1 });
  });
  after(() => base.dispose());

  async function startOf(
    config: Partial<PromptTuningConfig>,
    seed: number,
    ids?: readonly number[],
  ): Promise<number[][]> {
    const { device, model } = base.language;
    const adapter = attach(adaptable(model, []), promptTuning, { config: { numVirtualTokens: 5, ...config } });
    const asked: unknown[] = [];
    const tokenize = async (...args: unknown[]) => (asked.push(args), ids!);
    await initializeAdapter(device, adapter, seed, undefined, ids === undefined ? undefined : tokenize);
    if (ids !== undefined) assert.deepEqual(asked, [["a text", "words"]]);
    return rowsOf((await device.read(adapter.parameters[0]!.name)).data as Float32Array, model.hiddenSize);
  }
  const rowsOf = (data: ArrayLike<number>, width: number) =>
    Array.from({ length: data.length / width }, (_, i) => Array.from(data).slice(i * width, (i + 1) * width));
  const table = async () => {
    const { device, model } = base.language;
    return rowsOf((await device.read("model.embed_tokens.weight")).data as Float32Array, model.hiddenSize);
  };

  it("is random, and another one for another seed", async () => {
    const [one, again, other] = [await startOf({}, 1), await startOf({}, 1), await startOf({}, 2)];
    assert.deepEqual(one, again);
    assert.notDeepEqual(one, other);
    const all = one.flat();
    const deviation = Math.sqrt(all.reduce((sum, x) => sum + x * x, 0) / all.length);
    assert.ok(deviation > 0.8 && deviation < 1.2, `N(0, 1) has a deviation of ${deviation}`);
  });

  it("is made of tokens of the vocabulary", async () => {
    const rows = await table();
    const found = async (seed: number) => {
      const start = await startOf({ promptTuningInit: "SAMPLE_VOCAB" }, seed);
      return start.map((row) => rows.findIndex((one) => one.every((value, i) => value === row[i])));
    };
    const tokens = await found(3);
    assert.ok(tokens.every((token) => token >= 0) && new Set(tokens).size > 2, tokens.join());
    assert.notDeepEqual(await found(4), tokens);
  });

  it("is a text, repeated or cut, as in PEFT", async () => {
    const rows = await table();
    const config = { promptTuningInit: "TEXT", promptTuningInitText: "a text", tokenizerNameOrPath: "words" } as const;
    assert.deepEqual(
      await startOf(config, 0, [5, 9, 31]),
      [5, 9, 31, 5, 9].map((token) => rows[token]),
    );
    assert.deepEqual(
      await startOf(config, 0, [1, 2, 3, 4, 5, 6, 7]),
      [1, 2, 3, 4, 5].map((token) => rows[token]),
    );
    const file = await openSafetensors("golden/peft-methods/prompt-text/adapter_model.safetensors");
    const theirs = rowsOf(await file.readFloat32("prompt_embeddings"), base.language.model.hiddenSize);
    await file.close();
    assert.deepEqual(await startOf(config, 0, [5, 9, 31]), theirs);
    await assert.rejects(startOf(config, 0, []), /has no tokens/);
    await assert.rejects(startOf(config, 0, [99]), /no embedding for/);
  });

  it("needs its text, and a file of PEFT's needs no tokenizer", async () => {
    assert.throws(
      () => getPeftModel(base, { peftType: "PROMPT_TUNING", promptTuningInit: "TEXT" }),
      /init_text is missing/,
    );
    const warnings: string[] = [];
    const dir = "golden/peft-methods/prompt-text";
    const peft = await PeftModel.fromPretrained(base, dir, { onWarning: (said) => warnings.push(said) });
    assert.deepEqual(warnings, []);
    assert.equal((base.language.adapter("default").config as PromptTuningConfig).tokenizerNameOrPath, "words");
    await peft.deleteAdapter("default");
  });
});

it("reads its text with the tokenizer of the model", async () => {
  const base = await AutoModelForCausalLM.fromPretrained("bundled/model", { threads: 1 });
  const text = "Answer in one word.";
  const init = { promptTuningInit: "TEXT", promptTuningInitText: text };
  const peft = getPeftModel(base, { peftType: "PROMPT_TUNING", numVirtualTokens: 3, ...init });
  await peft.forward({ inputIds: [[1]] });
  const { device, model } = base.language;
  const tokenizer = await loadTokenizer("bundled/model");
  const ids = [...(await tokenizer.encode(text, { addSpecialTokens: true }))];
  const embedding = (await device.read("model.embed_tokens.weight")).data as Float32Array;
  const start = (await device.read("prompt_encoder.default.embedding.weight")).data as Float32Array;
  const D = model.hiddenSize;
  for (let i = 0; i < 3; i++) {
    const token = ids[i % ids.length]!;
    assert.deepEqual(start.slice(i * D, (i + 1) * D), embedding.slice(token * D, (token + 1) * D));
  }
  assert.equal((base.language.adapter("default").config as PromptTuningConfig).tokenizerNameOrPath, "bundled/model");
  await base.dispose();
});

it("has as many parameters as Hu et al. 2021 count for PrefixEmbed on GPT-3 (Table 15)", () => {
  const adapter = attach(gpt3(), promptTuning, { config: { numVirtualTokens: 256 + 8 } });
  assert.equal(countElements(adapter.parameters), 3_244_032);
});
