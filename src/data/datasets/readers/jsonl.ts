/** `.jsonl` and `.ndjson`: one JSON object a line; blank lines are skipped. */
import { DataError } from "../../../errors.ts";
import { decodeUtf8 } from "./bytes.ts";
import { parseJson } from "./json-text.ts";
import { filledLines } from "./lines.ts";
import { countUpTo, isObject } from "./reader.ts";
import type { Reader } from "./reader.ts";

const HINT = "each line is one whole JSON object in double quotes; a line break inside a text is written \\n";

export const jsonl: Reader = {
  extensions: ["jsonl", "ndjson"],

  async *records(path) {
    for await (const { bytes, line } of filledLines(path)) {
      const record = parseJson(decodeUtf8(bytes, path, line), path, line, HINT);
      if (!isObject(record)) {
        const where = `${path}:${line}`;
        throw new DataError({ where, what: "not a record", got: kindOf(record), expected: "an object", hint: HINT });
      }
      yield { record, line };
    }
  },

  count: (path, atMost) => countUpTo(filledLines(path), atMost),
};

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return value === null ? "null" : `a ${typeof value}`;
}
