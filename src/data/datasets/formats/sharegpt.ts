/** ShareGPT: `{"conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}], "system", "tools"}`. */
import { detectConversation } from "./detect-conversation.ts";
import { convertConversation } from "./conversation.ts";
import { field } from "../readers/reader.ts";
import type { Format } from "./format.ts";
import { SHAREGPT_TAGS } from "./tags.ts";

export const sharegpt: Format = {
  name: "sharegpt",
  shape: '{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}',
  detect: (table) => detectConversation(sharegpt, SHAREGPT_TAGS, table),
  convert(record, { columns, tags }) {
    const { messages = "conversations" } = columns;
    return convertConversation(field(record, messages), messages, tags, record, columns);
  },
};
