/** Text from data on a terminal: what cannot be seen is made visible, and nothing in it can command the terminal. */

const NAMED: Readonly<Record<string, string>> = { "\t": "→", "\r": "␍", "\u00A0": "⍽" };

/** Control, formatting and separating characters, lone surrogates, and characters for private use. */
// Emoji are joined by U+200D: that one is left where it joins.
const HIDDEN = /[\t\r\u00A0]|(?!\n)\p{Cc}|(?!\u200D)\p{Cf}|\p{Zl}|\p{Zp}|\p{Cs}|\p{Co}|(?<!\p{Emoji})\u200D/gu;

/**
 * The text with a mark for each character that is not seen: `→` tab, `␍` carriage return, `⍽` no-break space, `↵` before a
 * line end, `·` for spaces at the end of a line, and the number of any other, as `\u200b`.
 * @param next what comes after the text
 */
export function visible(text: string, next = ""): string {
  const endsLine = next === "" || next.startsWith("\n");
  return text
    .replaceAll(HIDDEN, (character) => NAMED[character] ?? numbered(character))
    .replaceAll(endsLine ? / +(?=\n|$)/g : / +(?=\n)/g, (spaces) => "·".repeat(spaces.length))
    .replaceAll("\n", "↵\n");
}

function numbered(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
}
