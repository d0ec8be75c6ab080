/** Several adapters on one model: switching, none, one per row, merging, swapping. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { openSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { getPeftModel, type LoraConfig, PeftModel } from "../../src/lm/peft-model.ts";
import { Random } from "../../src/random.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import type { Device } from "../../src/runtime/runtime.ts";

const BASE = "golden/causal-lm/qwen2-tied";
/** Rows of different lengths; padded on the right. */
const INPUT = {
  inputIds: [
    [3, 8, 1, 20, 7, 5],
    [9, 2, 2, 14, 0, 0],
    [1, 30, 6, 6, 6, 11],
  ],
  attentionMask: [
    [1, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 0, 0],
    [1, 1, 1, 1, 1, 1],
  ],
};
/** Float32 through two blocks, on logits of order 1. */
const TOLERANCE = 2e-5;

suite("PeftModel", () => {
  let dir: string;
  let device: Device;
  let compiled = 0;
  let base: CausalLMModel;
  let peft: PeftModel;
  let alone: Record<string, Float32Array>;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lowrank-peft-"));
    const engine = await ortDevice({ threads: 1 });
    device = {
      kind: engine.kind,
      compile: (graph, options) => (compiled++, engine.compile(graph, options)),
      write: (name, tensor) => engine.write(name, tensor),
      map: (name, tensor) => engine.map(name, tensor),
      read: (name) => engine.read(name),
      free: (name) => engine.free(name),
      dispose: () => engine.dispose(),
    };
    base = await AutoModelForCausalLM.fromPretrained(BASE, { device });
    peft = new PeftModel(base);
    await add(
      peft,
      "red",
      { peftType: "LORA", r: 4, loraAlpha: 10, targetModules: ["q_proj", "down_proj", "lm_head"] },
      1,
    );
    await add(peft, "blue", { peftType: "LORA", r: 3, loraAlpha: 5, targetModules: "all-linear", useRslora: true }, 2);
    alone = { base: (await base.forward(INPUT)).logits };
    for (const name of ["red", "blue"]) {
      peft.setAdapter(name);
      alone[name] = (await peft.forward(INPUT)).logits;
    }
  });
  after(async () => {
    await peft.dispose();
    await device.dispose();
    await rm(dir, { recursive: true, force: true });
  });

  /** A fresh adapter whose B is not zero. */
  async function add(model: PeftModel, name: string, config: LoraConfig, seed: number): Promise<void> {
    model.addAdapter(name, config, { seed });
    const random = new Random(seed, 9);
    await model.forward({ inputIds: [[1]] });
    for (const { name: state, shape } of model.base.language.adapter(name).parameters) {
      const { data } = await device.read(state);
      const perturbed = Float32Array.from(data as Float32Array, (x) => x + 0.1 * random.normal());
      await device.write(state, { dtype: "float32", shape, data: perturbed });
    }
  }

  test("each adapter changes the logits, in its own way", () => {
    assert.ok(distance(alone["red"]!, alone["base"]!) > 0.05);
    assert.ok(distance(alone["blue"]!, alone["base"]!) > 0.05);
    assert.ok(distance(alone["blue"]!, alone["red"]!) > 0.05);
  });

  test("switching, and switching off, compiles nothing, and off is the base to the bit", async () => {
    const before = compiled;
    peft.setAdapter("red");
    assert.deepEqual((await peft.forward(INPUT)).logits, alone["red"]);
    peft.disableAdapter();
    assert.deepEqual(peft.activeAdapters, []);
    assert.deepEqual((await peft.forward(INPUT)).logits, alone["base"]);
    peft.enableAdapter();
    assert.deepEqual((await peft.forward(INPUT)).logits, alone["red"]);
    peft.setAdapter("blue");
    const off = await peft.disableAdapter(() => peft.forward(INPUT));
    assert.deepEqual(off.logits, alone["base"]);
    assert.deepEqual((await peft.forward(INPUT)).logits, alone["blue"]);
    assert.equal(compiled, before);
  });

  test("an adapter for each row of a batch, or none", async () => {
    const before = compiled;
    const { logits } = await peft.forward({ ...INPUT, adapterNames: ["blue", "__base__", "red"] });
    const row = logits.length / 3;
    for (const [i, name] of ["blue", "base", "red"].entries()) {
      const [got, wanted] = [logits, alone[name]!].map((all) => all.subarray(i * row, (i + 1) * row));
      // The padded end of a row is nobody's business.
      assert.ok(distance(got!.subarray(0, (row / 6) * 4), wanted!.subarray(0, (row / 6) * 4)) < TOLERANCE, name);
    }
    assert.equal(compiled, before);
    await assert.rejects(peft.forward({ ...INPUT, adapterNames: ["blue"] }), /one name is needed for each row/);
    await assert.rejects(peft.forward({ ...INPUT, adapterNames: ["blue", "bleu", "red"] }), /nearest name is "blue"/);
  });

  test("each row generates with its own adapter", async () => {
    const prompts = { inputIds: INPUT.inputIds.map((row) => row.slice(0, 4)), maxNewTokens: 6 };
    const together = await peft.generate({ ...prompts, adapterNames: ["red", "__base__", "blue"] });
    for (const [i, name] of ["red", undefined, "blue"].entries()) {
      if (name === undefined) peft.disableAdapter();
      else peft.setAdapter(name);
      const single = await peft.generate({ ...prompts, inputIds: [prompts.inputIds[i]!] });
      assert.deepEqual(together.sequences[i], single.sequences[0], name);
    }
  });

  test("merged, the model computes what the adapter did; unmerged, what it did before, to the bit", async () => {
    peft.setAdapter("blue");
    await peft.mergeAdapter();
    const merged = await peft.forward(INPUT);
    assert.ok(distance(merged.logits, alone["blue"]!) < TOLERANCE);
    assert.ok(
      distance((await base.forward(INPUT)).logits, alone["blue"]!) < TOLERANCE,
      "the base has it in its weights",
    );
    await assert.rejects(peft.mergeAdapter(), /merged already/);
    await peft.unmergeAdapter();
    assert.deepEqual((await base.forward(INPUT)).logits, alone["base"]);
    assert.deepEqual((await peft.forward(INPUT)).logits, alone["blue"]);
  });

  test("merging into one of two layers that share a table unties them, in the saved model too", async () => {
    peft.setAdapter("red");
    await peft.mergeAdapter();
    await base.savePretrained(join(dir, "untied"));
    await peft.unmergeAdapter();
    const config = JSON.parse(await readFile(join(dir, "untied", "config.json"), "utf8")) as Record<string, unknown>;
    assert.equal(config["tie_word_embeddings"], false);
    const again = await AutoModelForCausalLM.fromPretrained(join(dir, "untied"), { threads: 1 });
    assert.ok(distance((await again.forward(INPUT)).logits, alone["red"]!) < TOLERANCE);
    await again.dispose();
  });

  test("saved and loaded, an adapter does the same; the default one lies in the folder itself", async () => {
    await peft.savePretrained(join(dir, "saved"));
    const other = await PeftModel.fromPretrained(base, join(dir, "saved", "red"), { adapterName: "again" });
    assert.ok(distance((await other.forward(INPUT)).logits, alone["red"]!) < 1e-6);
    const file = await openSafetensors(join(dir, "saved", "red", "adapter_model.safetensors"));
    assert.ok(file.tensors.has("base_model.model.lm_head.lora_A.weight"));
    await file.close();
    await other.deleteAdapter("again");
  });

  test("another adapter takes the place of a loaded one without compiling", async () => {
    const other = new PeftModel(base);
    await add(other, "smaller", { peftType: "LORA", r: 2, loraAlpha: 7, targetModules: ["q_proj", "down_proj"] }, 5);
    other.setAdapter("smaller");
    const wanted = (await other.forward(INPUT)).logits;
    await other.savePretrained(join(dir, "swap"));
    await other.deleteAdapter("smaller");
    await peft.savePretrained(join(dir, "keep"), { selected: ["red"] });
    peft.setAdapter("red");
    await peft.forward(INPUT);
    const before = compiled;
    await peft.hotswapAdapter(join(dir, "swap", "smaller"), "red");
    assert.ok(distance((await peft.forward(INPUT)).logits, wanted) < TOLERANCE);
    await peft.hotswapAdapter(join(dir, "keep", "red"), "red");
    assert.ok(distance((await peft.forward(INPUT)).logits, alone["red"]!) < 1e-6);
    assert.equal(compiled, before);
  });

  test("a weighted sum of adapters is the sum of their updates", async () => {
    const config = { peftType: "LORA", r: 2, targetModules: ["o_proj"] } as const;
    await add(peft, "a", { ...config, loraAlpha: 3 }, 6);
    await add(peft, "b", { ...config, loraAlpha: 8, r: 3 }, 7);
    for (const combination of ["linear", "cat", "svd"] as const) {
      await peft.addWeightedAdapter(["a", "b"], [0.7, -1.3], combination, { combinationType: combination, svdRank: 5 });
      // On one layer with a linear update the weights of the gates can be compared: ΔW is what is merged.
      await peft.mergeAdapter({ adapterNames: [combination] });
      const mixed = await device.read("model.layers.0.self_attn.o_proj.weight");
      await peft.unmergeAdapter();
      const parts: Float32Array[] = [];
      for (const name of ["a", "b"]) {
        await peft.mergeAdapter({ adapterNames: [name] });
        parts.push((await device.read("model.layers.0.self_attn.o_proj.weight")).data as Float32Array);
        await peft.unmergeAdapter();
      }
      const plain = (await device.read("model.layers.0.self_attn.o_proj.weight")).data as Float32Array;
      const wanted = plain.map((w, i) => w + 0.7 * (parts[0]![i]! - w) - 1.3 * (parts[1]![i]! - w));
      assert.ok(distance(mixed.data as Float32Array, wanted) < 1e-5, combination);
    }
    for (const name of ["a", "b", "linear", "cat", "svd"]) await peft.deleteAdapter(name);
  });

  test("a module to save is the adapter's own while it is on", async () => {
    const other = new PeftModel(base);
    await add(
      other,
      "head",
      { peftType: "LORA", r: 2, targetModules: ["v_proj"], modulesToSave: ["lm_head"], bias: "lora_only" },
      8,
    );
    other.setAdapter("head");
    const { logits } = await other.forward(INPUT);
    assert.ok(distance(logits, alone["base"]!) > 0.05);
    assert.deepEqual((await base.forward(INPUT)).logits, alone["base"], "the base has its own head");
    await assert.rejects(
      other.forward({ ...INPUT, adapterNames: ["head", "__base__", "red"] }),
      /cannot share a batch/,
    );
    await other.mergeAdapter();
    assert.ok(distance((await base.forward(INPUT)).logits, logits) < TOLERANCE);
    await other.unmergeAdapter();
    await other.deleteAdapter("head");
    assert.deepEqual((await base.forward(INPUT)).logits, alone["base"]);
  });

  test("a fresh adapter changes nothing, and is counted in PEFT's words", async () => {
    const fresh = getPeftModel(
      base,
      { peftType: "LORA", r: 8, loraAlpha: 16, targetModules: "all-linear" },
      { adapterName: "f" },
    );
    assert.deepEqual((await fresh.forward(INPUT)).logits, alone["base"]);
    assert.match(
      fresh.printTrainableParameters(),
      /^trainable params: [\d,]+ \|\| all params: [\d,]+ \|\| trainable%: \d+\.\d{4}$/,
    );
    await fresh.deleteAdapter("f");
  });

  test("the base may be used at once: it waits for what is being put on it", async () => {
    const fresh = getPeftModel(base, { peftType: "LORA", targetModules: ["k_proj"] }, { adapterName: "soon" });
    assert.deepEqual((await base.forward(INPUT)).logits, alone["base"]);
    const again = getPeftModel(base, { peftType: "LORA", targetModules: ["v_proj"] }, { adapterName: "sooner" });
    await base.generate({ inputIds: [[1, 2]], maxNewTokens: 1 });
    await fresh.deleteAdapter("soon");
    await again.deleteAdapter("sooner");
  });

  test("a bias that is trained is counted once, and a module to save beside its original, as in PEFT", async () => {
    const count = async (config: object) => {
      const settings = { peftType: "LORA", r: 4, targetModules: ["q_proj"], ...config } as const;
      const fresh = getPeftModel(base, settings, { adapterName: "counted" });
      fresh.setAdapter("counted");
      const counts = fresh.getNbTrainableParameters();
      await fresh.deleteAdapter("counted");
      return counts;
    };
    const plain = await count({});
    const biases = await count({ bias: "lora_only" });
    assert.equal(biases.all, plain.all);
    assert.equal(biases.trainable, plain.trainable + 3 * 24); // three blocks with a bias of 24
    const saved = await count({ modulesToSave: ["lm_head"] });
    assert.deepEqual(saved, { trainable: plain.trainable + 43 * 20, all: plain.all + 43 * 20 });
  });

  test("what is wrong with a configuration is said at once", () => {
    const wrong = (config: object) => () => getPeftModel(base, { peftType: "LORA", ...config }, { adapterName: "w" });
    assert.throws(
      wrong({ targetModules: ["q_prj"] }),
      /"q_prj" matches none.*nearest|closest name to "q_prj" is "q_proj"/s,
    );
    assert.throws(wrong({ r: 0, loraDropout: 2 }), /r is 0.*dropout is 2/s);
    assert.throws(wrong({ loraAlfa: 3 }), /lora_alfa[^]*nearest one is loraAlpha/);
    assert.throws(wrong({ useQalora: true }), /use_qalora/);
    assert.throws(() => peft.addAdapter("red", { peftType: "LORA" }), /taken/);
  });
});

function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

test("a base that is freed while an adapter is being made waits for it", async () => {
  // Freed too early, the device answered nobody any more: now and then, hence the repetition.
  for (let i = 0; i < 20; i++) {
    const model = await AutoModelForCausalLM.fromPretrained("golden/causal-lm/gpt2", { threads: 1 });
    getPeftModel(model, { peftType: "PROMPT_TUNING", numVirtualTokens: 3 });
    await model.dispose();
  }
});
