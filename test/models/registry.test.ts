/** The registry, what families read from `config.json`, and what they refuse. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { ModelConfigFile } from "../../src/formats/model/config.ts";
import { Graph } from "../../src/ir/graph.ts";
import { wholeSequence } from "../../src/lm/sequence.ts";
import type { AttentionCall, TextModel } from "../../src/models/text-model.ts";
import { familyOf, MODELS, type ModelType } from "../../src/models/index.ts";
import { tracingOf } from "../../src/testing/method-rig.ts";

/** The least that the Llama decoder needs. */
const LLAMA = {
  vocab_size: 11,
  hidden_size: 12,
  intermediate_size: 10,
  num_hidden_layers: 3,
  num_attention_heads: 3,
};
const GPT2 = { vocab_size: 11, n_embd: 12, n_head: 3, n_layer: 2 };

type Settings = ConstructorParameters<typeof ModelConfigFile>[0];

function build(type: ModelType, settings: Settings): TextModel {
  const config = new ModelConfigFile(
    { model_type: type, ...(type === "gpt2" ? GPT2 : LLAMA), ...settings },
    "config.json",
  );
  const model = familyOf(type).build(config);
  config.check();
  return model;
}

/** What the blocks ask for when the model is traced. */
function callsOf(model: TextModel): AttentionCall[] {
  const graph = new Graph();
  const calls: AttentionCall[] = [];
  const sequence = wholeSequence(graph, model);
  model.hidden(tracingOf(graph), {
    ...sequence,
    attend(call) {
      calls.push(call);
      return sequence.attend(call);
    },
  });
  return calls;
}

const windowsOf = (model: TextModel) => callsOf(model).map(({ window }) => window);
const widthsOf = (model: TextModel) => ({ kvHeads: model.kvHeads, headDim: model.headDim });

suite("registry", () => {
  test("families have the names that they are found by", () => {
    for (const [name, family] of Object.entries(MODELS)) {
      assert.equal(family.modelType, name);
      assert.equal(familyOf(name), family);
      assert.equal(build(name as ModelType, { num_key_value_heads: 1 }).modelType, name);
    }
  });

  test("an unsupported architecture is told which ones there are", () => {
    assert.throws(() => familyOf("qwen"), {
      name: ConfigError.name,
      message: /got qwen, expected one of qwen2, qwen3, llama, mistral, gpt2, bert, roberta, xlm-roberta\n.*"qwen2"/,
    });
    assert.throws(() => familyOf("toString"), ConfigError);
  });
});

suite("settings", () => {
  test("heads: absent, null and given", () => {
    assert.deepEqual(widthsOf(build("llama", {})), { kvHeads: 3, headDim: 4 });
    assert.deepEqual(widthsOf(build("llama", { head_dim: null, num_key_value_heads: 1 })), { kvHeads: 1, headDim: 4 });
    assert.deepEqual(widthsOf(build("qwen3", {})), { kvHeads: 3, headDim: 128 });
    assert.deepEqual(widthsOf(build("mistral", { num_attention_heads: 16, head_dim: 2 })), { kvHeads: 8, headDim: 2 });
    assert.equal(build("mistral", { num_attention_heads: 6, num_key_value_heads: null }).kvHeads, 6);
  });

  test("what is missing or impossible is said at once", () => {
    assert.throws(() => build("llama", { vocab_size: null, num_key_value_heads: 2, hidden_act: "gelu" }), {
      message: /hidden_act is "gelu".*num_attention_heads is 3, not a multiple.*vocab_size is missing/,
    });
    assert.throws(() => build("llama", { hidden_size: 13 }), { message: /hidden_size is 13, not a multiple/ });
    assert.throws(() => build("llama", { head_dim: 5 }), { message: /5 wide: an odd width/ });
  });

  test("variants of GPT-2 that compute something else are refused by name", () => {
    for (const name of ["scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"]) {
      assert.throws(() => build("gpt2", { [name]: true }), { message: new RegExp(`${name} is true`) });
    }
    assert.throws(() => build("gpt2", { scale_attn_weights: false }), { message: /scale_attn_weights is false/ });
    assert.throws(() => build("gpt2", { activation_function: "mish" }), { message: /"mish": supported are gelu_new/ });
    assert.throws(() => build("gpt2", { n_embd: 13 }), { message: /n_embd is 13, not a multiple of n_head, 3/ });
  });

  test("GPT-2's MLP is four times as wide unless it is said", () => {
    const width = (model: TextModel) => model.layers.find(({ name }) => name.endsWith("c_fc"))!.outFeatures;
    assert.equal(width(build("gpt2", { n_inner: null })), 48);
    assert.equal(width(build("gpt2", { n_inner: 7 })), 7);
  });

  test("biases are where the settings put them", () => {
    const biases = (model: TextModel) =>
      model.parameters.flatMap(({ name }) => (/layers\.0\..*\.bias$/.test(name) ? [name.split(".").at(-2)!] : []));
    assert.deepEqual(biases(build("qwen2", {})), ["q_proj", "k_proj", "v_proj"]);
    assert.deepEqual(biases(build("llama", {})), []);
    assert.deepEqual(biases(build("llama", { attention_bias: true })), ["q_proj", "k_proj", "v_proj", "o_proj"]);
    assert.deepEqual(biases(build("llama", { mlp_bias: true })), ["gate_proj", "up_proj", "down_proj"]);
    assert.deepEqual(biases(build("qwen3", { attention_bias: true })), ["q_proj", "k_proj", "v_proj", "o_proj"]);
    assert.deepEqual(biases(build("mistral", { num_key_value_heads: null, attention_bias: true })), []);
  });
});

suite("windows", () => {
  test("Mistral: in every block; 4096 where nothing is said, none where null is", () => {
    const mistral = (settings: Settings) => build("mistral", { num_key_value_heads: 1, ...settings });
    assert.deepEqual(windowsOf(mistral({ sliding_window: 5 })), [5, 5, 5]);
    assert.deepEqual(windowsOf(mistral({})), [4096, 4096, 4096]);
    assert.deepEqual(windowsOf(mistral({ sliding_window: null })), [undefined, undefined, undefined]);
  });

  test("Qwen: only where it is switched on, from a block on or by the list of types", () => {
    for (const type of ["qwen2", "qwen3"] as const) {
      const off = { sliding_window: 5, max_window_layers: 1 };
      assert.deepEqual(windowsOf(build(type, off)), [undefined, undefined, undefined]);
      const on = { ...off, use_sliding_window: true };
      assert.deepEqual(windowsOf(build(type, on)), [undefined, 5, 5]);
      assert.deepEqual(windowsOf(build(type, { ...on, sliding_window: null })), [undefined, undefined, undefined]);
      const layerTypes = ["sliding_attention", "full_attention", "sliding_attention"];
      assert.deepEqual(windowsOf(build(type, { ...on, layer_types: layerTypes })), [5, undefined, 5]);
    }
  });
});

suite("the graph", () => {
  test("one call of attend for each block, with heads as announced", () => {
    const model = build("llama", { num_key_value_heads: 1, head_dim: 6 });
    const calls = callsOf(model);
    assert.deepEqual(
      calls.map(({ block }) => block),
      [0, 1, 2],
    );
    for (const { q, k, v } of calls) {
      assert.deepEqual(
        [q, k, v].map(({ type }) => [type.shape[1]!.size, type.shape[3]!.size]),
        [
          [3, 6],
          [1, 6],
          [1, 6],
        ],
      );
    }
  });

  test("a tied head is no parameter of its own, and a layer all the same", () => {
    const tied = build("qwen2", { tie_word_embeddings: true });
    assert.deepEqual(tied.tied, { "lm_head.weight": "model.embed_tokens.weight" });
    const names = (model: TextModel) => model.parameters.map(({ name }) => name);
    assert.ok(!names(tied).includes("lm_head.weight"));
    assert.ok(names(build("qwen2", {})).includes("lm_head.weight"));
    assert.deepEqual(build("qwen2", {}).tied, {});
    assert.deepEqual(tied.layers.at(-1)!.name, "lm_head");
    assert.deepEqual(build("gpt2", {}).tied, { "lm_head.weight": "transformer.wte.weight" });
  });

  test("GPT-2's first checkpoints lack the first part of each name", () => {
    const { storedName } = familyOf("gpt2");
    assert.equal(storedName?.("transformer.h.0.attn.c_attn.weight"), "h.0.attn.c_attn.weight");
    assert.equal(storedName?.("lm_head.weight"), "lm_head.weight");
  });
});
