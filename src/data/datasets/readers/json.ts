/**
 * `.json`: an array of objects, or objects one after the other (JSON lines under another name).
 *
 * The file is cut into the texts of its objects by counting brackets outside strings, a byte at a time, and each text is
 * given to `JSON.parse`: the engine's own parser is several times faster than one that makes tokens in JavaScript, and the
 * line of each record stays known. All bytes that matter here are ASCII, and no byte of a longer UTF-8 character is.
 */
import { DataError } from "../../../errors.ts";
import { byteChunks, decodeUtf8 } from "./bytes.ts";
import { parseJson } from "./json-text.ts";
import { tooLong } from "./lines.ts";
import { countUpTo, MAX_RECORD_BYTES } from "./reader.ts";
import type { JsonRecord, Reader } from "./reader.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NEWLINE = 0x0a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const COMMA = 0x2c;

const HINT = "the file is a list of objects, [{…}, {…}], or objects one after the other";

interface ObjectText {
  readonly bytes: Buffer;
  /** The line that it starts on. */
  readonly line: number;
}

export const json: Reader = {
  extensions: ["json"],

  async *records(path) {
    let number = 0;
    for await (const { bytes, line } of objectTexts(path)) {
      number++;
      // A text from one brace to its partner is an object if it is JSON at all.
      const record = parseJson(decodeUtf8(bytes, path, line), path, line, HINT) as JsonRecord;
      yield { record, line: number };
    }
  },

  count: (path, atMost) => countUpTo(objectTexts(path), atMost),
};

/** What may come next outside of objects. */
type Expected = "a list or an object" | "an object or ]" | "an object" | ", or ]" | "the end of the file";

async function* objectTexts(path: string): AsyncGenerator<ObjectText, void, void> {
  let line = 1;
  let startLine = 1;
  let depth = 0;
  let inString = false;
  let escaped = false;
  let inList = false;
  let expected: Expected = "a list or an object";
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const chunk of byteChunks(path)) {
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === NEWLINE) line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (depth > 0) {
        if (byte === QUOTE) inString = true;
        else if (byte === OPEN || byte === OPEN_LIST) depth++;
        else if ((byte === CLOSE || byte === CLOSE_LIST) && --depth === 0) {
          begun.push(chunk.subarray(start, i + 1));
          yield { bytes: begun.length === 1 ? begun[0]! : Buffer.concat(begun), line: startLine };
          [begun, begunBytes] = [[], 0];
          expected = inList ? ", or ]" : "an object";
        }
      } else if (byte > 0x20) {
        if (byte === OPEN && expected !== ", or ]" && expected !== "the end of the file") {
          [depth, start, startLine] = [1, i, line];
        } else if (byte === OPEN_LIST && expected === "a list or an object") {
          [inList, expected] = [true, "an object or ]"];
        } else if (byte === CLOSE_LIST && (expected === "an object or ]" || expected === ", or ]")) {
          expected = "the end of the file";
        } else if (byte === COMMA && expected === ", or ]") {
          expected = "an object";
        } else {
          const got = excerpt(chunk.subarray(i));
          throw new DataError({ where: `${path}:${line}`, what: "unexpected text", got, expected, hint: HINT });
        }
      }
    }
    if (depth === 0) continue;
    begun.push(chunk.subarray(start));
    begunBytes += chunk.length - start;
    if (begunBytes > MAX_RECORD_BYTES) throw tooLong(path, startLine);
  }
  if (depth > 0) {
    const what = `the file ends inside the object that starts on line ${startLine}`;
    throw new DataError({ where: `${path}:${line}`, what, hint: "was it cut off? Copy it again" });
  }
  if (inList && expected !== "the end of the file") {
    throw new DataError({
      where: `${path}:${line}`,
      what: "the file ends inside its list",
      expected,
      hint: "was it cut off? Copy it again",
    });
  }
}

/** The start of a text, for a message. */
function excerpt(bytes: Buffer): string {
  const line = bytes.subarray(0, 120).toString("utf8").split("\n")[0]!.trim();
  return line.length > 40 ? `${line.slice(0, 40)}…` : line;
}
