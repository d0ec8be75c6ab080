/**
 * `node dist/scripts/text-documents.js --in TEXT.txt --out TEXT.jsonl --characters 800`: makes documents of a plain text, one to a
 * line as `{"text": …}`. In a `.txt` data set each line is a sample; a model of stories or plays wants whole passages.
 *
 * A document ends at `<|endoftext|>`. A text without that is cut at empty lines, where the passage so far has at least so many
 * characters. `--begin TEXT` is put before each, such as the token that a model's texts begin with.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { readArguments } from "./bundled/arguments.ts";

const END = "<|endoftext|>";

export function documentsIn(text: string, characters: number): string[] {
  const plain = text.replaceAll("\r\n", "\n");
  const marked = plain.split(END);
  if (marked.length > 1) {
    // What follows the last mark may be cut off.
    return marked
      .slice(0, -1)
      .map((document) => document.trim())
      .filter((document) => document !== "");
  }
  const documents: string[] = [];
  let passage = "";
  for (const part of plain.split(/\n\s*\n/)) {
    passage = passage === "" ? part.trim() : `${passage}\n\n${part.trim()}`;
    if (passage.length < characters) continue;
    documents.push(passage);
    passage = "";
  }
  return passage === "" ? documents : [...documents, passage];
}

function main(): void {
  const settings = readArguments({ in: "text.txt", out: "text.jsonl", characters: 800, begin: "" });
  const documents = documentsIn(readFileSync(settings.in, "utf8"), settings.characters);
  mkdirSync(dirname(settings.out), { recursive: true });
  writeFileSync(settings.out, documents.map((text) => `${JSON.stringify({ text: settings.begin + text })}\n`).join(""));
  console.log(`${settings.out}: ${documents.length} documents`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
