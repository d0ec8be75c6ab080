/** LLaMA-Factory's configurations are read unchanged, and what is wrong with one is said at once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { storageSettings } from "../../src/config/storage.ts";
import { parseRunConfig, readRunConfig, validateArgs } from "../../src/config/read.ts";
import { ConfigError } from "../../src/errors.ts";
import { CHAT, DPO, MERGE, QLORA, TRAIN } from "./llama-factory.ts";

const SMALL = "model_name_or_path: m\ndataset: d\n";

/** The message about a file, of which these lines are added to what it needs anyway. */
function complaint(lines: string, overrides: string[] = [], verb: "train" | "chat" | "export" = "train"): string {
  return messageOf(() => parseRunConfig(SMALL + lines, "run.yaml", overrides, verb));
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return assert.fail("nothing was wrong");
}

function read(lines: string, overrides: string[] = []) {
  return parseRunConfig(SMALL + lines, "run.yaml", overrides);
}

suite("LLaMA-Factory's own files", () => {
  test("the one that its users copy: every key, its meaning and its defaults", () => {
    const { config, given, notes } = parseRunConfig(TRAIN, "qwen3.yaml");
    assert.equal(config.modelNameOrPath, "Qwen/Qwen3-4B-Instruct-2507");
    assert.deepEqual(config.dataset, ["identity", "alpaca_en_demo"]);
    assert.equal(config.loraTarget, "all");
    assert.equal(config.loraAlpha, 16, "null: 2 rank");
    assert.equal(config.learningRate, 1e-4);
    assert.equal(config.lrSchedulerType, "cosine");
    assert.equal(config.maxSamples, 1000);
    assert.deepEqual(config.reportTo, []);
    assert.equal(config.resumeFromCheckpoint, null);
    assert.equal(config.perDeviceEvalBatchSize, 8, "transformers' default");
    assert.equal(config.packing, false);
    assert.equal(config.gradientCheckpointing, false);
    assert.ok(given.has("lora_rank") && !given.has("lora_alpha"));
    assert.deepEqual(
      notes.map((note) => note.split(":")[0]),
      ["trust_remote_code", "dataloader_num_workers", "bf16", "ddp_timeout"],
      "what has no effect here is said, in the order of the file",
    );
  });

  test("merging", () => {
    const { config } = parseRunConfig(MERGE, "merge.yaml", [], "export");
    assert.equal(config.exportDir, "saves/qwen3_sft_merged");
    assert.equal(config.exportSize, 5);
    assert.deepEqual(config.adapterNameOrPath, ["saves/qwen3-4b/lora/sft"]);
    assert.match(
      messageOf(() => parseRunConfig(CHAT, "c.yaml", [], "export")),
      /export_dir: `lowrank export` needs it/,
    );
  });

  test("chat, with the sampling that LLaMA-Factory has by default", () => {
    const { config } = parseRunConfig(CHAT, "chat.yaml", [], "chat");
    assert.deepEqual(config.adapterNameOrPath, ["saves/qwen3-4b/lora/sft", "saves/other"]);
    assert.deepEqual([config.temperature, config.topP, config.topK, config.maxNewTokens], [0.95, 0.7, 50, 1024]);
  });

  test("chat and export take the file of the training too, whatever it trained", () => {
    assert.equal(parseRunConfig(DPO, "dpo.yaml", [], "chat").config.template, "qwen3_nothink");
    assert.equal(parseRunConfig(TRAIN, "train.yaml", ["export_dir=out"], "export").config.exportDir, "out");
  });

  test("QLoRA, with the defaults that LLaMA-Factory has", () => {
    const { config } = parseRunConfig(QLORA, "qlora.yaml");
    assert.deepEqual([config.quantizationBit, config.quantizationMethod], [4, "bnb"]);
    assert.deepEqual(storageSettings(config), { storage: "nf4", doubleQuantization: true });
    const storageOf = (...overrides: string[]) =>
      storageSettings(parseRunConfig(QLORA, "qlora.yaml", overrides).config);
    assert.deepEqual(storageOf("quantization_type=fp4", "double_quantization=false"), {
      storage: "fp4",
      doubleQuantization: false,
    });
    assert.equal(storageOf("quantization_bit=8").storage, "int8");
    assert.deepEqual(storageSettings(parseRunConfig(TRAIN, "train.yaml").config), {});
    assert.equal(storageSettings(parseRunConfig(TRAIN, "train.yaml", ["storage=bfloat16"]).config).storage, "bfloat16");
  });

  test("other bits, other quantisers, two storages and training what is quantised are refused", () => {
    const refused = (...overrides: string[]) => messageOf(() => parseRunConfig(QLORA, "qlora.yaml", overrides));
    assert.match(refused("quantization_bit=3"), /quantization_bit: is not what it should be: got 3, expected .*4 or 8/);
    assert.match(refused("quantization_method=gptq"), /quantization_method: this format is not there.*got gptq/);
    assert.match(refused("storage=int4"), /storage: says in another way what quantization_bit says/);
    assert.match(refused("finetuning_type=full"), /quantization_bit: weights that are stored so cannot be trained/);
  });

  test("DPO is refused by the one key that asks for it", () => {
    assert.match(
      messageOf(() => parseRunConfig(DPO, "dpo.yaml")),
      /^dpo\.yaml:5: stage: preference training is not there yet/,
    );
  });
});

suite("what is wrong with a file", () => {
  test("everything at once, in the order of the lines, each with its place, what was found and what would do", () => {
    const message = complaint(
      "lora_rnak: 8\nlora_rank: eight\nlearning_rate:\nuse_llama_pro: true\nwarmup_ratio: 3\nlora_rank: 4\n",
    );
    assert.match(message, /^run\.yaml: 6 problems\n/);
    assert.deepEqual(
      message.split("\n").filter((line) => line.startsWith("  run")),
      [
        "  run.yaml:3: lora_rnak: there is no such key",
        "  run.yaml:4: lora_rank: is not what it should be: got eight, expected a whole number >= 1",
        "  run.yaml:5: learning_rate: has no value: expected a number >= 0",
        "  run.yaml:6: use_llama_pro: LLaMA Pro: trains added blocks: not there yet: got true",
        "  run.yaml:7: warmup_ratio: is not what it should be: got 3, expected a number >= 0 and <= 1",
        "  run.yaml:8: lora_rank: is there twice: in line 4 and in line 8",
      ],
    );
    assert.match(message, /lora_rnak: there is no such key\n {4}hint: the nearest one is lora_rank\n/);
  });

  test("values that are known but not there say so", () => {
    assert.match(complaint("optim: paged_adamw_8bit\n"), /only AdamW and SGD .*paged_adamw_32bit.*\n.*"adamw_torch"/);
    assert.match(complaint("optim: lion_32bit\n"), /only AdamW and SGD .*\n.*"adamw_torch"/);
    assert.match(complaint("report_to: wandb\n"), /nothing is sent to a service: got wandb/);
    assert.match(complaint("finetuning_type: oft\n"), /OFT is not there yet/);
    assert.match(complaint("deepspeed: examples/deepspeed/ds_z3_config.json\n"), /deepspeed: .*one process/);
    assert.match(complaint("lr_scheduler_type: cosin\n"), /expected "constant" or .*"cosine"/);
  });

  test("a file that is not YAML: the line, and what to do, and no complaint about keys that it must have", () => {
    const tab = messageOf(() => parseRunConfig("model_name_or_path: m\n\tdataset: d\n", "run.yaml"));
    assert.match(tab, /^run\.yaml:2: is not YAML: Tabs.*\n {2}hint: use spaces/);
    const colon = messageOf(() => parseRunConfig("model_name_or_path: m\ndataset:d\nlora_rank: 8\n", "run.yaml"));
    assert.match(colon, /hint: line 2: put a space after the colon/);
    const list = messageOf(() => parseRunConfig("- a\n- b\n", "run.yaml"));
    assert.match(list, /^run\.yaml:1: is not a list of keys/);
    assert.match(
      messageOf(() => parseRunConfig("a: 1\n---\nb: 2\n", "run.yaml")),
      /^run\.yaml:[23]: begins a second document/,
    );
    const bomb = `a: &a [1]\nb: &b [${"*a,".repeat(99)}]\nc: &c [${"*b,".repeat(99)}]\nd: [*c, *c]\n`;
    assert.match(
      messageOf(() => parseRunConfig(bomb, "run.yaml")),
      /run\.yaml:3: c: refers to too many other values/,
    );
  });

  test("files that cannot be read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lowrank-config-"));
    try {
      const binary = join(folder, "model.yaml");
      writeFileSync(binary, Uint8Array.of(0xff, 0xfe, 0x80));
      await assert.rejects(readRunConfig(binary), { name: "ConfigError", message: /is not UTF-8 text/ });
      await assert.rejects(readRunConfig(folder), { name: "ConfigError", message: /is not a file/ });
      await assert.rejects(readRunConfig(join(folder, "no.yaml")), { message: /there is no such file\n {2}hint/ });
      writeFileSync(join(folder, "large.yaml"), "#".repeat(2 ** 20 + 1));
      await assert.rejects(readRunConfig(join(folder, "large.yaml")), { message: /too large/ });
      writeFileSync(join(folder, "crlf.yaml"), `\uFEFF${SMALL.replaceAll("\n", "\r\n")}`);
      assert.equal((await readRunConfig(join(folder, "crlf.yaml"))).config.modelNameOrPath, "m");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("JSON, with its tabs, has lines too", () => {
    const json = '{\n\t"model_name_or_path": "m",\n\t"dataset": "d",\n\t"lora_rank": 4\n}';
    assert.equal(parseRunConfig(json, "run.json").config.loraRank, 4);
    assert.match(
      messageOf(() => parseRunConfig(json.replace("lora_", "lor_"), "run.json")),
      /^run\.json:4: lor_rank/,
    );
  });
});

suite("values as Python's readers take them", () => {
  test("numbers", () => {
    for (const number of ["1e-4", "1.0e-4", '"1e-4"', "0.0001", ".0001"]) {
      assert.equal(read(`learning_rate: ${number}\n`).config.learningRate, 1e-4, number);
    }
    assert.equal(read("lora_rank: 16.0\n").config.loraRank, 16);
    assert.equal(read("max_steps: 1_000\n").config.maxSteps, 1000);
    assert.match(complaint("lora_rank: 1.5\n"), /got 1\.5, expected a whole number/);
    assert.match(complaint("learning_rate: .inf\n"), /learning_rate/);
    assert.match(complaint("lora_rank: true\n"), /got true/);
  });

  test("booleans, and the choice called no", () => {
    for (const word of ["yes", "on", "True", "TRUE", '"true"'])
      assert.equal(read(`use_rslora: ${word}\n`).config.useRslora, true);
    for (const word of ["no", "off", "False"]) assert.equal(read(`plot_loss: ${word}\n`).config.plotLoss, false);
    for (const word of ["no", "false", '"no"'])
      assert.equal(read(`save_strategy: ${word}\n`).config.saveStrategy, "no");
  });

  test("nothing, and names that look like numbers", () => {
    for (const word of ["", "null", "~", "None"])
      assert.equal(read(`eval_dataset: ${word}\n`).config.evalDataset, null);
    assert.equal(read("model_revision: 12e4567\n").config.modelRevision, "12e4567");
    assert.equal(read("default_system: ''\n").config.defaultSystem, "", "empty is not the same as nothing");
  });

  test("lists, with commas or as YAML, and other spellings", () => {
    for (const list of ["q_proj,v_proj", "q_proj, v_proj", "[q_proj, v_proj]", "\n  - q_proj\n  - v_proj"]) {
      assert.deepEqual(read(`lora_target: ${list}\n`).config.loraTarget, ["q_proj", "v_proj"], list);
    }
    assert.equal(read("val_size: 0.1\nevaluation_strategy: epoch\n").config.evalStrategy, "epoch");
    assert.equal(read("disable_shuffling: true\n").config.shuffle, false);
    assert.equal(read("neat_packing: true\n").config.packing, true);
    assert.equal(read("stage: pt\n").config.packing, true, "as in LLaMA-Factory");
    assert.equal(read("resume_from_checkpoint: false\n").config.resumeFromCheckpoint, null);
    assert.equal(read("resume_from_checkpoint: out/checkpoint-5\n").config.resumeFromCheckpoint, "out/checkpoint-5");
    assert.match(complaint("dataset_dir: ' '\nlora_target: q_proj,\n"), /empty[\s\S]*empty name/);
  });
});

suite("the command line after the file", () => {
  test("goes before it, and the last before the first", () => {
    const { config, given } = read("lora_rank: 8\n", [
      "lora_rank=16",
      "lora_rank=32",
      "lora_target=[q_proj, v_proj]",
      "dataset=a,b",
    ]);
    assert.equal(config.loraRank, 32);
    assert.deepEqual(config.loraTarget, ["q_proj", "v_proj"]);
    assert.deepEqual(config.dataset, ["a", "b"]);
    assert.ok(given.has("lora_target"));
  });

  test("text is text, whatever YAML would see in it", () => {
    const system = "You are: a poet # of sorts";
    assert.equal(read("", [`default_system=${system}`]).config.defaultSystem, system);
    assert.equal(read("", ["output_dir=C:\\runs\\a=b"]).config.outputDir, "C:\\runs\\a=b");
    assert.equal(read("template: qwen\n", ["template="]).config.template, null);
  });

  test("a value there is no problem of the file's line", () => {
    assert.equal(read("lora_rank: eight\n", ["lora_rank=8"]).config.loraRank, 8);
    assert.match(complaint("", ["lora_rank=eight"]), /^command line: lora_rank: .*got eight/);
    assert.match(
      complaint("", ["--lora_rank", "8"]),
      /command line: is not key=value: got --lora_rank\n.*write lora_rank=VALUE/,
    );
    assert.match(complaint("", ["--lora_rank=8"]), /write lora_rank=8/);
  });

  test("a budget of memory for the optimizer: bytes, or an amount; nothing in memory with paged optimizers", () => {
    const budget = (lines: string) => read(lines).config.optimizerMemoryBudget;
    assert.equal(budget(""), null);
    assert.equal(budget("optimizer_memory_budget: 4096\n"), 4096);
    assert.equal(budget("optimizer_memory_budget: 0\n"), 0);
    assert.equal(budget("optimizer_memory_budget: 512MB\n"), 512e6);
    assert.equal(budget("optimizer_memory_budget: 1.5 GiB\n"), 1.5 * 2 ** 30);
    assert.equal(budget("optimizer_memory_budget: 1e3kB\n"), 1e6);
    for (const optim of ["paged_adamw_32bit", "paged_adamw"]) {
      assert.equal(budget(`optim: ${optim}\n`), 0);
      assert.equal(budget(`optim: ${optim}\noptimizer_memory_budget: 1MB\n`), 1e6);
    }
    for (const wrong of ["512 pages", "-1", "much", "MB"]) {
      assert.match(
        complaint(`optimizer_memory_budget: ${wrong}\n`),
        /optimizer_memory_budget: is not what it should be: got .*, expected bytes, or an amount such as 512MB or 1\.5GiB, or null/,
      );
    }
    assert.match(read("optim: sgd\noptimizer_memory_budget: 1MB\n").notes.join(), /sgd keeps no states/);
  });

  test("grouping by length, by either of its names; not when streaming", () => {
    for (const lines of ["group_by_length: true\n", "train_sampling_strategy: group_by_length\n"]) {
      const { config, notes } = read(lines);
      assert.deepEqual([config.groupByLength, config.shuffle, notes], [true, true, []]);
    }
    assert.equal(read("").config.groupByLength, false);
    assert.match(read("group_by_length: true\nshuffle: false\n").notes.join(), /group_by_length: no effect/);
    assert.match(
      complaint("group_by_length: true\nstreaming: true\nmax_steps: 5\n"),
      /group_by_length: does not go with streaming/,
    );
  });

  test("is enough without a file", async () => {
    const { config, path } = await readRunConfig(undefined, ["model_name_or_path=m"], "chat");
    assert.deepEqual([config.modelNameOrPath, path], ["m", undefined]);
    await assert.rejects(readRunConfig(undefined, [], "chat"), {
      message: /^command line: model_name_or_path: `lowrank chat` needs/,
    });
  });
});

suite("the args of a Trainer", () => {
  test("are the same keys in camelCase, with the same defaults and messages", () => {
    const { config, given } = validateArgs({
      perDeviceTrainBatchSize: 2,
      learningRate: 1e-3,
      shuffle: false,
      reportTo: "none",
    });
    assert.deepEqual([config.perDeviceTrainBatchSize, config.learningRate, config.shuffle], [2, 1e-3, false]);
    assert.deepEqual([config.numTrainEpochs, config.maxGradNorm, config.seed], [3, 1, 42]);
    assert.ok(given.has("per_device_train_batch_size"));
    const wrong = { learningRte: 1, maxSteps: "ten", loraRank: 8 } as object;
    const message = messageOf(() => validateArgs(wrong));
    assert.match(message, /args: learningRte: there is no such key\n {4}hint: the nearest one is learningRate/);
    assert.match(message, /args: maxSteps: is not what it should be: got ten/);
    assert.match(message, /args: loraRank: is no setting of a trainer\n {4}hint: it is said to getPeftModel/);
  });

  test("evaluations need data that the trainer has", () => {
    assert.equal(validateArgs({ evalStrategy: "epoch" }, true).config.doEval, true);
    assert.match(
      messageOf(() => validateArgs({ evalStrategy: "epoch" })),
      /args: evalStrategy: there is no data/,
    );
  });
});
