/**
 * `node dist/scripts/bundled/text.js --out FILE --seed 1 --megabytes 25`: writes the pretraining text, one document per line
 * as `{"text": …}`. The same seed gives the same bytes.
 */

import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readArguments } from "./arguments.ts";
import { documents } from "./documents.ts";

/** Rows per write: a write per row would spend most of the time in the stream. */
const ROWS_PER_WRITE = 500;

const { out, seed, megabytes } = readArguments({ out: "lowrank-out/bundled/text.jsonl", seed: 1, megabytes: 25 });

function* lines(): Generator<string> {
  let rows: string[] = [];
  for (const text of documents(seed, megabytes * 1e6)) {
    rows.push(JSON.stringify({ text }) + "\n");
    if (rows.length === ROWS_PER_WRITE) {
      yield rows.join("");
      rows = [];
    }
  }
  yield rows.join("");
}

await mkdir(dirname(out), { recursive: true });
await pipeline(Readable.from(lines()), createWriteStream(out));
console.log(`${out}: ${megabytes} MB of text, seed ${seed}`);
