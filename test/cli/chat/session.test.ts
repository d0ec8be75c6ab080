/** A chat on a tiny model: what it remembers, which adapters answer, and what happens when it is full. */
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { remarks, speedLine, speedOf } from "../../../src/cli/chat/report.ts";
import { ChatSession, type SessionOptions } from "../../../src/cli/chat/session.ts";
import { runSlashCommand } from "../../../src/cli/chat/slash-commands.ts";
import type { ChatTemplate } from "../../../src/data/text/index.ts";
import { DataError } from "../../../src/errors.ts";
import { loadAdapter } from "../../../src/formats/peft/index.ts";
import type { CausalLMModel } from "../../../src/lm/causal-lm-model.ts";
import { goldenModel } from "../../lm/golden-model.ts";
import { TEMPLATE, temporaryFolder, TOKENIZER, writeAdapter } from "./fixtures.ts";

const ADAPTERS = [
  { name: "poet", path: "out/poet" },
  { name: "pirate", path: "out/pirate" },
];

suite("a chat", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  /** 64 positions. */
  let model: CausalLMModel;
  before(async () => {
    folder = await temporaryFolder();
    ({ model } = await goldenModel("qwen2-tied"));
    for (const [seed, { name }] of ADAPTERS.entries()) {
      const dir = join(folder.dir, name);
      await mkdir(dir);
      await writeAdapter(dir, { blocks: 3, inputs: 20, outputs: 24, seed });
      const { adapter } = await loadAdapter(model.language.device, model.language.model, dir, { name });
      await model.language.add(adapter);
    }
  });
  after(async () => {
    await model.dispose();
    await folder.remove();
  });

  const chat = (options: Partial<SessionOptions> = {}) =>
    new ChatSession({
      language: model.language,
      tokenizer: TOKENIZER,
      templateOf: () => TEMPLATE as ChatTemplate,
      ...options,
      generation: { maxNewTokens: 6, ...options.generation },
    });
  /** What the model says to a text by itself. */
  const greedy = async (text: string, adapters: readonly string[] = []) => {
    const { language } = model;
    const alone = new ChatSession({
      language,
      tokenizer: { ...TOKENIZER, addsBos: false },
      templateOf: () => undefined,
      active: adapters,
      generation: { maxNewTokens: 6 },
    });
    return (await alone.ask(text)).text;
  };

  test("is one text, rendered by the template, and only what is new is computed", async () => {
    const session = chat({ system: "kind" });
    const first = await session.ask("hello");
    assert.equal(first.text, await greedy("<kind>?hello;"));
    const pieces: string[] = [];
    await session.prepare();
    const second = await session.ask("and", { onText: (text) => pieces.push(text) });
    const text = `<kind>?hello;${first.text};?and;`;
    assert.equal(second.promptTokens, text.length);
    assert.equal(pieces.join(""), second.text);
    const third = await session.ask("so");
    assert.equal(third.reusedTokens, text.length + 5);
    assert.equal(second.text, await greedy(text));
    assert.equal(third.text, await greedy(`${text}${second.text};?so;`));
    assert.deepEqual(
      session.messages.map(({ role }) => role),
      ["system", "user", "assistant", "user", "assistant", "user", "assistant"],
    );
    session.clear();
    assert.equal((await session.ask("hello")).text, first.text);
    await session.close();
  });

  test("answers with the adapters that are on", async () => {
    const session = chat({ active: ["poet"] });
    const answers = new Map<string, string>();
    for (const names of [["poet"], ["pirate"], [], ["poet", "pirate"], ["poet"]]) {
      session.use(names);
      session.clear();
      const { text, reusedTokens } = await session.ask("who are you");
      assert.equal(reusedTokens, 0, "nothing of another adapter's");
      assert.equal(text, answers.get(names.join()) ?? text);
      answers.set(names.join(), text);
    }
    for (const [names, text] of answers) {
      assert.equal(text, await greedy("?who are you;", names === "" ? [] : names.split(",")));
    }
    assert.equal(new Set(answers.values()).size, 4);
    assert.throws(() => session.use(["pirat"]), /"pirate"/);
    assert.deepEqual(session.active, ["poet"]);
    await session.close();
  });

  test("without a template, goes on with the text and remembers nothing", async () => {
    const session = chat({ templateOf: () => undefined });
    const first = await session.ask("hello");
    // With the token that begins a text.
    assert.equal(first.promptTokens, 6);
    assert.equal((await session.ask("hello")).text, first.text);
    assert.deepEqual(session.messages, []);
    await session.close();
  });

  test("when it is full, says that the oldest turns are not seen", async () => {
    const session = chat({ generation: { maxNewTokens: 6, stopIds: [] } });
    const forgotten: number[] = [];
    for (let i = 0; i < 6; i++) {
      const answer = await session.ask("0123456789");
      forgotten.push(answer.forgottenTurns);
      assert.ok(answer.promptTokens + answer.newTokens <= 64);
      assert.equal(
        remarks(answer, 64).some((line) => line.includes("oldest")),
        answer.forgottenTurns > 0,
      );
    }
    assert.deepEqual(forgotten.slice(0, 2), [0, 0]);
    assert.ok(forgotten.some((count) => count > 0));
    assert.equal(session.messages.length, 12);
    await assert.rejects(session.ask("a".repeat(70)), (error) => error instanceof DataError);
    // The question that was refused is not part of it.
    assert.equal(session.messages.length, 12);
    session.clear();
    assert.equal((await session.ask("a".repeat(60))).reason, "context");
    await session.close();
  });

  test("keeps what was said when it is stopped", async () => {
    const session = chat();
    const controller = new AbortController();
    const answer = await session.ask("hello", { signal: controller.signal, onText: () => controller.abort() });
    assert.equal(answer.reason, "aborted");
    assert.deepEqual(session.messages.at(-1), { role: "assistant", content: answer.text });
    const none = await session.ask("hello", { signal: controller.signal });
    assert.deepEqual([none.newTokens, session.messages.length], [0, 2]);
    await session.close();
  });

  test("each question has draws of its own, which the seed repeats", async () => {
    const generation = { doSample: true, temperature: 3, seed: 4, maxNewTokens: 12 };
    const said = async (seed: number) => {
      const session = chat({ templateOf: () => undefined, generation: { ...generation, seed } });
      const answers = [(await session.ask("hello")).text, (await session.ask("hello")).text];
      await session.close();
      return answers;
    };
    const first = await said(4);
    assert.notEqual(first[0], first[1]);
    assert.deepEqual(await said(4), first);
    assert.notDeepEqual(await said(9), first);
  });

  suite("commands", () => {
    const run = (session: ChatSession, line: string) => runSlashCommand({ session, adapters: ADAPTERS }, line);

    test("switch adapters", async () => {
      const session = chat();
      assert.equal(await run(session, "/adapter poet"), "with poet");
      assert.equal(await run(session, "/adapters"), "* poet  out/poet\n  pirate  out/pirate");
      await run(session, "/adapter poet pirate");
      assert.deepEqual(session.active, ["poet", "pirate"]);
      await run(session, "/base");
      assert.deepEqual(session.active, []);
      await assert.rejects(run(session, "/adapter pot"), /the nearest name is "poet"/);
    });

    test("set the system prompt, show and remove it", async () => {
      const session = chat();
      await run(session, "/system  speak softly ");
      assert.equal(await run(session, "/system"), "speak softly");
      await run(session, "/system -");
      assert.equal(session.system, undefined);
    });

    test("save what was said", async () => {
      const session = chat({ system: "kind" });
      const [lines, whole] = [join(folder.dir, "chat.jsonl"), join(folder.dir, "chat.json")];
      assert.match((await run(session, `/save ${lines}`))!, /nothing/);
      await session.ask("hello");
      await run(session, `/save ${lines}`);
      await run(session, `/save ${lines}`);
      const written = (await readFile(lines, "utf8"))
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown);
      assert.deepEqual(written, [{ messages: session.messages }, { messages: session.messages }]);
      await run(session, `/save ${whole}`);
      assert.deepEqual(JSON.parse(await readFile(whole, "utf8")), [{ messages: session.messages }]);
      await assert.rejects(run(session, `/save ${whole}`), /is there already/);
      await assert.rejects(run(session, `/save ${join(folder.dir, "no", "x")}`), /cannot be written \(ENOENT\)/);
      await session.close();
    });

    test("forget, help, end, and name the nearest", async () => {
      const session = chat();
      await session.ask("hello");
      await run(session, "/clear");
      assert.deepEqual(session.messages, []);
      assert.match((await run(session, "/help"))!, /\/adapter NAME/);
      assert.equal(await run(session, "/exit"), undefined);
      assert.equal(await run(session, "/quit"), undefined);
      await assert.rejects(run(session, "/clera"), /nearest one is \/clear/);
      await session.close();
    });
  });
});

suite("the report of an answer", () => {
  const answer = {
    text: "",
    reason: "stop",
    promptTokens: 30,
    reusedTokens: 10,
    newTokens: 11,
    prefillMs: 200,
    decodeMs: 500,
    forgottenTurns: 0,
  } as const;

  test("counts what was computed", () => {
    assert.deepEqual(speedOf(answer), { prefillTokensPerSecond: 100, decodeTokensPerSecond: 20 });
    assert.equal(speedLine(answer), "11 tokens, 20.0 tokens/s; prompt: 30 tokens (10 kept from before), 100 tokens/s");
    const none = { ...answer, newTokens: 0, reusedTokens: 0 };
    assert.deepEqual(speedOf(none), { prefillTokensPerSecond: null, decodeTokensPerSecond: null });
    assert.equal(speedLine(none), "0 tokens; prompt: 30 tokens");
  });

  test("says why an answer ended", () => {
    assert.deepEqual(remarks(answer, 64), []);
    assert.match(remarks({ ...answer, reason: "length" }, 64).join(), /max-new-tokens/);
    assert.match(remarks({ ...answer, reason: "context" }, 64).join(), /64 positions are full/);
    assert.match(remarks({ ...answer, forgottenTurns: 2 }, 64).join(), /oldest 2 questions/);
  });
});
