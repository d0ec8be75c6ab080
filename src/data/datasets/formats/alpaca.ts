/** Alpaca: `{"instruction", "input", "output"}`, with `system`, `history` and `tools` where wanted. */
import type { Message } from "../../sample.ts";
import { field } from "../readers/reader.ts";
import type { JsonRecord } from "../readers/reader.ts";
import type { ColumnTable } from "./column-table.ts";
import { withTools } from "./conversation.ts";
import { asList, isMissing, optionalText, requiredText, RowProblem } from "./format.ts";
import type { Columns, Converted, Format } from "./format.ts";
import { OPENAI_TAGS } from "./tags.ts";

export const alpaca: Format = {
  name: "alpaca",
  shape: '{"instruction", "input", "output"}',

  detect(table) {
    // Dolly's columns are Alpaca's under other names.
    const response = ["output", "response"].find((name) => table.isText(name));
    if (!table.isText("instruction") || response === undefined) return [];
    const query = ["input", "context"].find((name) => table.has(name));
    const columns: Columns = {
      prompt: "instruction",
      ...(query !== undefined && { query }),
      response,
      ...(table.has("history") && { history: "history" }),
      ...systemAndTools(table),
    };
    return [{ format: alpaca, columns, tags: OPENAI_TAGS, why: `columns "instruction" and "${response}"` }];
  },

  convert: (record, { columns }) => convertTurns(record, columns),
};

/** Question and answer in columns of their own -> a chat. @throws RowProblem when one of them is missing or no text */
export function convertTurns(record: JsonRecord, columns: Columns): Converted {
  const messages: Message[] = [];
  const system = optionalText(record, columns.system);
  if (system !== "") messages.push({ role: "system", content: system });
  messages.push(...earlierTurns(record, columns.history));
  const { prompt, query, response } = columns;
  const question = joinedText(record, prompt, query);
  if (response === undefined) throw new RowProblem("no column is mapped as the response");
  messages.push({ role: "user", content: question }, { role: "assistant", content: requiredText(record, response) });
  return withTools(messages, record, columns.tools);
}

/** Prompt and query with a line end between them. @throws RowProblem when both are empty */
export function joinedText(record: JsonRecord, prompt: string | undefined, query: string | undefined): string {
  const parts = [optionalText(record, prompt), optionalText(record, query)].filter((part) => part !== "");
  const text = parts.join("\n");
  if (text.trim() !== "") return text;
  const column = prompt ?? query ?? "";
  throw new RowProblem(`column "${column}" is ${isMissing(record, column) ? "missing" : "empty"}`);
}

/** Columns with these names are used when a format is detected; a `dataset_info.json` has to map them. */
export function systemAndTools(table: ColumnTable): Columns {
  const system = ["system", "system_prompt"].find((name) => table.isText(name));
  return { ...(system !== undefined && { system }), ...(table.has("tools") && { tools: "tools" }) };
}

function earlierTurns(record: JsonRecord, column: string | undefined): Message[] {
  if (column === undefined || isMissing(record, column) || field(record, column) === "") return [];
  const turns = asList(field(record, column));
  if (turns === undefined) throw new RowProblem(`column "${column}" (history) is not a list of [question, answer]`);
  return turns.flatMap((turn): Message[] => {
    const [question, answer, ...rest] = Array.isArray(turn) ? (turn as unknown[]) : [];
    if (typeof question !== "string" || typeof answer !== "string" || rest.length > 0) {
      throw new RowProblem(`column "${column}" (history) has a turn that is not [question, answer]`);
    }
    if (answer.trim() === "") throw new RowProblem(`column "${column}" (history) has an empty answer`);
    return [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ];
  });
}
