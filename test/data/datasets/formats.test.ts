import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { detectFormat } from "../../../src/data/datasets/formats/detect.ts";
import { toRow } from "../../../src/data/datasets/formats/format.ts";
import type { JsonRecord } from "../../../src/data/datasets/readers/reader.ts";

const source = { dataset: "d", file: "d.jsonl", line: 7 };

/** The sample of a record whose format is detected, as `role: content` lines, calls as `role> name(arguments)`. */
function lines(record: JsonRecord): string[] {
  const row = toRow(record, detectFormat([record], "d"), source);
  if (row.kind === "bad") return [`bad: ${row.reason}`];
  if (row.kind === "text" || row.kind === "class") return [row.text];
  return row.messages.flatMap(({ role, content, toolCalls = [] }) => [
    ...(content === "" && toolCalls.length > 0 ? [] : [`${role}: ${content}`]),
    ...toolCalls.map((call) => `${role}> ${call.name}(${JSON.stringify(call.arguments)})`),
  ]);
}

/** Why a record is bad, when a sound one tells the format. */
function reason(sound: JsonRecord, record: JsonRecord): string {
  const row = toRow(record, detectFormat([sound], "d"), source);
  assert.equal(row.kind, "bad");
  assert.deepEqual(row.source, source);
  return row.kind === "bad" ? row.reason : "";
}

const detected = (...records: JsonRecord[]) => detectFormat(records, "my data").format.name;
const refused = (record: JsonRecord, pattern: RegExp) => {
  assert.throws(() => detectFormat([record], "my data"), pattern);
};

suite("alpaca", () => {
  test("instruction and input are joined; system and history come first", () => {
    assert.deepEqual(lines({ instruction: "Add", input: "2 + 3", output: "5" }), ["user: Add\n2 + 3", "assistant: 5"]);
    const record = { instruction: "c", input: null, output: "d", system: "s", history: [["a", "b"]] };
    assert.deepEqual(lines(record), ["system: s", "user: a", "assistant: b", "user: c", "assistant: d"]);
    assert.deepEqual(lines({ instruction: "", input: "x", output: "y" }), ["user: x", "assistant: y"]);
  });

  test("Dolly's context is the input", () => {
    assert.deepEqual(lines({ instruction: "a", context: "b", response: "c", category: "qa" }), [
      "user: a\nb",
      "assistant: c",
    ]);
  });

  test("bad records", () => {
    const sound = { instruction: "a", input: "", output: "b", history: [] };
    assert.equal(reason(sound, { instruction: "a", input: "" }), 'column "output" is missing');
    assert.equal(reason(sound, { ...sound, output: " \n" }), 'column "output" is empty');
    assert.equal(reason(sound, { ...sound, output: 5 }), 'column "output" is a number, not text');
    assert.equal(reason(sound, { input: "", output: "b" }), 'column "instruction" is missing');
    assert.equal(
      reason(sound, { ...sound, history: [["q"]] }),
      'column "history" (history) has a turn that is not [question, answer]',
    );
    assert.equal(reason(sound, { ...sound, history: [["q", ""]] }), 'column "history" (history) has an empty answer');
  });
});

suite("conversations", () => {
  test("sharegpt with tools: calls are parsed, schemas wrapped", () => {
    const tool = { name: "f", parameters: { type: "object" } };
    const record = {
      conversations: [
        { from: "human", value: "hi" },
        { from: "function_call", value: '<think>hm</think>{"name": "f", "arguments": {"x": 1}}' },
        { from: "observation", value: "[1]" },
        { from: "function_call", value: '[{"name": "f", "arguments": "{\\"x\\": 2}"}, {"name": "g"}]' },
        { from: "observation", value: "[2]" },
        { from: "gpt", value: "done" },
      ],
      system: "be kind",
      tools: JSON.stringify([tool]),
    };
    assert.deepEqual(lines(record), [
      "system: be kind",
      "user: hi",
      "assistant: <think>hm</think>",
      'assistant> f({"x":1})',
      "tool: [1]",
      'assistant> f({"x":2})',
      "assistant> g({})",
      "tool: [2]",
      "assistant: done",
    ]);
    const row = toRow(record, detectFormat([record], "d"), source);
    assert.deepEqual(row.kind === "chat" && row.tools, [{ type: "function", function: tool }]);
  });

  test("a system message in the list goes before the column", () => {
    const conversations = [
      { from: "system", value: "first" },
      { from: "user", value: "a" },
      { from: "assistant", value: "b" },
    ];
    assert.deepEqual(lines({ conversations, system: "second" }), ["system: first", "user: a", "assistant: b"]);
  });

  test("OpenAI: tool_calls, several results, content parts, reasoning", () => {
    const call = (city: string) => ({
      id: "1",
      type: "function",
      function: { name: "w", arguments: `{"city": "${city}"}` },
    });
    const messages = [
      { role: "developer", content: "s" },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", value: "b" },
        ],
      },
      { role: "assistant", content: null, tool_calls: [call("Rome"), call("Bonn")] },
      { role: "tool", content: "1" },
      { role: "tool", content: "2" },
      { role: "assistant", content: "c", reasoning_content: "hm", weight: 1 },
      { role: "user", content: "d" },
      {
        role: "assistant",
        content: [
          { type: "reasoning", value: "so" },
          { type: "tool_call", value: '{"name": "x"}' },
        ],
      },
      { role: "tool", content: "3" },
      { role: "assistant", content: "e" },
    ];
    assert.deepEqual(lines({ messages }), [
      "system: s",
      "user: ab",
      'assistant> w({"city":"Rome"})',
      'assistant> w({"city":"Bonn"})',
      "tool: 1",
      "tool: 2",
      "assistant: <think>\nhm\n</think>\n\nc",
      "user: d",
      "assistant: <think>\nso\n</think>\n\n",
      "assistant> x({})",
      "tool: 3",
      "assistant: e",
    ]);
  });

  test("lists may be JSON text, as in CSV", () => {
    const messages = JSON.stringify([
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ]);
    assert.deepEqual(lines({ messages }), ["user: a", "assistant: b"]);
  });

  test("bad records", () => {
    const chat = (...turns: [string, unknown, object?][]) => ({
      messages: turns.map(([role, content, more]) => ({ role, content, ...more })),
    });
    const sound = chat(["user", "a"], ["assistant", "b"]);
    const bad = (record: JsonRecord) => reason(sound, record);
    assert.match(bad(chat(["user", "a"])), /^the last message is of the user/);
    assert.match(bad(chat(["assistant", "a"])), /^message 1 \(assistant\) is out of order/);
    assert.match(
      bad(chat(["user", "a"], ["user", "b"], ["assistant", "c"])),
      /^message 2 \(user\) is out of order: user cannot come after user/,
    );
    assert.match(bad(chat(["user", "a"], ["assistant", "b"], ["assistant", "c"])), /^message 3 \(assistant\)/);
    assert.match(
      bad(chat(["tool", "a"], ["assistant", "b"])),
      /^message 1 \(tool\) is out of order: tool cannot come first/,
    );
    assert.match(bad(chat(["user", "a"], ["system", "s"], ["assistant", "b"])), /^message 2 \(system\)/);
    assert.match(bad(chat(["user", "a"], ["assistant", " "])), /^message 2 is an empty answer/);
    assert.match(bad(chat(["user", ""], ["assistant", "b"])), /^message 1 \(user\) is empty/);
    assert.match(
      bad(chat(["usr", "a"], ["assistant", "b"])),
      /^message 1 has the role "usr", which is none of system, /,
    );
    assert.match(bad(chat(["user", 3], ["assistant", "b"])), /^the content of message 1 is a number, not text/);
    assert.match(
      bad(chat(["user", [{ type: "image_url", image_url: {} }]], ["assistant", "b"])),
      /kind "image_url": only text/,
    );
    assert.match(
      bad(chat(["user", "a"], ["assistant", "b", { weight: 0 }])),
      /^message 2 has weight 0: .* not supported/,
    );
    assert.match(
      bad(chat(["user", "a"], ["function_call", "f()"])),
      /^message 2 is a function call, but its text is not JSON/,
    );
    assert.match(bad(chat(["user", "a"], ["assistant", "", { tool_calls: [{ function: {} }] }])), /has no name/);
    assert.match(bad({ messages: [] }), /has no messages/);
    assert.match(bad({ messages: "hello" }), /^column "messages" is text, not a list of messages/);
    assert.match(bad({}), /^column "messages" is missing/);
    assert.match(bad({ messages: [{ content: "a" }] }), /^message 1 has no role/);
    assert.match(reason({ ...sound, tools: "[]" }, { ...sound, tools: "[" }), /^column "tools" \(tools\) is not JSON/);
  });
});

suite("two columns, and text", () => {
  test("the names of questions and answers", () => {
    for (const [prompt, response] of [
      ["prompt", "completion"],
      ["query", "response"],
      ["question", "answer"],
      ["problem", "solution"],
      ["input", "output"],
      ["instruction", "answer"],
    ] as const) {
      assert.deepEqual(lines({ [prompt]: "a", [response]: "b", system_prompt: "s" }), [
        "system: s",
        "user: a",
        "assistant: b",
      ]);
    }
  });

  test("lists of messages on both sides", () => {
    const completion = [{ role: "assistant", content: "b" }];
    assert.deepEqual(lines({ prompt: [{ role: "user", content: "a" }], completion }), ["user: a", "assistant: b"]);
    const prompt = ["user", "assistant", "user"].map((role) => ({ role, content: "a" }));
    assert.match(lines({ prompt, completion })[0]!, /^bad: column "prompt" has answers in it/);
  });

  test("text", () => {
    assert.deepEqual(lines({ text: " a\n", url: "x" }), [" a\n"]);
    assert.equal(reason({ text: "a" }, { text: " " }), 'column "text" is empty');
  });
});

suite("detectFormat", () => {
  const messages = [{ role: "user", content: "a" }];

  test("a list of messages goes before columns beside it, and columns before their rendering", () => {
    assert.equal(detected({ prompt: "a", completion: "b", messages }), "openai");
    assert.equal(detected({ instruction: "a", input: "", output: "b", text: "a b" }), "alpaca");
    assert.equal(detected({ prompt: "a", completion: "b", text: "ab" }), "prompt/completion");
  });

  test("one wrong record does not hide what the others are", () => {
    assert.equal(detected({ text: 1 }, { text: "a" }, { text: "b" }), "text");
  });

  test("says why, and which columns are not used", () => {
    assert.equal(detectFormat([{ text: "a", url: "b", id: 1 }], "d").why, 'column "text"; not used: "url", "id"');
  });

  test("what is unknown or ambiguous is refused with the columns", () => {
    refused(
      { sentence: "a", label: 1 },
      /^DataError: my data: the format is not known: got columns "sentence" \(text\), "label" \(a number\), expected alpaca .*\n {2}hint: .*dataset_info\.json/,
    );
    refused(
      { problem: "a", solution: "b", answer: "c" },
      /ambiguous: prompt\/completion by columns "problem" and "answer"; prompt\/completion by columns "problem" and "solution"/,
    );
    refused(
      { prompt: "a", text: "b" },
      /ambiguous: prompt\/completion by columns "prompt" and "text"; text by column "text"/,
    );
    refused({ messages, conversations: [{ from: "human", value: "a" }] }, /ambiguous: openai .*; sharegpt /);
    refused({}, /records without columns/);
  });

  test("preference, KTO and multimodal data are refused by name", () => {
    refused(
      { instruction: "a", input: "", chosen: "b", rejected: "c" },
      /my data: this is preference data \(DPO.*not supported yet/,
    );
    refused({ prompt: "a", completion: "b", label: true }, /my data: this is KTO data .*not supported yet/);
    refused(
      { messages, images: ["a.png"] },
      /my data: images, videos and audios are not supported: got column "images"/,
    );
    assert.equal(detected({ messages, images: [] }), "openai");
  });
});
