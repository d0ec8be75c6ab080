/** Columns that hold lists of messages. */
import { systemAndTools } from "./alpaca.ts";
import type { ColumnTable } from "./column-table.ts";
import type { Detected, Format, Tags } from "./format.ts";

const NAMES = ["messages", "conversations", "conversation"];

export function detectConversation(format: Format, tags: Tags, table: ColumnTable): Detected[] {
  return NAMES.filter((name) => table.isListOf(name, [tags.role])).map((messages) => ({
    format,
    columns: { messages, ...systemAndTools(table) },
    tags,
    why: `column "${messages}" is a list of messages with "${tags.role}" and "${tags.content}"`,
  }));
}
