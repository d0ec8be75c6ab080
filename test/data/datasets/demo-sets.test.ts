/** LLaMA-Factory's demo data sets, through its own dataset_info.json as it is; and GSM8K. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openDatasets } from "../../../src/data/datasets/index.ts";
import { all, complaint } from "../../support/dataset-files.ts";

const shared =
  process.env["LOWRANK_TEST_DATA"] ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url));
const datasetDir = join(shared, "llamafactory-demo");
const skip = !existsSync(datasetDir) && `${datasetDir} is not there`;

suite("LLaMA-Factory's demo sets", { skip }, () => {
  for (const [dataset, rows, format] of [
    ["identity", 91, "alpaca"],
    ["alpaca_en_demo", 999, "alpaca"],
    ["alpaca_zh_demo", 1000, "alpaca"],
    ["glaive_toolcall_en_demo", 300, "sharegpt"],
    ["glaive_toolcall_zh_demo", 300, "sharegpt"],
    ["v1_sft_demo.jsonl", 500, "openai"],
    ["reason_tool_use_demo_50.jsonl", 50, "openai"],
  ] as const) {
    test(`${dataset}: ${rows} chats, none bad`, async () => {
      const { train, sources } = await openDatasets({ dataset, datasetDir });
      const found = await all(train);
      assert.equal(found.length, rows);
      assert.ok(found.every(({ kind }) => kind === "chat"));
      assert.equal(sources[0]!.format, format);
    });
  }

  test("tool calls and their results", async () => {
    const { train } = await openDatasets({ dataset: "glaive_toolcall_en_demo", datasetDir, maxSamples: 1 });
    const [row] = await all(train);
    assert.ok(row?.kind === "chat");
    const call = row.messages.find(({ toolCalls }) => toolCalls !== undefined);
    const args = { ingredients: ["chicken", "bell peppers", "rice"] };
    assert.deepEqual(call, {
      role: "assistant",
      content: "",
      toolCalls: [{ name: "search_recipes", arguments: args }],
    });
    assert.equal(row.messages[row.messages.indexOf(call) + 1]!.role, "tool");
    assert.equal((row.tools![0] as { type: string }).type, "function");
  });

  for (const [dataset, rows] of [
    ["c4_demo", 300],
    ["wiki_demo", 30],
  ] as const) {
    test(`${dataset}: ${rows} texts in stage pt`, async () => {
      const found = await all((await openDatasets({ dataset, datasetDir, stage: "pt" })).train);
      assert.equal(found.length, rows);
      assert.ok(found.every(({ kind }) => kind === "text"));
    });
  }

  test("preference, KTO and multimodal sets are refused by name", async () => {
    for (const [dataset, what] of [
      ["dpo_en_demo", "preference data"],
      ["dpo_zh_demo", "preference data"],
      ["kto_en_demo", "KTO data"],
      ["mllm_demo", "images"],
      ["dpo_en_demo.json", "preference data"],
      ["v1_dpo_demo.jsonl", "preference data"],
      ["kto_en_demo.json", "KTO data"],
    ] as const) {
      const message = await complaint(openDatasets({ dataset, datasetDir }));
      assert.ok(message.includes(dataset) && message.includes(what), message);
    }
  });

  test("GSM8K as a folder: its training questions", async () => {
    const { train, sources } = await openDatasets({ dataset: join(shared, "gsm8k") });
    assert.equal(await train.count(), 7473);
    assert.equal(sources[0]!.format, "prompt/completion");
    assert.ok((await all(train)).every(({ kind }) => kind === "chat"));
  });
});
