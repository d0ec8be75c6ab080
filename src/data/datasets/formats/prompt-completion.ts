/**
 * A question and an answer in two columns: `{"prompt", "completion"}`, `{"query", "response"}`, `{"question", "answer"}`, …
 * Both may also be lists of messages, as TRL has it.
 */
import { field } from "../readers/reader.ts";
import { convertTurns, systemAndTools } from "./alpaca.ts";
import type { ColumnTable } from "./column-table.ts";
import { convertConversation } from "./conversation.ts";
import { asList, RowProblem } from "./format.ts";
import type { Detected, Format } from "./format.ts";
import { OPENAI_TAGS } from "./tags.ts";

/** The names that ms-swift understands. */
const QUERY_NAMES = ["query", "prompt", "input", "instruction", "question", "problem"];
const RESPONSE_NAMES = "response answer output targets target answer_key answers solution completion".split(" ");

export const promptCompletion: Format = {
  name: "prompt/completion",
  shape: '{"prompt", "completion"} (also query/response, question/answer, …)',

  detect: (table) => pairs(table, RESPONSE_NAMES),

  convert(record, { columns, tags }) {
    const { prompt = "prompt", response = "completion" } = columns;
    const asked = asMessages(field(record, prompt));
    const answered = asMessages(field(record, response));
    if (asked === undefined || answered === undefined) return convertTurns(record, columns);
    const chat = convertConversation([...asked, ...answered], prompt, tags, record, columns);
    // Every answer of a chat is trained on, but a prompt is not.
    if (chat.messages.slice(0, asked.length).some(({ role }) => role === "assistant")) {
      throw new RowProblem(`column "${prompt}" has answers in it, which are not to be trained on: not supported`);
    }
    return chat;
  },
};

/** `{"prompt", "text"}`: `text` may be the answer or the whole, so this is only looked at together with plain text. */
export function detectWeakPairs(table: ColumnTable): Detected[] {
  return pairs(table, ["text", "content"]);
}

function pairs(table: ColumnTable, responses: readonly string[]): Detected[] {
  const usable = (name: string) => table.isText(name) || table.isListOf(name, [OPENAI_TAGS.role]);
  return QUERY_NAMES.filter(usable).flatMap((prompt) =>
    responses.filter(usable).map((response) => ({
      format: promptCompletion,
      columns: { prompt, response, ...systemAndTools(table) },
      tags: OPENAI_TAGS,
      why: `columns "${prompt}" and "${response}"`,
    })),
  );
}

function asMessages(value: unknown): readonly unknown[] | undefined {
  return typeof value === "string" ? undefined : asList(value);
}
