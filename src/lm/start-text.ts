/** Reads the texts that methods start from. */
import type { SharedStartCall } from "../adapters/method.ts";
import { TEMPLATE_FOLDER, TEXT_FILES } from "../data/text-files.ts";
import { loadTokenizer } from "../data/text/tokenizer.ts";
import { resolveFolder } from "../hub/resolve.ts";

/** @param model its own tokenizer reads them, where no other one is named */
export function startTokenizer(model: {
  readonly dir: string;
  readonly nameOrPath: string;
}): NonNullable<SharedStartCall<object>["tokenize"]> {
  return async (text, nameOrPath) => {
    const isOwn = nameOrPath === null || nameOrPath === model.nameOrPath;
    const dir = isOwn ? model.dir : await tokenizerFolder(nameOrPath);
    const tokenizer = await loadTokenizer(dir);
    return Array.from(await tokenizer.encode(text, { addSpecialTokens: true }));
  };
}

async function tokenizerFolder(nameOrPath: string): Promise<string> {
  const files = [...TEXT_FILES, `${TEMPLATE_FOLDER}/*.jinja`, "config.json"];
  return (await resolveFolder(nameOrPath, { kind: "model", files })).dir;
}
