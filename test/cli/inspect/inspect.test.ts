/** `lowrank inspect` as a person starts it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { AdapterFacts } from "../../../src/cli/inspect/adapter.ts";
import type { ModelFacts } from "../../../src/cli/inspect/model.ts";
import { openSafetensors } from "../../../src/formats/safetensors/index.ts";
import { writeLora } from "../../support/lora-folder.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.js", import.meta.url));
const MODEL = resolve("golden/causal-lm/qwen2-tied");

suite("lowrank inspect", () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "lowrank-inspect-"));
    await writeLora(join(root, "adapter"), MODEL, {
      targetModules: ["q_proj", "down_proj"],
      rankPattern: { down_proj: 2 },
      alphaPattern: { "layers.0.self_attn.q_proj": 7 },
    });
    await writeLora(join(root, "idle"), MODEL, { initLoraWeights: true });
  });
  after(() => rm(root, { recursive: true }));

  function inspect(...args: readonly string[]) {
    return spawnSync(process.execPath, [MAIN, "inspect", ...args], { encoding: "utf8", cwd: root });
  }
  function facts<T>(...args: readonly string[]): T {
    const { status, stdout, stderr } = inspect(...args, "--json");
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as T;
  }

  test("a model: layers by their target names, the head, the files", async () => {
    const found = facts<ModelFacts>(MODEL);
    const config = JSON.parse(await readFile(join(MODEL, "config.json"), "utf8")) as Record<string, number>;
    assert.equal(found.model_type, "qwen2");
    assert.equal(found.tied_head, true);
    assert.equal(found.blocks, config["num_hidden_layers"]);
    assert.equal(found.chat_template, false);
    const file = await openSafetensors(join(MODEL, "model.safetensors"));
    await file.close();
    const stored = [...file.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    assert.equal(found.parameters, stored);
    assert.deepEqual(found.stored_types, { F32: 4 * stored });
    const { count, in_features, out_features, bias, in_all_linear, is_default } = found.layers.find(
      ({ target }) => target === "k_proj",
    )!;
    assert.equal(count, config["num_hidden_layers"]);
    assert.equal(in_features, config["hidden_size"]);
    assert.equal(out_features, found.kv_heads * found.head_dim);
    assert.deepEqual({ bias, in_all_linear, is_default }, { bias: true, in_all_linear: true, is_default: false });
    assert.equal(found.layers.find(({ target }) => target === "lm_head")!.in_all_linear, false);
    assert.equal(found.training, undefined);
    const { stdout } = inspect(MODEL);
    assert.match(stdout, /q_proj +linear .* yes +yes/);
    assert.match(stdout, /tied: shares the embedding's table/);
  });

  test("the memory plan of LoRA: what is trained, and what a step needs", () => {
    const plan = (...flags: string[]) =>
      facts<ModelFacts>(MODEL, "--lora-rank", "4", "--cutoff-len", "32", ...flags).training!;
    const small = plan("--batch", "2", "--lora-target", "q_proj,v_proj");
    const { blocks, hidden_size: D, kv_heads: heads, head_dim: Dh, layers } = facts<ModelFacts>(MODEL);
    const out = layers.find(({ target }) => target === "q_proj")!.out_features;
    assert.equal(small.trainable, blocks * 4 * (D + out + D + heads * Dh));
    assert.match(small.text, /^trainable params: [\d,]+ \|\| all params: [\d,]+ \|\| trainable%: \d+\.\d{4}$/);
    assert.equal(small.lora!.alpha, 8);
    const { memory } = small;
    assert.equal(memory.adapter, 4 * small.trainable);
    assert.equal(memory.gradients, 4 * small.trainable);
    assert.equal(memory.optimizer, 8 * small.trainable);
    assert.equal(memory.total, memory.total_private + memory.frozen_weights);
    assert.ok(memory.activations > 0 && memory.head > 0);
    const large = plan("--batch", "8", "--lora-target", "q_proj,v_proj").memory;
    assert.ok(large.activations > 3 * memory.activations, "four times the rows");
    const checkpointed = plan("--batch", "8", "--lora-target", "q_proj,v_proj", "--gradient-checkpointing").memory;
    assert.ok(checkpointed.activations < large.activations, "checkpointing saves memory");
    const full = plan("--full").memory;
    assert.equal(full.frozen_weights, 0);
    assert.equal(full.optimizer, 2 * full.trained_weights);
    assert.match(inspect(MODEL, "--lora-rank", "4").stdout, /frozen weights .* mapped/);
  });

  test("the plan counts paged optimizer states on the disk, and the part that is read", async () => {
    const yaml = [
      `model_name_or_path: ${MODEL}`,
      "dataset: something",
      "finetuning_type: full",
      "cutoff_len: 16",
      "output_dir: out",
    ].join("\n");
    const file = join(root, "paged.yaml");
    await writeFile(file, yaml);
    const plan = (...keys: string[]) => facts<ModelFacts>("--config", file, ...keys).training!.memory;
    const plain = plan();
    assert.equal(plain.optimizer_paged, 0);
    const budget = Math.floor(plain.optimizer / 3);
    const some = plan(`optimizer_memory_budget=${budget}`);
    assert.ok(some.optimizer_paged >= plain.optimizer - budget && some.optimizer_paged < plain.optimizer);
    assert.ok(some.optimizer <= plain.optimizer);
    const none = plan("optim=paged_adamw_32bit");
    assert.equal(none.optimizer_paged, plain.optimizer);
    // All of this small model is one page.
    assert.equal(none.optimizer, plain.optimizer);
    assert.match(
      inspect("--config", file, "optim=paged_adamw_32bit").stdout,
      /optimizer .* of its states .* are paged/,
    );
  });

  test("the plan of a configuration", async () => {
    const yaml = [
      `model_name_or_path: ${MODEL}`,
      "dataset: something",
      "lora_rank: 2",
      "lora_target: q_proj",
      "cutoff_len: 16",
      "per_device_train_batch_size: 3",
      "output_dir: out",
    ].join("\n");
    await writeFile(join(root, "train.yaml"), yaml);
    const { training } = facts<ModelFacts>("--config", "train.yaml", "cutoff_len=24");
    assert.deepEqual([training!.lora!.r, training!.lora!.alpha, training!.batch, training!.cutoff_len], [2, 4, 3, 24]);
    assert.deepEqual(training!.lora!.target_modules, ["q_proj"]);
  });

  test("an adapter: rank, alpha and the norm of the update of each module", async () => {
    const found = facts<AdapterFacts>("adapter", "--model", MODEL);
    assert.equal(found.peft_type, "LORA");
    assert.equal(found.base_model_name_or_path, MODEL);
    const module = (name: string) => found.modules.find((each) => each.module === name)!;
    const q = module("model.layers.0.self_attn.q_proj");
    assert.deepEqual([q.r, q.alpha, q.scaling], [4, 7, 7 / 4]);
    const down = module("model.layers.1.mlp.down_proj");
    assert.deepEqual([down.r, down.alpha, down.scaling], [2, 10, 5]);
    // ‖s B A‖ and ‖W‖ the long way.
    const file = await openSafetensors(join(root, "adapter", "adapter_model.safetensors"));
    const key = "base_model.model.model.layers.1.mlp.down_proj.lora_";
    const [A, B] = [await file.readFloat32(`${key}A.weight`), await file.readFloat32(`${key}B.weight`)];
    const [, width] = file.tensors.get(`${key}A.weight`)!.shape as [number, number];
    await file.close();
    let sum = 0;
    for (let i = 0; i < B.length / 2; i++) {
      for (let j = 0; j < width; j++) sum += (5 * (B[2 * i]! * A[j]! + B[2 * i + 1]! * A[width + j]!)) ** 2;
    }
    assert.ok(Math.abs(down.update_norm / Math.sqrt(sum) - 1) < 1e-9);
    const base = await openSafetensors(join(MODEL, "model.safetensors"));
    const W = await base.readFloat32("model.layers.1.mlp.down_proj.weight");
    await base.close();
    const norm = Math.sqrt(W.reduce((total, x) => total + x * x, 0));
    assert.ok(Math.abs(down.relative_norm! / (Math.sqrt(sum) / norm) - 1) < 1e-9);
    assert.deepEqual(
      found.parts.map(({ part }) => part),
      ["lora_A", "lora_B"],
    );
    assert.equal(
      found.parameters,
      found.modules.reduce((total, each) => total + each.parameters, 0),
    );
    assert.deepEqual(found.warnings, []);
    assert.match(inspect("adapter", "--model", MODEL).stdout, /self_attn\.q_proj .*1\.8.*%/);
  });

  test("an adapter that changes nothing is called out", () => {
    assert.match(inspect("idle").stdout, /warning: every update is zero \(B = 0\): this adapter changes nothing/);
  });

  test("files of tensors, runs, configurations, and what is none of these", async () => {
    assert.match(inspect(join(MODEL, "model.safetensors")).stdout, /model\.embed_tokens\.weight +F32 +\[\d+, \d+\]/);
    await mkdir(join(root, "run", "checkpoint-20"), { recursive: true });
    await mkdir(join(root, "run", "checkpoint-100"));
    await writeFile(join(root, "run", "trainer_log.jsonl"), "");
    assert.match(inspect("run").stderr, /output of a run, with 2 checkpoints.*\n.*inspect .*checkpoint-100/);
    for (const name of ["adapter_config.json", "adapter_model.safetensors"]) {
      await copyFile(join(root, "adapter", name), join(root, "run", "checkpoint-100", name));
    }
    await writeFile(join(root, "run", "checkpoint-100", "checkpoint.json"), "{}");
    assert.match(inspect("run/checkpoint-100").stdout, /folder +this is a checkpoint of a run/);
    await writeFile(join(root, "weights.bin"), "");
    assert.match(inspect("weights.bin").stderr, /weights\.bin is a pickle/);
    await writeFile(join(root, "other.yaml"), "");
    assert.match(inspect("other.yaml").stderr, /inspect --config other\.yaml/);
    const absent = inspect("./absent");
    assert.match(absent.stderr, /there is no such folder/);
    assert.equal(absent.status, 1);
    assert.match(inspect().stderr, /nothing to look at/);
    assert.match(inspect(MODEL, "--lora-target", "q_prj").stderr, /closest name to "q_prj" is "q_proj"/);
    const wrong = inspect("adapter", "--model", resolve("golden/causal-lm/gpt2"));
    assert.match(wrong.stderr, /has no layer model\.layers\.0\..*, which the adapter is on/);
  });
});
