/** Adapter folders that are broken, hostile, or made with something that is not built: each gets a clear FormatError. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { AdaptableModel } from "../../src/adapters/copies.ts";
import { FormatError } from "../../src/errors.ts";
import { loadAdapter } from "../../src/formats/peft/index.ts";
import { type TensorToWrite, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { conv2d } from "../../src/nn/conv2d.ts";
import { linear } from "../../src/nn/linear.ts";
import { interpDevice } from "../../src/runtime/interp.ts";
import { mlpRig } from "../../src/testing/method-rig.ts";

const GOLDEN = fileURLToPath(new URL("../../../golden/peft/mlp", import.meta.url));
const { model } = mlpRig();
let root: string;
let dir: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-peft-hostile-"));
});
after(() => rm(root, { recursive: true }));
let count = 0;
beforeEach(async () => {
  dir = join(root, String(count++));
  await cp(GOLDEN, dir, { recursive: true });
});

async function refused(parts: readonly (string | RegExp)[], of: AdaptableModel = model): Promise<void> {
  await assert.rejects(loadAdapter(interpDevice(), of, dir), (error) => {
    assert.ok(error instanceof FormatError, String(error));
    for (const part of parts) {
      if (typeof part === "string") assert.ok(error.message.includes(part), `${part} is not in: ${error.message}`);
      else assert.match(error.message, part);
    }
    return true;
  });
}

function writeConfig(text: string): Promise<void> {
  return writeFile(join(dir, "adapter_config.json"), text);
}

async function changeConfig(changes: Readonly<Record<string, unknown>>): Promise<void> {
  const fields = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as Record<string, unknown>;
  await writeConfig(JSON.stringify({ ...fields, ...changes }));
}

async function writeTensors(shapes: Readonly<Record<string, readonly number[]>>, dtype: "F32" | "I32" = "F32") {
  const tensors = Object.entries(shapes).map(([name, shape]): TensorToWrite => {
    const length = shape.reduce((a, b) => a * b, 1);
    return { name, dtype, shape, data: new Uint8Array(4 * length) };
  });
  await writeSafetensors(join(dir, "adapter_model.safetensors"), tensors);
}

describe("settings that change the result", () => {
  for (const [key, value] of Object.entries({
    layer_replication: [[0, 1]],
    trainable_token_indices: [1],
    target_parameters: ["w"],
    use_qalora: true,
    alora_invocation_tokens: [1],
    kasa_config: { beta: 1 },
    bias: "some",
    rank_pattern: [2],
    modules_to_save: [1],
    layers_to_transform: [-1],
    exclude_modules: 3,
    init_lora_weights: "corda",
  })) {
    it(`${key}: refused by name`, async () => {
      await changeConfig({ [key]: value });
      await refused([`adapter_config.json: ${key} is `]);
    });
  }

  it("a start that nobody has, with the nearest one", async () => {
    await changeConfig({ init_lora_weights: "pisa" });
    await refused(['init_lora_weights is "pisa", not true, false, ', "(nearest: pissa)"]);
  });

  it("a pattern's value that is no number", async () => {
    await changeConfig({ alpha_pattern: { fc1: "2" } });
    await refused(['alpha_pattern "fc1" is "2", not a finite number']);
  });

  it("are refused all at once", async () => {
    await changeConfig({ use_qalora: true, bias: "some", init_lora_weights: "lora_ga", r: "8", lora_dropout: 2 });
    await refused(["use_qalora is true", 'bias is "some"', '"lora_ga"', 'r is "8", not an integer', "dropout is 2"]);
  });

  it("a pattern that is none", async () => {
    await changeConfig({ rank_pattern: { "fc(1": 2 } });
    await refused(["rank_pattern: not a regular expression: a ( without its )"]);
  });

  it("are accepted where they say nothing", async () => {
    await changeConfig({
      rank_pattern: null,
      modules_to_save: [],
      init_lora_weights: "orthogonal",
      loftq_config: null,
    });
    const { warnings } = await loadAdapter(interpDevice(), model, dir);
    assert.deepEqual(warnings, []);
  });
});

describe("adapter_config.json", () => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  for (const [name, text, message] of [
    ["empty", "", /not an object|not valid JSON/],
    ["cut off", '{"peft_type": "LORA", "r": ', /not valid JSON/],
    ["not an object", "[]", /not an object/],
    ["a key twice", '{"peft_type": "LORA", "r": 4, "\\u0072": 8}', /has the name "r" twice/],
    ["Python's NaN", '{"peft_type": "LORA", "lora_alpha": NaN}', /not valid JSON/],
    ["deep nesting", `{"peft_type": "LORA", "x": ${deep}}`, /nested more than/],
    ["no peft_type", "{}", /peft_type is missing.*LORA/],
    ["another method", '{"peft_type": "XLORA"}', /no such peft_type here: got "\\?"?XLORA.*expected LORA/],
    ["a type that is no name", '{"peft_type": {"a": [1]}}', /no such peft_type/],
    ["prototype", '{"peft_type": "LORA", "__proto__": {"r": 4}, "target_modules": 5}', /target_modules is 5/],
    ["infinite alpha", '{"peft_type": "LORA", "lora_alpha": 1e999}', /alpha is Infinity/],
    ["negative rank", '{"peft_type": "LORA", "r": -4}', /r is -4, not an integer >= 1/],
    ["huge rank", '{"peft_type": "LORA", "r": 1000000000}', /is F32\[4, 7\] and not F32\[1000000000, 7\]/],
    ["a mixed list", '{"peft_type": "LORA", "target_modules": ["fc1", 3]}', /target_modules is \["fc1",3\]/],
  ] as const) {
    it(`${name}`, async () => {
      await writeConfig(text);
      await refused([message]);
    });
  }

  it("not UTF-8", async () => {
    await writeFile(join(dir, "adapter_config.json"), Uint8Array.of(0x7b, 0xff, 0x7d));
    await refused(["is not UTF-8 text"]);
  });

  it("a pattern that takes a regular expression forever is not run", async () => {
    await changeConfig({ target_modules: "(f+)+(c+)+(fc)*(.*)*(.*)*(.*)*!" });
    const { adapter } = await loadAdapter(interpDevice(), model, dir);
    assert.equal(adapter.targets.length, 2);
  });

  it("too large", async () => {
    await truncate(join(dir, "adapter_config.json"), 17 * 2 ** 20);
    await refused(["is too large"]);
  });

  it("missing, or a folder", async () => {
    await rm(join(dir, "adapter_config.json"));
    await refused(["adapter_config.json: cannot be read: got ENOENT"]);
    await cp(GOLDEN, join(dir, "adapter_config.json"), { recursive: true });
    await refused(["adapter_config.json: is not a file"]);
  });
});

describe("adapter_model.safetensors", () => {
  const fits = {
    "base_model.model.fc1.lora_A.weight": [4, 7],
    "base_model.model.fc1.lora_B.weight": [11, 4],
    "base_model.model.fc3.lora_A.weight": [4, 6],
    "base_model.model.fc3.lora_B.weight": [5, 4],
  };

  it("names all that is unknown, missing or of another shape, with the nearest names", async () => {
    await writeTensors({
      "base_model.model.fc1.lora_A.weight": [8, 7],
      "base_model.model.fc3.lora_A.weight": [4, 6],
      "base_model.model.fc3.lora_B.weihgt": [5, 4],
      "base_model.model.fc2.lora_magnitude_vector": [6],
    });
    await refused([
      '"base_model.model.fc1.lora_A.weight" is F32[8, 7] and not F32[4, 7]',
      '"base_model.model.fc1.lora_B.weight" is missing',
      '"base_model.model.fc3.lora_B.weight" is missing',
      '"base_model.model.fc3.lora_B.weihgt" is no parameter of it (nearest: "base_model.model.fc3.lora_B.weight")',
      '"base_model.model.fc2.lora_magnitude_vector" is no parameter of it',
      "hint: check that the adapter was made for this model",
    ]);
  });

  it("misses a layer that the settings name", async () => {
    const { "base_model.model.fc3.lora_A.weight": _a, "base_model.model.fc3.lora_B.weight": _b, ...rest } = fits;
    await writeTensors(rest);
    await refused(['"base_model.model.fc3.lora_A.weight" is missing; "base_model.model.fc3.lora_B.weight" is missing']);
    await changeConfig({ exclude_modules: ["fc3"] });
    const { adapter } = await loadAdapter(interpDevice(), model, dir);
    assert.deepEqual(
      adapter.targets.map(({ layer }) => layer.name),
      ["fc1"],
    );
  });

  it("has integers, or nothing at all", async () => {
    await writeTensors(fits, "I32");
    await refused(["is I32[4, 7] and not F32[4, 7]"]);
    await writeTensors({});
    await refused(["it has no tensors"]);
  });

  it("keys with the adapter's name, as in memory, are not those of a file", async () => {
    await writeTensors({ ...fits, "base_model.model.fc1.lora_A.default.weight": [4, 7] });
    await refused([
      /lora_A\.default\.weight" is no parameter of it \(nearest: "base_model\.model\.fc1\.lora_A\.weight"\)/,
    ]);
  });

  it("many problems: ten are named, the rest is counted, and endless names are cut", async () => {
    const strange = Array.from({ length: 500 }, (_, i) => [`${"x".repeat(20_000)}.${i}`, [1]] as const);
    await writeTensors({ ...fits, ...Object.fromEntries(strange) });
    await refused([/and 490 more/]);
    await assert.rejects(loadAdapter(interpDevice(), model, dir), (error) => (error as Error).message.length < 5000);
  });

  it("a layer that the method refuses is named with the reason", async () => {
    const grouped = conv2d("conv", 4, 6, [3, 2], { groups: 2 }).layer;
    await writeTensors({ "base_model.model.conv.lora_A.weight": [4, 2, 3, 2] });
    await refused(["conv: LoRA on a convolution in groups is not defined: got 2 groups"], {
      parameters: [],
      layers: [grouped],
    });
  });

  it("cut off", async () => {
    await truncate(join(dir, "adapter_model.safetensors"), 500);
    await refused(["adapter_model.safetensors"]);
  });

  it("a pickle in its place is not read", async () => {
    await rm(join(dir, "adapter_model.safetensors"));
    await refused(["adapter_model.safetensors"]);
    await writeFile(join(dir, "adapter_model.bin"), "");
    await refused(["adapter_model.bin: is a Python pickle"]);
  });

  it("leaves nothing on the device when it fails", async () => {
    const device = interpDevice();
    await changeConfig({ r: 5 });
    await assert.rejects(
      loadAdapter(device, { ...model, layers: [...model.layers, linear("fc9", 3, 2).layer] }, dir),
      FormatError,
    );
    await assert.rejects(device.read("fc1.lora_A.default.weight"), /no such state/);
  });
});
