/** The content of a message: text, or a list of parts. */
import type { ToolCall } from "../../sample.ts";
import { field, isObject } from "../readers/reader.ts";
import { kindOf, RowProblem } from "./format.ts";
import { parseCallText } from "./tool-calls.ts";

/**
 * Parts are OpenAI's (`{type: "text", text}`) and LLaMA-Factory's (`{type: "text" | "reasoning" | "tool_call", value}`).
 * @throws RowProblem when there is something else, such as a picture
 */
export function parseContent(content: unknown, about: string): { text: string; calls: ToolCall[] } {
  if (content === null || content === undefined) return { text: "", calls: [] };
  if (typeof content === "string") return { text: content, calls: [] };
  if (!Array.isArray(content)) throw new RowProblem(`the content of ${about} is ${kindOf(content)}, not text`);
  let text = "";
  const calls: ToolCall[] = [];
  for (const part of content as unknown[]) {
    const type = isObject(part) ? field(part, "type") : undefined;
    const value = isObject(part) ? (field(part, "text") ?? field(part, "value")) : part;
    if (typeof value !== "string" || !PARTS.includes(type)) {
      const found = typeof type === "string" ? `of the kind "${type}"` : kindOf(part);
      throw new RowProblem(`the content of ${about} has a part that is ${found}: only text is supported`);
    }
    if (type === "tool_call") calls.push(...parseCallText(value, about).calls);
    else text += type === "reasoning" ? `<think>\n${value.trim()}\n</think>\n\n` : value;
  }
  return { text, calls };
}

/** A part without a type is text. */
const PARTS: readonly unknown[] = ["text", "reasoning", "tool_call", undefined];
