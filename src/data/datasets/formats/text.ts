/** Plain text, every token of which is trained on: `{"text"}` or `{"content"}`. */
import { joinedText } from "./alpaca.ts";
import type { Format } from "./format.ts";
import { OPENAI_TAGS } from "./tags.ts";

export const text: Format = {
  name: "text",
  shape: '{"text"}',

  detect(table) {
    return ["text", "content"]
      .filter((name) => table.isText(name))
      .map((prompt) => ({ format: text, columns: { prompt }, tags: OPENAI_TAGS, why: `column "${prompt}"` }));
  },

  convert: (record, { columns }) => ({ kind: "text", text: joinedText(record, columns.prompt, columns.query) }),
};
