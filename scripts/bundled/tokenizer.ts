/**
 * `node dist/scripts/bundled/tokenizer.js --out bundled/model`: learns the tokenizer from the generated text and writes its
 * files, and the configuration of the model that uses it.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readArguments } from "./arguments.ts";
import { countWords, trainBpe } from "./bpe.ts";
import { documents } from "./documents.ts";
import { modelFiles, SPECIAL_TOKENS, tokenizerFiles } from "./tokenizer-files.ts";
import { TOKENIZER } from "./tokenizer-settings.ts";

const { out } = readArguments({ out: "bundled/model" });

const { seed, megabytes, vocabulary } = TOKENIZER;
const model = trainBpe(countWords(documents(seed, megabytes * 1e6)), vocabulary - SPECIAL_TOKENS.length);
const size = model.tokens.length + SPECIAL_TOKENS.length;
await mkdir(out, { recursive: true });
for (const [name, text] of Object.entries({ ...tokenizerFiles(model), ...modelFiles(size) })) {
  await writeFile(join(out, name), text);
}
console.log(`${out}: ${size} tokens`);
