import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { FormatError } from "../../../src/errors.ts";
import { ModelConfigFile, readModelConfig } from "../../../src/formats/model/config.ts";
import { goldenCheckpoint } from "./golden.ts";

const from = (fields: ConstructorParameters<typeof ModelConfigFile>[0]) => new ModelConfigFile(fields, "config.json");

suite("config.json", () => {
  test("as transformers writes it", async () => {
    const config = await readModelConfig(goldenCheckpoint("llama-bf16").dir, { num_key_value_heads: 3 });
    assert.equal(config.modelType, "llama");
    assert.deepEqual(config.architectures, ["LlamaForCausalLM"]);
    assert.equal(config.dtype, "bfloat16");
    assert.equal(config.number("hidden_size"), 12);
    assert.equal(config.number("num_key_value_heads"), 3, "an override goes before the file");
    assert.equal(config.boolean("tie_word_embeddings", true), false);
    assert.deepEqual(config.rope(5), { theta: 10000 });
    assert.equal(config.has("pad_token_id"), false);
    assert.equal(config.isNull("pad_token_id"), true);
    assert.equal(config.isNull("absent"), false);
    config.check();
  });

  test("rotations in the form of transformers 4, and its name for the precision", () => {
    const config = from({
      torch_dtype: "float16",
      rope_theta: 500000,
      rope_scaling: {
        rope_type: "llama3",
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 8192,
      },
    });
    assert.equal(config.dtype, "float16");
    const scaling = {
      type: "llama3",
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    };
    assert.deepEqual(config.rope(1), { theta: 500000, scaling });
    config.check();
  });

  test("everything that is wrong is said at once, and nothing before the check", () => {
    const config = from({
      hidden_size: 12.5,
      num_hidden_layers: 1e9,
      hidden_act: 3,
      layer_types: "x",
      rope_scaling: { type: "no" },
    });
    assert.equal(config.number("vocab_size"), 1);
    assert.equal(config.number("hidden_size"), 1);
    assert.equal(config.number("num_hidden_layers"), 1);
    assert.equal(config.string("hidden_act", "silu"), "silu");
    assert.equal(config.strings("layer_types"), undefined);
    config.rope(1);
    config.problem("and this");
    assert.throws(
      () => config.check(),
      (error) => {
        assert.ok(error instanceof FormatError);
        for (const part of [
          "vocab_size is missing",
          "hidden_size is 12.5",
          "num_hidden_layers is 1000000000",
          "hidden_act is 3",
          "layer_types",
          '"no"',
          "and this",
        ]) {
          assert.ok(error.message.includes(part), `${part}: ${error.message}`);
        }
        return true;
      },
    );
  });

  test("stored quantised: refused", () => {
    assert.throws(() => from({ quantization_config: { quant_method: "gptq" } }).check(), /quantised/);
  });

  test("a file that is no object, or has a name twice, is refused", async () => {
    const dir = await mkdtemp(join(tmpdir(), "lowrank-config-"));
    for (const text of ["[]", '{"a": 1, "a": 2}', "{"]) {
      await writeFile(join(dir, "config.json"), text);
      await assert.rejects(readModelConfig(dir), FormatError);
    }
    await rm(join(dir, "config.json"));
    await assert.rejects(readModelConfig(dir), FormatError);
    await rm(dir, { recursive: true });
  });
});
