/** OpenAI: `{"messages": [{"role": "user", "content"}, {"role": "assistant", "content", "tool_calls"}], "tools"}`. */
import { field } from "../readers/reader.ts";
import { convertConversation } from "./conversation.ts";
import { detectConversation } from "./detect-conversation.ts";
import type { Format } from "./format.ts";
import { OPENAI_TAGS } from "./tags.ts";

export const openai: Format = {
  name: "openai",
  shape: '{"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}',
  detect: (table) => detectConversation(openai, OPENAI_TAGS, table),
  convert(record, { columns, tags }) {
    const { messages = "messages" } = columns;
    return convertConversation(field(record, messages), messages, tags, record, columns);
  },
};
