import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { compileTemplate } from "../../../src/data/text/chat-template.ts";
import type { JinjaTemplate } from "../../../src/data/text/chat-template.ts";
import type { Message, Role } from "../../../src/data/sample.ts";
import { ConfigError, DataError } from "../../../src/errors.ts";
import { SHARED_DATA } from "./fixtures.ts";

interface Case {
  readonly conversation: string;
  readonly add_generation_prompt?: boolean;
  readonly enable_thinking?: boolean;
  readonly text?: string;
  readonly sha256?: string;
  readonly refused?: string;
}

interface WireMessage {
  readonly role: Role;
  readonly content: string;
  readonly tool_calls?: readonly { readonly function: { readonly name: string; readonly arguments: unknown } }[];
}

interface Golden {
  readonly tokens: Readonly<Record<string, string>>;
  readonly tools: readonly unknown[];
  readonly conversations: Readonly<Record<string, readonly WireMessage[]>>;
  readonly text: Readonly<Record<string, { readonly source: string; readonly cases: readonly Case[] }>>;
  readonly files: Readonly<Record<string, readonly Case[]>>;
}

const golden = JSON.parse(
  readFileSync(new URL("../../../../golden/chat-templates.json", import.meta.url), "utf8"),
) as Golden;

function conversation(name: string): Message[] {
  return golden.conversations[name]!.map(({ role, content, tool_calls: calls }) => ({
    role,
    content,
    ...(calls && {
      toolCalls: calls.map((call) => ({ name: call.function.name, arguments: call.function.arguments })),
    }),
  }));
}

function check(template: JinjaTemplate, wanted: Case): void {
  const messages = conversation(wanted.conversation);
  const addGenerationPrompt = wanted.add_generation_prompt ?? false;
  const render = (): string =>
    template.render(addGenerationPrompt ? messages.slice(0, -1) : messages, {
      addGenerationPrompt,
      ...(wanted.conversation === "tools" && { tools: golden.tools }),
      ...(wanted.enable_thinking !== undefined && { enableThinking: wanted.enable_thinking }),
      variables: { date_string: "26 Jul 2024" },
    });
  const label = JSON.stringify({ ...wanted, text: undefined });
  if (wanted.refused !== undefined) {
    assert.throws(render, DataError, label);
  } else if (wanted.sha256 === undefined) {
    assert.equal(render(), wanted.text, label);
  } else {
    assert.equal(createHash("sha256").update(render()).digest("hex"), wanted.sha256, `${label}: ${render()}`);
  }
}

suite("templates render as transformers renders them", () => {
  for (const [name, { source, cases }] of Object.entries(golden.text)) {
    test(name, () => {
      const template = compileTemplate(name, source, golden.tokens);
      for (const wanted of cases) check(template, wanted);
    });
  }
  for (const [file, cases] of Object.entries(golden.files)) {
    const path = join(SHARED_DATA, file);
    test(file, { skip: existsSync(path) ? false : `no ${path}` }, () => {
      const content = readFileSync(path, "utf8");
      const source = file.endsWith(".json")
        ? (JSON.parse(content) as { chat_template: string }).chat_template
        : content;
      const template = compileTemplate(file, source, golden.tokens);
      for (const wanted of cases) check(template, wanted);
    });
  }
});

suite("chat templates", () => {
  const user: Message = { role: "user", content: "x" };

  test("what a template says against a conversation is said", () => {
    const template = compileTemplate("a", "{{ raise_exception('only ' ~ messages[0].role ~ 's') }}", {});
    assert.throws(
      () => template.render([user]),
      (error: unknown) => error instanceof DataError && error.message.includes("refuses the conversation: only users"),
    );
  });

  test("a template that is no Jinja is a mistake in the configuration", () => {
    assert.throws(() => compileTemplate("dir", "{% for x in %}", {}), ConfigError);
  });

  test("a template that fails on its own says where", () => {
    const template = compileTemplate("dir/template", "{{ messages.nothing.more() }}", {});
    assert.throws(() => template.render([user]), /dir\/template: the chat template fails/);
  });

  test("dates are Python's, in English", () => {
    const template = compileTemplate("a", "{{ strftime_now('%d %b %Y, %A %j %-d %H:%M %Q') }}", {});
    assert.equal(template.render([user], { now: new Date(2026, 4, 3, 7, 5) }), "03 May 2026, Sunday 123 3 07:05 %Q");
  });

  test("a bare function is offered as OpenAI has it", () => {
    const template = compileTemplate("a", "{{ tools[0].type }} {{ tools[0].function.name }}", {});
    assert.equal(template.render([user], { tools: [{ name: "f" }] }), "function f");
  });

  test("no tools are none", () => {
    const template = compileTemplate("a", "{{ tools is none }}", {});
    assert.equal(template.render([user], { tools: [] }).toLowerCase(), "true");
  });
});
