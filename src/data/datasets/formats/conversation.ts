/**
 * A list of messages -> a chat, for every format that has one (sharegpt, OpenAI).
 *
 * Order, as LLaMA-Factory has it: an optional system message, then user (or a tool's result) and assistant in turn, the
 * assistant last. Several results in a row are allowed, one for each call.
 */
import type { Message, ToolCall } from "../../sample.ts";
import { field, isObject } from "../readers/reader.ts";
import type { JsonRecord } from "../readers/reader.ts";
import { parseContent } from "./content.ts";
import { asList, kindOf, optionalText, RowProblem } from "./format.ts";
import type { Converted, MessageKind, Tags } from "./format.ts";
import { parseCallText, parseToolCalls, parseTools } from "./tool-calls.ts";

/** @throws RowProblem naming the first message that is wrong */
export function convertConversation(
  value: unknown,
  column: string,
  tags: Tags,
  record: JsonRecord,
  columns: { readonly system?: string; readonly tools?: string },
): Converted & { kind: "chat" } {
  const list = asList(value);
  if (list === undefined) {
    const found = (value ?? null) === null ? "missing" : `${kindOf(value)}, not a list of messages`;
    throw new RowProblem(`column "${column}" is ${found}`);
  }
  if (list.length === 0) throw new RowProblem(`column "${column}" has no messages`);
  const messages = list.map((item, i) => convertMessage(item, i + 1, tags));
  const system = messages[0]?.role === "system" ? "" : optionalText(record, columns.system);
  if (system !== "") messages.unshift({ role: "system", content: system });
  checkOrder(messages);
  return withTools(messages, record, columns.tools);
}

/** @throws RowProblem when the tools cannot be read */
export function withTools(
  messages: readonly Message[],
  record: JsonRecord,
  column: string | undefined,
): Converted & { kind: "chat" } {
  const tools = column === undefined ? [] : parseTools(field(record, column), column);
  return tools.length === 0 ? { kind: "chat", messages } : { kind: "chat", messages, tools };
}

function convertMessage(item: unknown, number: number, tags: Tags): Message {
  const about = `message ${number}`;
  if (!isObject(item)) throw new RowProblem(`${about} is ${kindOf(item)}, not an object`);
  const role = field(item, tags.role);
  if (typeof role !== "string") throw new RowProblem(`${about} has no role ("${tags.role}")`);
  const kind = tags.kinds.get(role);
  if (kind === undefined) {
    throw new RowProblem(`${about} has the role "${role}", which is none of ${[...tags.kinds.keys()].join(", ")}`);
  }
  const { text, calls } = parseContent(field(item, tags.content), about);
  if (kind === "system") return { role: "system", content: text };
  if (kind === "observation") return { role: "tool", content: text };
  if (kind === "user") {
    if (text.trim() === "") throw new RowProblem(`${about} (${role}) is empty`);
    return { role: "user", content: text };
  }
  refuseWeights(item, about);
  return assistantMessage(item, kind, text, calls, about);
}

function assistantMessage(
  item: JsonRecord,
  kind: MessageKind,
  text: string,
  partCalls: readonly ToolCall[],
  about: string,
): Message {
  const ownCalls = [...parseToolCalls(field(item, "tool_calls"), about), ...legacyCall(item, about)];
  const inText = kind === "function" && ownCalls.length === 0 && partCalls.length === 0;
  const { thought, calls: textCalls } = inText ? parseCallText(text, about) : { thought: text, calls: [] };
  const calls = [...partCalls, ...ownCalls, ...textCalls];
  const content = withReasoning(item, thought);
  if (calls.length === 0) {
    if (content.trim() === "") throw new RowProblem(`${about} is an empty answer`);
    return { role: "assistant", content };
  }
  return { role: "assistant", content, toolCalls: calls };
}

/** OpenAI's first form: one call, under `function_call`. */
function legacyCall(item: JsonRecord, about: string): ToolCall[] {
  const call = field(item, "function_call");
  return isObject(call) ? parseToolCalls([call], about) : [];
}

/** Reasoning that is kept apart from the answer goes before it, as the templates of reasoning models write it. */
function withReasoning(item: JsonRecord, content: string): string {
  const reasoning = field(item, "reasoning_content") ?? field(item, "reasoning");
  if (typeof reasoning !== "string" || reasoning.trim() === "" || content.includes("</think>")) return content;
  return `<think>\n${reasoning.trim()}\n</think>\n\n${content}`;
}

/** Marks of several trainers for "do not train on this answer". To train on it all the same would be silent. */
function refuseWeights(item: JsonRecord, about: string): void {
  for (const key of ["weight", "loss_weight", "loss", "train", "training"]) {
    const weight = field(item, key) ?? 1;
    if (weight !== 1 && weight !== true) {
      throw new RowProblem(
        `${about} has ${key} ${JSON.stringify(weight)}: weights of single answers are not supported`,
      );
    }
  }
}

function checkOrder(messages: readonly Message[]): void {
  let before: Message["role"] = "system";
  for (const [i, { role }] of messages.entries()) {
    const fits =
      role === "system"
        ? i === 0
        : role === "user"
          ? before !== "user"
          : role === "tool"
            ? before === "assistant" || before === "tool"
            : before === "user" || before === "tool";
    if (!fits) {
      const place = i === 0 ? "first" : `after ${before}`;
      throw new RowProblem(`message ${i + 1} (${role}) is out of order: ${role} cannot come ${place}`);
    }
    before = role;
  }
  if (before !== "assistant")
    throw new RowProblem(`the last message is of the ${before}: there is no answer to train on`);
}
