/**
 * `node dist/scripts/bundled/instructions.js --out bundled`: writes `instructions.jsonl`, `instructions-test.jsonl` and the
 * `dataset_info.json` that names them.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readArguments } from "./arguments.ts";
import { instructionFiles } from "./instruction-files.ts";

const { out } = readArguments({ out: "bundled" });
await mkdir(out, { recursive: true });
for (const [name, text] of Object.entries(instructionFiles())) await writeFile(join(out, name), text);
console.log(`${out}: ${Object.keys(instructionFiles()).join(", ")}`);
