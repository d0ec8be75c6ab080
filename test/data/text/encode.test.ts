import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { TestContext } from "node:test";
import { IGNORED } from "../../../src/data/sample.ts";
import type { ChatSample, Message, Sample } from "../../../src/data/sample.ts";
import { encodeSample } from "../../../src/data/text/encode.ts";
import type { EncodeSettings, Kept } from "../../../src/data/text/encode.ts";
import { slotsToJinja } from "../../../src/data/text/slots-to-jinja.ts";
import { SLOTS } from "../../../src/data/text/template-slots.ts";
import { resolveTemplate } from "../../../src/data/text/templates.ts";
import type { ChatTemplate } from "../../../src/data/text/templates.ts";
import { loadTokenizer } from "../../../src/data/text/tokenizer.ts";
import type { Tokenizer } from "../../../src/data/text/tokenizer.ts";
import { ConfigError, DataError } from "../../../src/errors.ts";
import { byteTokenizer, chat, plain, SHARED_DATA } from "./fixtures.ts";

const SETTINGS: EncodeSettings = { cutoffLen: 4096, overLength: "error" };
const golden = JSON.parse(readFileSync(new URL("../../../../golden/chat-templates.json", import.meta.url), "utf8")) as {
  text: Readonly<Record<string, { source: string }>>;
};

interface Rig {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly encode: (sample: Sample, settings?: Partial<EncodeSettings>) => Promise<Kept>;
  /** Texts that are trained on, one for each run of tokens; `[…]` around what is not. */
  readonly marked: (kept: Kept) => string;
  /** Why a sample was left out. */
  readonly dropped: (sample: Sample, settings?: Partial<EncodeSettings>) => Promise<string>;
}

async function rig(t: TestContext, chatTemplate: string, config: Readonly<Record<string, unknown>> = {}): Promise<Rig> {
  return rigOf(await byteTokenizer(t, { chat_template: chatTemplate, bos_token: "<s>", ...config }));
}

function rigOf(tokenizer: Tokenizer, name?: string): Rig {
  const template = resolveTemplate(tokenizer, name);
  return {
    tokenizer,
    template,
    async encode(sample, settings) {
      const result = await encodeSample(sample, tokenizer, template, { ...SETTINGS, ...settings });
      assert.ok("encoded" in result, JSON.stringify(result));
      const { inputIds, labels } = result.encoded;
      assert.equal(inputIds.length, labels.length);
      for (const [i, label] of labels.entries()) assert.ok(label === IGNORED || label === inputIds[i], `label ${i}`);
      return result;
    },
    async dropped(sample, settings) {
      const result = await encodeSample(sample, tokenizer, template, { ...SETTINGS, ...settings });
      assert.ok("dropped" in result);
      return result.dropped;
    },
    marked({ encoded: { inputIds, labels } }) {
      let text = "";
      for (let from = 0, to = 0; from < inputIds.length; from = to) {
        const isTrained = labels[from] !== IGNORED;
        while (to < inputIds.length && (labels[to] !== IGNORED) === isTrained) to++;
        const piece = tokenizer.decode(inputIds.subarray(from, to));
        text += isTrained ? piece : `[${piece}]`;
      }
      return text;
    },
  };
}

const CHATML = slotsToJinja(SLOTS.qwen3_nothink);
const OPENED = "<|im_start|>assistant\n";
const asked = (question: string): string => `<|im_start|>user\n${question}<|im_end|>\n${OPENED}`;

suite("what is trained on", () => {
  test("the answer and its stop token, and no line break after it", async (t) => {
    const { encode, marked, tokenizer } = await rig(t, CHATML);
    const kept = await encode(chat("Hi", "Hello"));
    assert.equal(marked(kept), `[${asked("Hi")}]Hello<|im_end|>`);
    assert.equal(kept.encoded.inputIds.at(-1), tokenizer.idOf("<|im_end|>"));
    assert.equal(kept.encoded.labels.at(-1), tokenizer.idOf("<|im_end|>"));
    assert.deepEqual([kept.stopTrained, kept.remarks, kept.truncatedFrom], [true, [], undefined]);
  });

  test("the tokens of a question are those that the model is asked with", async (t) => {
    const { encode, template, tokenizer } = await rig(t, CHATML);
    const sample = chat("Ä", "1", "B", "2");
    const { inputIds, labels } = (await encode(sample)).encoded;
    for (const index of [1, 3]) {
      const text = template.render(sample.messages.slice(0, index), { addGenerationPrompt: true });
      const prompt = await tokenizer.encode(text);
      assert.deepEqual(inputIds.slice(0, prompt.length), prompt);
      assert.equal(labels[prompt.length - 1], IGNORED);
      assert.notEqual(labels[prompt.length], IGNORED);
    }
  });

  test("each answer of a conversation; with mask_history the last", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const sample = chat("A", "1", "B", "2");
    assert.equal(marked(await encode(sample)), `[${asked("A")}]1<|im_end|>[\n${asked("B")}]2<|im_end|>`);
    assert.equal(
      marked(await encode(sample, { maskHistory: true })),
      `[${asked("A")}1<|im_end|>\n${asked("B")}]2<|im_end|>`,
    );
  });

  test("questions too, with train_on_prompt; but never the first token", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const kept = await encode(chat("A", "1", "B", "2"), { trainOnPrompt: true });
    assert.equal(marked(kept), `[<|im_start|>]${asked("A").slice(12)}1<|im_end|>\n${asked("B")}2<|im_end|>`);
    await assert.rejects(encode(chat("A", "1"), { trainOnPrompt: true, maskHistory: true }), ConfigError);
  });

  test("calls of tools, and not what tools give", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const sample: ChatSample = {
      ...chat("A"),
      messages: [
        { role: "user", content: "A" },
        { role: "assistant", content: "Let me see.", toolCalls: [{ name: "f", arguments: { x: 1 } }] },
        { role: "tool", content: "1" },
        { role: "assistant", content: "One." },
      ],
    };
    const call = 'Let me see.\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>';
    assert.equal(
      marked(await encode(sample)),
      `[${asked("A")}]${call}[\n${asked("\n<tool_response>\n1\n</tool_response>").replace("user\n\n", "user\n")}]One.<|im_end|>`,
    );
  });

  test("a system prompt of the settings, where the conversation has none", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const system = "<|im_start|>system\nS<|im_end|>\n";
    assert.equal(marked(await encode(chat("A", "1"), { defaultSystem: "S" })), `[${system}${asked("A")}]1<|im_end|>`);
    const own = { ...chat(), messages: [{ role: "system", content: "T" }, ...chat("A", "1").messages] } as const;
    assert.ok(marked(await encode(own, { defaultSystem: "S" })).startsWith("[<|im_start|>system\nT<"));
  });

  test("an answer that quotes a stop token is trained on to its end", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const sample = chat("A", "It is <|im_end|> there", "B", "2");
    assert.ok(marked(await encode(sample)).includes("]It is <|im_end|> there<|im_end|>["));
  });

  test("answers that repeat the question, the opening or each other", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const answers = ["user", "assistant\n", "", "<", "<|im_start"];
    const sample = chat(...answers.flatMap((answer) => [answer, answer]));
    const expected = answers.map((answer, i) => `[${i > 0 ? "\n" : ""}${asked(answer)}]${answer}<|im_end|>`);
    assert.equal(marked(await encode(sample)), expected.join(""));
  });
});

suite("what is left out", () => {
  test("a question at the end", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const kept = await encode(chat("A", "1", "B"));
    assert.equal(marked(kept), `[${asked("A")}]1<|im_end|>`);
    assert.deepEqual(kept.remarks, ["unanswered-dropped"]);
  });

  test("conversations without an answer, and those that the template refuses", async (t) => {
    const { dropped } = await rig(t, CHATML);
    assert.match(await dropped(chat("A")), /no answer of the assistant/);
    const refusing = await rig(t, golden.text["gemma"]!.source);
    const messages = [...chat("A").messages, ...chat("B", "1").messages];
    assert.match(
      await refusing.dropped({ ...chat(), messages }),
      /refuses the conversation: Conversation roles must alternate/,
    );
  });

  test("a conversation needs a template and a text does not", async (t) => {
    const tokenizer = await byteTokenizer(t);
    await assert.rejects(encodeSample(chat("A", "1"), tokenizer, undefined, SETTINGS), ConfigError);
    assert.ok("encoded" in (await encodeSample(plain("A"), tokenizer, undefined, SETTINGS)));
  });
});

suite("templates with habits", () => {
  test("Qwen3: earlier thoughts are not trained on, since the template takes them out, and that is said", async (t) => {
    const { encode, marked } = await rig(t, golden.text["qwen3"]!.source);
    const sample = chat("A", "<think>\nx\n</think>\n\n1", "B", "<think>\ny\n</think>\n\n2");
    const kept = await encode(sample);
    assert.equal(marked(kept), `[${asked("A")}]1<|im_end|>[\n${asked("B")}]<think>\ny\n</think>\n\n2<|im_end|>`);
    assert.deepEqual(kept.remarks, ["history-rewritten"]);
    const last = await encode(sample, { maskHistory: true });
    assert.equal(marked(last), `[${asked("A")}1<|im_end|>\n${asked("B")}]<think>\ny\n</think>\n\n2<|im_end|>`);
    assert.deepEqual(last.remarks, []);
  });

  test("Qwen3: an empty thought is trained on with thinking, and asked with without", async (t) => {
    const { encode, marked } = await rig(t, golden.text["qwen3"]!.source);
    const empty = "<think>\n\n</think>\n\n";
    assert.equal(marked(await encode(chat("A", " 1"))), `[${asked("A")}]${empty} 1<|im_end|>`);
    const off = await encode(chat("A", "<think>\nx\n</think>\n\n1"), { enableThinking: false });
    assert.equal(marked(off), `[${asked("A")}${empty}]1<|im_end|>`);
    // Earlier answers have no thought in the text, so that the opening is all that is before them.
    const turns = await encode(chat("A", "<b>1", "B", "2"), { enableThinking: false });
    assert.equal(marked(turns), `[${asked("A")}]<b>1<|im_end|>[\n${asked("B")}${empty}]2<|im_end|>`);
    assert.ok(turns.remarks.includes("prompt-differs"));
  });

  test("Qwen3: thoughts between calls of tools", async (t) => {
    const { encode, marked } = await rig(t, golden.text["qwen3"]!.source);
    const thought = (word: string): string => `<think>\n${word}\n</think>\n\n`;
    const messages = [
      { role: "user", content: "A" },
      { role: "assistant", content: thought("x"), toolCalls: [{ name: "f", arguments: {} }] },
      { role: "tool", content: "1" },
      { role: "assistant", content: `${thought("y")}One.` },
      { role: "user", content: "B" },
      { role: "assistant", content: `${thought("z")}Two.` },
    ] as const;
    const call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>';
    assert.equal(
      marked(await encode({ ...chat(), messages })),
      `[${asked("A")}]${call}[\n${asked("<tool_response>\n1\n</tool_response>")}]One.<|im_end|>` +
        `[\n${asked("B")}]${thought("z")}Two.<|im_end|>`,
    );
  });

  test("R1: the text has no thought where the model is asked for one, and that is said", async (t) => {
    const { encode, marked } = await rig(t, golden.text["r1"]!.source, { eos_token: "</s>" });
    const kept = await encode(chat("A", "1", "B", "2"));
    assert.equal(
      marked(kept).replaceAll("<｜end▁of▁sentence｜>", "</s>"),
      "[<s><｜User｜>A<｜Assistant｜>]1</s>[</s><｜User｜>B<｜Assistant｜>]2</s>",
    );
    assert.ok(kept.remarks.includes("prompt-differs"));
  });

  test("Phi: an end of text after the last answer is not its stop token", async (t) => {
    const { encode, marked, template } = await rig(t, golden.text["phi"]!.source);
    assert.deepEqual(template.stopIds, [256, 263]);
    const kept = await encode(chat("A", "1", "B", "2"));
    const turn = (question: string): string => `<|user|>\n${question}<|end|>\n<|assistant|>\n`;
    assert.equal(marked(kept), `[${turn("A")}]1<|end|>[\n${turn("B")}]2<|end|>`);
    assert.deepEqual(kept.remarks, []);
  });

  test("Llama 2: a space before the answer and one before the stop token", async (t) => {
    const { encode, marked } = await rig(t, golden.text["llama2"]!.source, { eos_token: "</s>" });
    assert.equal(
      marked(await encode(chat("A", "1", "B", "2"))),
      "[<s>[INST] A [/INST]] 1 </s>[<s>[INST] B [/INST]] 2 </s>",
    );
  });

  test("a template that forgets the end of an answer gets one", async (t) => {
    const { encode, marked } = rigOf(await byteTokenizer(t), "empty");
    const kept = await encode(chat("A\n", "1", "B\n", "2"));
    assert.equal(marked(kept), "[A\n]1<|endoftext|>[B\n]2<|endoftext|>");
    assert.deepEqual([kept.stopTrained, kept.remarks], [true, ["eos-appended"]]);
  });

  test("LLaMA-Factory's names end their answers", async (t) => {
    const tokenizer = await byteTokenizer(t);
    for (const [name, text] of [
      ["default", "[Human: A<|endoftext|>\nAssistant:]1<|endoftext|>"],
      ["vicuna", "ASSISTANT:]1<|endoftext|>"],
      ["alpaca", "### Instruction:\nA\n\n### Response:\n]1<|endoftext|>"],
      ["mistral", "[[INST] A[/INST]] 1<|endoftext|>"],
    ] as const) {
      const { encode, marked } = rigOf(tokenizer, name);
      const kept = await encode(chat("A", "1"));
      assert.ok(marked(kept).endsWith(text), marked(kept));
      assert.deepEqual([kept.stopTrained, kept.remarks], [true, []], name);
    }
  });
});

suite("too long", () => {
  const long = chat("A".repeat(100), "B".repeat(100));

  test("is an error that says which sample, or a reason to leave it out", async (t) => {
    const { encode, dropped } = await rig(t, CHATML);
    await assert.rejects(
      encode(long, { cutoffLen: 64 }),
      (error: unknown) =>
        error instanceof DataError &&
        /d\.jsonl:7: longer than cutoff_len: got \d+ tokens.*over_length/s.test(error.message),
    );
    assert.equal(await dropped(long, { cutoffLen: 64, overLength: "drop" }), "longer than cutoff_len 64");
  });

  test("an answer that is cut does not end, and a sample that just fits is not cut", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const whole = (await encode(long)).encoded.inputIds.length;
    const cut = await encode(long, { cutoffLen: 64, overLength: "truncate" });
    assert.deepEqual([cut.truncatedFrom, cut.stopTrained, cut.encoded.inputIds.length], [whole, false, 64]);
    assert.ok(marked(cut).endsWith("BBB"));
    // What closes the question and opens the answer stays.
    assert.match(marked(cut), /^\[<\|im_start\|>user\nA+<\|im_end\|>\n<\|im_start\|>assistant\n\]B+$/);
    const fits = await encode(long, { cutoffLen: whole });
    assert.deepEqual([fits.truncatedFrom, fits.stopTrained], [undefined, true]);
  });

  test("a question that is cut leaves the answer whole, with its end", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const cut = await encode(chat("A".repeat(100), "B"), { cutoffLen: 64, overLength: "truncate" });
    assert.match(marked(cut), /\]B<\|im_end\|>$/);
    assert.deepEqual([cut.stopTrained, cut.encoded.inputIds.length], [true, 64]);
  });

  test("with mask_history the oldest goes first", async (t) => {
    const { encode, marked } = await rig(t, CHATML);
    const sample = chat("A".repeat(100), "1", "B", "C".repeat(40));
    const cut = await encode(sample, { cutoffLen: 100, overLength: "truncate", maskHistory: true });
    assert.ok(marked(cut).endsWith(`${asked("B")}]${"C".repeat(40)}<|im_end|>`), marked(cut));
    assert.equal(cut.encoded.inputIds.length, 100);
  });

  test("no room for any of an answer", async (t) => {
    const { dropped } = await rig(t, CHATML);
    assert.match(
      await dropped(chat("A".repeat(1000), "B"), { cutoffLen: 1, overLength: "truncate" }),
      /nothing of an answer/,
    );
  });
});

suite("plain text", () => {
  test("is trained on from the second token on, with its end", async (t) => {
    const tokenizer = await byteTokenizer(t);
    const { encode } = rigOf(tokenizer, "default");
    const kept = await encode(plain("abc"));
    assert.deepEqual([...kept.encoded.inputIds], [97, 98, 99, 256]);
    assert.deepEqual([...kept.encoded.labels], [IGNORED, 98, 99, 256]);
    assert.equal(kept.stopTrained, true);
    const ended = await encode(plain("a<|endoftext|>"));
    assert.deepEqual([...ended.encoded.inputIds], [97, 256]);
  });

  test("begins with the token of beginnings, where the model has one", async (t) => {
    const { encode } = await rig(t, CHATML, { add_bos_token: true });
    assert.deepEqual([...(await encode(plain("a"))).encoded.inputIds], [260, 97, 256]);
  });

  test("is cut like any other sample", async (t) => {
    const { encode } = await rig(t, CHATML);
    const kept = await encode(plain("abcdef"), { cutoffLen: 3, overLength: "truncate" });
    assert.deepEqual([[...kept.encoded.inputIds], kept.truncatedFrom, kept.stopTrained], [[97, 98, 99], 7, false]);
    await assert.rejects(encode(plain("abcdef"), { cutoffLen: 3 }), DataError);
  });
});

const tinystories = join(SHARED_DATA, "tinystories-656k");
const minimind = join(SHARED_DATA, "tokenizers/minimind");
suite("real tokenizers", () => {
  test(
    "a piece from the middle has no space of its own",
    { skip: existsSync(tinystories) ? false : "no data" },
    async () => {
      const { encode, tokenizer } = rigOf(await loadTokenizer(tinystories), "vicuna");
      const kept = await encode(chat("Who is Lily?", "Lily is a girl.", "And?", "She is little."));
      const text = tokenizer.decode(kept.encoded.inputIds, { skipSpecialTokens: true });
      assert.ok(text.endsWith("USER: Who is Lily? ASSISTANT:Lily is a girl.USER: And? ASSISTANT:She is little."), text);
      // The answer that a model gives after the colon begins without a space.
      const first = kept.encoded.labels.find((label) => label !== IGNORED);
      assert.ok(!tokenizer.tokenOf(first!)!.startsWith("\u2581"), tokenizer.tokenOf(first!));
    },
  );

  test(
    "MiniMind asks with an empty thought, which is not trained on",
    { skip: existsSync(minimind) ? false : "no data" },
    async () => {
      const { encode, marked } = rigOf(await loadTokenizer(minimind));
      const kept = await encode(chat("Hi", "Hello"));
      assert.equal(marked(kept), `[${asked("Hi")}<think>\n\n</think>\n\n]Hello<|im_end|>`);
      assert.deepEqual([kept.stopTrained, kept.remarks], [true, []]);
    },
  );

  test("tools that a template leaves out are said, and a call that it leaves out is not trained on as an empty answer", async (t) => {
    const { encode, dropped } = await rig(
      t,
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    const tools = [{ type: "function", function: { name: "get_weather", parameters: {} } }];
    const plainly = chat("Rain?", "No.");
    assert.deepEqual((await encode(plainly)).remarks, []);
    assert.deepEqual((await encode({ ...plainly, tools })).remarks, ["tools-left-out"]);
    const call: Message = { role: "assistant", content: "", toolCalls: [{ name: "get_weather", arguments: {} }] };
    const calling = { ...plainly, messages: [plainly.messages[0]!, call] };
    assert.match(await dropped(calling), /calls a tool, and the chat template does not write calls/);
  });
});
