/** Calls of tools, and the tools that may be called, in the ways that data sets write them. */
import type { ToolCall } from "../../sample.ts";
import { field, isObject } from "../readers/reader.ts";
import { asList, kindOf, RowProblem, tryJson } from "./format.ts";

/**
 * The text of a `function_call` message: `{"name", "arguments"}` or a list of such, after a thought if there is one.
 * @throws RowProblem when it is not
 */
export function parseCallText(text: string, about: string): { thought: string; calls: ToolCall[] } {
  const end = text.lastIndexOf("</think>");
  const after = end < 0 ? 0 : end + "</think>".length;
  const value = tryJson(text.slice(after));
  if (value === undefined) throw new RowProblem(`${about} is a function call, but its text is not JSON`);
  const calls = Array.isArray(value) ? value.map((call) => toCall(call, about)) : [toCall(value, about)];
  if (calls.length === 0) throw new RowProblem(`${about} is a function call without a call`);
  return { thought: text.slice(0, after), calls };
}

/**
 * The `tool_calls` of a message: `[{"function": {"name", "arguments"}}, …]`, also as JSON text.
 * @throws RowProblem when they are something else
 */
export function parseToolCalls(value: unknown, about: string): ToolCall[] {
  if ((value ?? null) === null || value === "") return [];
  const list = asList(value);
  if (list === undefined) throw new RowProblem(`the tool_calls of ${about} are ${kindOf(value)}, not a list`);
  return list.map((call) => toCall(call, about));
}

function toCall(value: unknown, about: string): ToolCall {
  const inner = isObject(value) ? (field(value, "function") ?? value) : value;
  const name = isObject(inner) ? field(inner, "name") : undefined;
  if (!isObject(inner) || typeof name !== "string" || name === "") {
    throw new RowProblem(`a function call of ${about} has no name; expected {"name": …, "arguments": {…}}`);
  }
  const given = field(inner, "arguments") ?? field(inner, "parameters") ?? {};
  return { name, arguments: typeof given === "string" ? (tryJson(given) ?? given) : given };
}

/**
 * The tools of a record: a list of JSON schemas, or one, also as JSON text; nothing gives an empty list. A schema that is
 * not wrapped as `{"type": "function", "function": …}` is wrapped, since that is what chat templates expect.
 * @throws RowProblem when they are something else
 */
export function parseTools(value: unknown, column: string): unknown[] {
  if ((value ?? null) === null || (typeof value === "string" && value.trim() === "")) return [];
  const parsed = typeof value === "string" ? tryJson(value) : value;
  if (parsed === undefined) throw new RowProblem(`column "${column}" (tools) is not JSON`);
  const list: readonly unknown[] = Array.isArray(parsed) ? parsed : isObject(parsed) ? [parsed] : [];
  if (list.length === 0 && !Array.isArray(parsed) && parsed !== null) {
    throw new RowProblem(`column "${column}" (tools) is ${kindOf(parsed)}, not a list of JSON schemas`);
  }
  return list.map((item) => {
    const tool = typeof item === "string" ? tryJson(item) : item;
    if (!isObject(tool)) throw new RowProblem(`column "${column}" (tools) has an item that is ${kindOf(tool)}`);
    return field(tool, "type") === "function" ? tool : { type: "function", function: tool };
  });
}
