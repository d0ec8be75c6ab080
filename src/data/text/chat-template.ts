/**
 * Chat templates in Jinja, rendered as `apply_chat_template` of transformers does: the same variables, functions and
 * treatment of white space.
 */
import * as jinja from "@huggingface/jinja";
import { ConfigError, DataError } from "../../errors.ts";
import type { Message } from "../sample.ts";
import { PYTHON_STRINGS, withPythonStrings } from "./jinja-strings.ts";
import { strftime } from "./strftime.ts";

/** What is used of the package, whose own types do not resolve for ES modules (0.5). */
interface Jinja {
  readonly tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown;
  readonly parse: (tokens: unknown) => Program;
  readonly Environment: new () => { set(name: string, value: unknown): void };
  readonly Interpreter: new (environment: unknown) => { run(program: Program): { value: unknown } };
}

interface Program {
  readonly type: string;
}

const { Environment, Interpreter, parse, tokenize } = jinja as unknown as Jinja;

export interface RenderOptions {
  /** JSON schemas, as OpenAI has them: `{type: "function", function: {…}}`. A bare function is wrapped. */
  readonly tools?: readonly unknown[];
  /** End with what the assistant's answer comes after. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Thinking on or off, for templates that have `enable_thinking`. Default: the template's own. */
  readonly enableThinking?: boolean;
  /** Other variables that the template has. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What templates that write today's date take for now. Default: the clock. */
  readonly now?: Date;
}

export interface JinjaTemplate {
  readonly source: string;
  /** @throws DataError when the template refuses the conversation or fails on it */
  render(messages: readonly Message[], options?: RenderOptions): string;
}

/** What a template itself said against a conversation. */
class Refusal extends Error {}

/**
 * @param where file or name of the template, for messages
 * @param tokens special tokens that the template may write, such as `bos_token`
 * @throws ConfigError when the source is no Jinja template
 */
export function compileTemplate(
  where: string,
  source: string,
  tokens: Readonly<Record<string, string>>,
): JinjaTemplate {
  const program = parsed(where, source);
  // Models that number their calls refuse conversations without numbers; those that do not would only be confused.
  const needsIds = /tool_call_id|tool_call\.id|tool_call\[['"]id['"]\]/.test(source);
  return {
    source,
    render(messages, options = {}) {
      const { tools, addGenerationPrompt = false, enableThinking, variables, now = new Date() } = options;
      const environment = new Environment();
      const values: Record<string, unknown> = {
        ...CONSTANTS,
        ...PYTHON_STRINGS,
        ...tokens,
        ...variables,
        ...(enableThinking === undefined ? {} : { enable_thinking: enableThinking }),
        messages: withWireNames(messages, needsIds),
        tools: tools === undefined || tools.length === 0 ? null : tools.map(asTool),
        documents: null,
        add_generation_prompt: addGenerationPrompt,
        strftime_now: (format: string) => strftime(now, format),
        raise_exception: (message: string) => {
          throw new Refusal(message);
        },
      };
      for (const [name, value] of Object.entries(values)) environment.set(name, value);
      try {
        return String(new Interpreter(environment).run(program).value);
      } catch (cause) {
        throw new DataError({
          where,
          what:
            cause instanceof Refusal
              ? `the chat template refuses the conversation: ${cause.message}`
              : `the chat template fails: ${(cause as Error).message}`,
          got: `messages of ${messages.map(({ role }) => role).join(", ")}`,
          cause,
        });
      }
    },
  };
}

/** Jinja's constants, in both of the spellings that it allows, and Python's `range`. */
const CONSTANTS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range: (start: number, stop?: number, step = 1): number[] => {
    const [from, to] = stop === undefined ? [0, start] : [start, stop];
    return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
  },
};

function parsed(where: string, source: string): Program {
  try {
    const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    withPythonStrings(program);
    return program;
  } catch (cause) {
    throw new ConfigError({
      where,
      what: `not a chat template that can be read: ${(cause as Error).message}`,
      hint: "correct chat_template.jinja or chat_template in tokenizer_config.json",
      cause,
    });
  }
}

/** Messages by the names that templates know. A field that is absent must not be there at all. */
function withWireNames(messages: readonly Message[], needsIds: boolean): unknown[] {
  let calls = 0;
  let answers = 0;
  // Nine letters or digits: what the strictest of the models asks for.
  const idOf = (n: number): string => `call${String(n).padStart(5, "0")}`;
  return messages.map(({ role, content, toolCalls = [] }) => ({
    role,
    content,
    ...(needsIds && role === "tool" ? { tool_call_id: idOf(answers++) } : {}),
    ...(toolCalls.length === 0
      ? {}
      : {
          tool_calls: toolCalls.map(({ name, arguments: given }) => ({
            type: "function",
            function: { name, arguments: given },
            ...(needsIds ? { id: idOf(calls++) } : {}),
          })),
        }),
  }));
}

function asTool(tool: unknown): unknown {
  const isBare = typeof tool === "object" && tool !== null && "name" in tool && !("type" in tool);
  return isBare ? { type: "function", function: tool } : tool;
}
