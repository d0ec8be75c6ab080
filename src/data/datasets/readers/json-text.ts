/** One JSON value out of a text, with the place of what is wrong with it. */
import { DataError } from "../../../errors.ts";

/**
 * @param line where the text starts in the file
 * @throws DataError naming file and line when the text is not JSON
 */
export function parseJson(text: string, path: string, line: number, hint: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const { message } = cause as SyntaxError;
    const position = Number(/at position (\d+)/.exec(message)?.[1] ?? 0);
    const linesBefore = text.slice(0, position).split("\n").length - 1;
    // Engines add the position in the text, which is not the one in the file, or an excerpt, which may be of many lines.
    const reason = message.replace(/( in JSON at position|, (\.\.\.)?").*$/s, "");
    throw new DataError({ where: `${path}:${line + linesBefore}`, what: `not JSON: ${reason}`, hint, cause });
  }
}
