import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { compileTemplate } from "../../../src/data/text/chat-template.ts";
import { slotsToJinja } from "../../../src/data/text/slots-to-jinja.ts";
import { NAMES_ELSEWHERE, SLOTS } from "../../../src/data/text/template-slots.ts";
import type { TemplateSlots } from "../../../src/data/text/template-slots.ts";
import { resolveTemplate, TEMPLATE_NAMES } from "../../../src/data/text/templates.ts";
import type { Message } from "../../../src/data/sample.ts";
import { ConfigError, DataError } from "../../../src/errors.ts";
import { byteTokenizer } from "./fixtures.ts";

interface Golden {
  readonly plain: readonly string[];
  readonly system: readonly string[];
  readonly stops: readonly string[];
}

const golden = JSON.parse(
  readFileSync(new URL("../../../../golden/lf-templates.json", import.meta.url), "utf8"),
) as Readonly<Record<string, Golden>>;

const TOKENS = { bos_token: "<s>", eos_token: "</s>" };
const SYSTEM: Message = { role: "system", content: "SYS" };
const TURNS: readonly Message[] = [
  { role: "user", content: "Q1" },
  { role: "assistant", content: "A1" },
  { role: "user", content: "Q2" },
  { role: "assistant", content: "A2" },
];
const EMPTY_THOUGHT = "<think>\n\n</think>\n\n";

suite("the templates that LLaMA-Factory has names for", () => {
  for (const [name, slots] of Object.entries<TemplateSlots>(SLOTS)) {
    test(`${name} writes what LLaMA-Factory writes`, () => {
      const template = compileTemplate(name, slotsToJinja(slots), TOKENS);
      for (const [given, messages] of [
        ["plain", TURNS],
        ["system", [SYSTEM, ...TURNS]],
      ] as const) {
        // Thoughts of earlier answers are taken out, as the models' own templates do.
        const pieces = golden[name]![given].map((text, i) => (i === 1 ? text.replace(EMPTY_THOUGHT, "") : text));
        assert.equal(template.render(messages), pieces.join(""), given);
        assert.equal(
          template.render(messages.slice(0, -1), { addGenerationPrompt: true }),
          pieces.slice(0, -1).join(""),
          `${given}, asked`,
        );
      }
    });
  }

  test("every name is known, and none is both here and elsewhere", () => {
    const known = [...TEMPLATE_NAMES, ...NAMES_ELSEWHERE];
    assert.deepEqual(
      Object.keys(golden).filter((name) => !known.includes(name)),
      [],
    );
    assert.equal(new Set(known).size, known.length);
  });

  test("stop tokens are among LLaMA-Factory's", () => {
    for (const [name, { stops = [] }] of Object.entries<TemplateSlots>(SLOTS)) {
      // granite3 writes its end-of-text token as text.
      if (name !== "granite3")
        assert.deepEqual(
          stops.filter((stop) => !golden[name]!.stops.includes(stop)),
          [],
          name,
        );
    }
  });

  test("a token that the tokenizer lacks is written as nothing", () => {
    const template = compileTemplate("llama2", slotsToJinja(SLOTS.llama2), {});
    assert.equal(template.render(TURNS.slice(0, 2)), "[INST] Q1 [/INST]A1");
  });

  test("qwen offers tools, calls them and takes what they give", () => {
    const template = compileTemplate("qwen3_nothink", slotsToJinja(SLOTS.qwen3_nothink), TOKENS);
    const text = template.render(
      [
        TURNS[0]!,
        {
          role: "assistant",
          content: "",
          toolCalls: [
            { name: "f", arguments: { ä: 1 } },
            { name: "g", arguments: {} },
          ],
        },
        { role: "tool", content: "1" },
        { role: "tool", content: "2" },
        TURNS[1]!,
      ],
      { tools: [{ type: "function", function: { name: "f" } }] },
    );
    assert.match(
      text,
      /^<\|im_start\|>system\n# Tools\n\n.*<tools>\n\{"type": "function", "function": \{"name": "f"\}\}\n<\/tools>/s,
    );
    assert.ok(
      text.endsWith(
        '<|im_start|>assistant\n<tool_call>\n{"name": "f", "arguments": {"ä": 1}}\n</tool_call>\n' +
          '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call><|im_end|>\n' +
          "<|im_start|>user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>\n" +
          "<|im_start|>assistant\nA1<|im_end|>\n",
      ),
      text,
    );
  });

  test("a template without a form for tools refuses them", () => {
    const template = compileTemplate("alpaca", slotsToJinja(SLOTS.alpaca), TOKENS);
    assert.throws(() => template.render(TURNS, { tools: [{ name: "f" }] }), DataError);
    assert.throws(() => template.render([...TURNS, { role: "tool", content: "1" }]), DataError);
  });

  test("qwen3 keeps the last thought, and asks for none where thinking is off", () => {
    const template = compileTemplate("qwen3", slotsToJinja(SLOTS.qwen3), TOKENS);
    const thought = { role: "assistant", content: "<think>\nwhy\n</think>\n\nA" } as const;
    const text = template.render([TURNS[0]!, thought, TURNS[2]!, thought]);
    assert.equal(text.indexOf("why"), text.lastIndexOf("why"));
    assert.ok(text.endsWith("assistant\n<think>\nwhy\n</think>\n\nA<|im_end|>\n"), text);
    const asked = template.render(TURNS.slice(0, 1), { addGenerationPrompt: true, enableThinking: false });
    assert.ok(asked.endsWith(`assistant\n${EMPTY_THOUGHT}`), asked);
  });
});

const CHATML = slotsToJinja(SLOTS.qwen3_nothink);

suite("which template is used", () => {
  test("the model's own, where none is named", async (t) => {
    const tokenizer = await byteTokenizer(t, { chat_template: CHATML });
    for (const name of [undefined, "", "auto"]) {
      const template = resolveTemplate(tokenizer, name);
      assert.deepEqual(
        [template.name, template.origin, template.source, template.notes],
        ["auto", "model", CHATML, []],
      );
      assert.deepEqual(template.stopIds, [256, 258]);
    }
  });

  test("the model's own, where the name means the same", async (t) => {
    const tokenizer = await byteTokenizer(t, { chat_template: CHATML });
    const template = resolveTemplate(tokenizer, "yi");
    assert.deepEqual([template.name, template.origin, template.source, template.notes], ["yi", "model", CHATML, []]);
  });

  test("another default system prompt is told", async (t) => {
    const tokenizer = await byteTokenizer(t, { chat_template: CHATML });
    const { origin, notes } = resolveTemplate(tokenizer, "qwen");
    assert.equal(origin, "model");
    assert.match(notes.join(), /begins with "<\|im_start\|>user.*"qwen" with .*created by Alibaba/);
  });

  test("other white space is told", async (t) => {
    const tokenizer = await byteTokenizer(t, { chat_template: CHATML.replaceAll("<|im_end|>\\n", "<|im_end|>") });
    assert.match(resolveTemplate(tokenizer, "yi").notes.join(), /differs from it in white space/);
  });

  test("a name that means another text is refused, with both texts", async (t) => {
    const tokenizer = await byteTokenizer(t, { chat_template: CHATML });
    assert.throws(
      () => resolveTemplate(tokenizer, "alpaca"),
      (error: unknown) =>
        error instanceof ConfigError &&
        error.message.includes("### Instruction:") &&
        error.message.includes("<|im_start|>user") &&
        error.message.includes("template_override: true"),
    );
    const { origin, source, notes } = resolveTemplate(tokenizer, "alpaca", { override: true });
    assert.deepEqual([origin, source], ["named", slotsToJinja(SLOTS.alpaca)]);
    assert.match(notes.join(), /takes the place of the model's own/);
  });

  test("only the thoughts tell qwen3 from qwen3_nothink", async (t) => {
    const tokenizer = await byteTokenizer(t, { chat_template: slotsToJinja(SLOTS.qwen3) });
    assert.deepEqual(resolveTemplate(tokenizer, "qwen3").notes, []);
    assert.throws(() => resolveTemplate(tokenizer, "qwen3_nothink"), ConfigError);
  });

  test("the named one, where the model has none; and its stop tokens", async (t) => {
    const tokenizer = await byteTokenizer(t);
    const template = resolveTemplate(tokenizer, "chatml");
    assert.deepEqual([template.origin, template.stopIds], ["named", [258, 256]]);
    assert.match(template.notes.join(), /saved as chat_template\.jinja/);
    assert.equal(
      template.render(TURNS.slice(0, 1), { addGenerationPrompt: true }),
      "<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  test("a stop token that the tokenizer lacks", async (t) => {
    const tokenizer = await byteTokenizer(t);
    assert.throws(() => resolveTemplate(tokenizer, "llama3"), /<\|eot_id\|>.*does not have as a token/);
  });

  test("neither a name nor an own one", async (t) => {
    const tokenizer = await byteTokenizer(t);
    assert.throws(() => resolveTemplate(tokenizer, undefined), /template: needed.*template: default` works/s);
  });

  test("a misspelt name, and one that is LLaMA-Factory's but not ours", async (t) => {
    const tokenizer = await byteTokenizer(t);
    assert.throws(() => resolveTemplate(tokenizer, "lama3"), /no such template: got lama3.*did you mean "llama3"/s);
    assert.throws(() => resolveTemplate(tokenizer, "qwen2_vl"), /a template of LLaMA-Factory that is not supported/);
    assert.throws(() => resolveTemplate(tokenizer, "toString"), /no such template/);
  });

  test("tools have a template of their own, where the model has one", async (t) => {
    const tokenizer = await byteTokenizer(t, {
      chat_template: [
        { name: "default", template: "plain{% for m in messages %}{{ m.content }}{% endfor %}" },
        { name: "tool_use", template: "tools{% for m in messages %}{{ m.content }}{% endfor %}" },
      ],
    });
    const template = resolveTemplate(tokenizer, undefined);
    assert.equal(template.render(TURNS.slice(0, 1)), "plainQ1");
    assert.equal(template.render(TURNS.slice(0, 1), { tools: [{ name: "f" }] }), "toolsQ1");
  });

  test("a system prompt that the template refuses, or loses, goes before the first question", async (t) => {
    const refusing =
      "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" +
      "{% for m in messages %}<{{ m.content }}>{% endfor %}";
    const losing = "{% for m in messages if m.role != 'system' %}<{{ m.content }}>{% endfor %}";
    for (const source of [refusing, losing]) {
      const template = resolveTemplate(await byteTokenizer(t, { chat_template: source }), undefined);
      assert.equal(template.render([SYSTEM, ...TURNS.slice(0, 2)]), "<SYS\n\nQ1><A1>");
      assert.match(template.notes.join(), /no place for a system prompt/);
    }
  });
});
