/** `lowrank chat` off a terminal, on a real model. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, suite, test } from "node:test";
import { type ChatStreams, runChat } from "../../../src/cli/chat/run.ts";
import type { ChatOptions } from "../../../src/cli/chat/setup.ts";
import { sharedData } from "../../support/shared-data.ts";
import { FakeOutput } from "../terminal/fake-output.ts";
import { temporaryFolder, writeAdapter } from "./fixtures.ts";

const model = sharedData("tinystories-656k");
const skip = existsSync(model) ? false : `${model} is absent`;

async function chat(options: ChatOptions, input = ""): Promise<{ output: string; errors: string }> {
  const stdin = new PassThrough();
  stdin.end(input);
  const [output, errors] = [new FakeOutput({ isTTY: false }), new FakeOutput({ isTTY: false })];
  const streams = { input: stdin, output, errors } as unknown as ChatStreams;
  await runChat(undefined, [], { model, threads: 1, ...options }, streams);
  return { output: output.text, errors: errors.text };
}

suite("lowrank chat", { skip }, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let poet: string;
  before(async () => {
    folder = await temporaryFolder();
    poet = join(folder.dir, "poet");
    await mkdir(poet);
    await writeAdapter(poet, { blocks: 2, inputs: 128, outputs: 128, seed: 1 });
  });
  after(() => folder.remove());

  test("goes on with a text", async () => {
    const { output, errors } = await chat({ template: false, prompt: "Once upon a time", maxNewTokens: 12 });
    assert.equal(output, ", a little girl named Lily lived in a small house with her mom, dad, and her \n");
    assert.match(errors, /cut off at --max-new-tokens\n12 tokens, .* tokens\/s; prompt: 6 tokens, .* tokens\/s\n$/);
  });

  test("reads a question of several lines", async () => {
    const options = { template: false, maxNewTokens: 4, json: true };
    const { output } = await chat({ ...options, prompt: "-" }, "Lily and\nBen\n");
    const told = JSON.parse(output) as { prompt: string; newTokens: number; reason: string };
    assert.deepEqual([told.prompt, told.newTokens, told.reason], ["Lily and\nBen", 4, "length"]);
  });

  test("answers every line, and switches adapters between them", async () => {
    const lines = "Hello\n\n/base\n/clear\nHello\n/adapter poet\n/clear\nHello\n";
    const { output, errors } = await chat({ template: "default", adapter: [poet], maxNewTokens: 8, json: true }, lines);
    const told = output
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { answer: string; adapters: string[] });
    assert.deepEqual(
      told.map(({ adapters }) => adapters),
      [["poet"], [], ["poet"]],
    );
    assert.equal(told[0]!.answer, told[2]!.answer);
    assert.notEqual(told[0]!.answer, told[1]!.answer);
    assert.match(errors, /with the base model alone/);
  });

  test("says what can be done about a model without a chat template", () =>
    assert.rejects(chat({ prompt: "Hello" }), /--template default[^]*--no-template/));

  test("a command that is wrong does not end it, and is told at the end", async () => {
    const before = process.exitCode;
    try {
      const { output, errors } = await chat({ template: false, maxNewTokens: 2 }, "/bse\nHello\n/exit\nnever\n");
      assert.match(errors, /nearest one is \/base/);
      assert.equal(output.trimEnd().split("\n").length, 1);
      assert.equal(process.exitCode, 1);
    } finally {
      process.exitCode = before;
    }
  });
});
