/** `.txt`: each line that is not blank is a record with one field, `text`. */
import { decodeUtf8 } from "./bytes.ts";
import { filledLines } from "./lines.ts";
import { countUpTo } from "./reader.ts";
import type { Reader } from "./reader.ts";

export const text: Reader = {
  extensions: ["txt"],

  async *records(path) {
    for await (const { bytes, line } of filledLines(path))
      yield { record: { text: decodeUtf8(bytes, path, line) }, line };
  },

  count: (path, atMost) => countUpTo(filledLines(path), atMost),
};
