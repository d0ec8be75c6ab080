/** A format given as texts around messages, as the Jinja template that a tokenizer's folder has. */
import type { TemplateSlots } from "./template-slots.ts";

/** How Qwen2.5 and Qwen3 tell a model of its tools. */
const QWEN_TOOLS = [
  "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" +
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>",
  "\n</tools>\n\nFor each function call, return a json object with function name and arguments within " +
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>',
] as const;

export function slotsToJinja(slots: TemplateSlots): string {
  const { prefix = "", system = "{c}", defaultSystem = "", systemInUser = false, opening = "" } = slots;
  const fallback = defaultSystem === "" ? "''" : literal(defaultSystem);
  const lines = [
    "{%- if messages[0].role == 'system' %}",
    `{%- set system = messages[0].content or ${fallback} %}`,
    "{%- set turns = messages[1:] %}",
    "{%- else %}",
    `{%- set system = ${fallback} %}`,
    "{%- set turns = messages %}",
    "{%- endif %}",
    ...write(prefix, "''"),
    ...(slots.qwenTools === true ? qwenSystem(system) : plainSystem(system, systemInUser)),
    ...(slots.thoughts === true ? LAST_QUESTION : []),
    "{%- for message in turns %}",
    "{%- if message.role == 'user' %}",
    ...(systemInUser
      ? [
          "{%- set content = message.content %}",
          `{%- if loop.first and system %}{%- set content = ${expression(system, "system")} ~ content %}{%- endif %}`,
          ...write(slots.user, "content"),
        ]
      : write(slots.user, "message.content")),
    "{%- elif message.role == 'assistant' %}",
    ...write(opening, "''"),
    ...answer(slots),
    "{%- elif message.role == 'tool' %}",
    ...toolAnswer(slots),
    "{%- else %}",
    "{{- raise_exception('a ' ~ message.role ~ ' message has no place here') }}",
    "{%- endif %}",
    "{%- endfor %}",
    "{%- if add_generation_prompt %}",
    ...write(opening, "''"),
    ...(slots.thoughts === true
      ? [
          "{%- if enable_thinking is defined and enable_thinking is false %}",
          ...write("<think>\n\n</think>\n\n", "''"),
          "{%- endif %}",
        ]
      : []),
    "{%- endif %}",
  ];
  return lines.join("\n");
}

function plainSystem(system: string, systemInUser: boolean): string[] {
  return [
    "{%- if tools %}{{- raise_exception('this template has no form for tools') }}{%- endif %}",
    ...(systemInUser ? [] : ["{%- if system %}", ...write(system, "system"), "{%- endif %}"]),
  ];
}

function qwenSystem(system: string): string[] {
  const [before, after] = system.split("{c}") as [string, string];
  return [
    "{%- if tools %}",
    ...write(before, "''"),
    "{%- if system %}{{- system ~ '\\n\\n' }}{%- endif %}",
    ...write(QWEN_TOOLS[0], "''"),
    "{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}",
    ...write(QWEN_TOOLS[1] + after, "''"),
    "{%- elif system %}",
    ...write(system, "system"),
    "{%- endif %}",
  ];
}

const LAST_QUESTION = [
  "{%- set last = namespace(question=-1) %}",
  "{%- for message in turns %}",
  "{%- if message.role == 'user' %}{%- set last.question = loop.index0 %}{%- endif %}",
  "{%- endfor %}",
];

function answer({ assistant = "{c}{eos}", qwenTools, thoughts }: TemplateSlots): string[] {
  if (qwenTools !== true) {
    return [
      "{%- if message.tool_calls %}{{- raise_exception('this template has no form for calls of tools') }}{%- endif %}",
      ...write(assistant, "message.content"),
    ];
  }
  const [before, after] = assistant.split("{c}") as [string, string];
  const withThought = [
    "{%- if '</think>' in content %}",
    "{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}",
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}",
    "{%- else %}",
    "{%- set thought = '' %}",
    "{%- endif %}",
    "{%- if loop.index0 > last.question %}{{- '<think>\\n' ~ thought ~ '\\n</think>\\n\\n' }}{%- endif %}",
  ];
  return [
    "{%- set content = message.content or '' %}",
    ...write(before, "''"),
    ...(thoughts === true ? withThought : []),
    "{{- content }}",
    "{%- for call in message.tool_calls or [] %}",
    "{%- if content or not loop.first %}{{- '\\n' }}{%- endif %}",
    "{%- set function = call.function or call %}",
    '{{- \'<tool_call>\\n{"name": "\' ~ function.name ~ \'", "arguments": \' }}',
    "{{- function.arguments if function.arguments is string else function.arguments | tojson }}",
    "{{- '}\\n</tool_call>' }}",
    "{%- endfor %}",
    ...write(after, "''"),
  ];
}

function toolAnswer({ tool, qwenTools, user }: TemplateSlots): string[] {
  if (qwenTools !== true) {
    return tool === undefined
      ? ["{{- raise_exception('this template has no form for what a tool gave') }}"]
      : write(tool, "message.content");
  }
  // What several tools gave is one turn.
  const [before, after] = user.split("{c}") as [string, string];
  return [
    `{%- if loop.first or turns[loop.index0 - 1].role != 'tool' %}{{- ${literal(before.trimEnd())} }}{%- endif %}`,
    "{{- '\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' }}",
    `{%- if loop.last or turns[loop.index0 + 1].role != 'tool' %}{{- ${literal(after)} }}{%- endif %}`,
  ];
}

function write(slot: string, content: string): string[] {
  return slot === "" ? [] : [`{{- ${expression(slot, content)} }}`];
}

/** A slot as an expression. A token that the tokenizer does not have is written as nothing. */
function expression(slot: string, content: string): string {
  const names: Readonly<Record<string, string>> = {
    "{c}": content,
    "{bos}": "(bos_token or '')",
    "{eos}": "(eos_token or '')",
  };
  const parts = slot.split(/(\{c\}|\{bos\}|\{eos\})/).filter((part) => part !== "");
  return parts.map((part) => names[part] ?? literal(part)).join(" ~ ");
}

function literal(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;
}
