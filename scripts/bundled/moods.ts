/** `node dist/scripts/bundled/moods.js --out bundled`: writes `moods.jsonl` and `moods-test.jsonl`. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readArguments } from "./arguments.ts";
import { moodFiles } from "./mood-files.ts";

const { out } = readArguments({ out: "bundled" });
await mkdir(out, { recursive: true });
for (const [name, text] of Object.entries(moodFiles())) await writeFile(join(out, name), text);
console.log(`${out}: ${Object.keys(moodFiles()).join(", ")}`);
