/**
 * How an exported model reads and ends text: the template that it was trained with goes with it, in every place where
 * programs look for one, and generation stops where the template ends an answer.
 */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { compileTemplate, type JinjaTemplate, resolveTemplate, type Tokenizer } from "../data/text/index.ts";
import { endOfTurn } from "../data/text/end-of-turn.ts";
import { addedTokens, asRecord, readTokenizerFiles } from "../data/text/tokenizer-files.ts";

export interface ExportedText {
  /** Where the chat template is from; `none`: there is none. */
  readonly origin: "adapter" | "base" | "named" | "none";
  readonly template?: JinjaTemplate;
  /** Files in place of the base's. */
  readonly files: Readonly<Record<string, string>>;
  /** What a person should know about the choice. */
  readonly notes: readonly string[];
}

const TEMPLATE_FILE = "chat_template.jinja";

/**
 * The template of the last adapter that brings one wins over a named one, and that over the base's own.
 * @param tokenizer of the base; undefined if it has none
 * @param name a name of LLaMA-Factory's, which is used where neither model nor adapter has a template
 * @throws ConfigError if the template is no Jinja, or the name means another text than the model's own template
 */
export async function exportedText(
  tokenizer: Tokenizer | undefined,
  adapterDirs: readonly string[],
  name?: string,
): Promise<ExportedText> {
  if (tokenizer === undefined) return { origin: "none", files: {}, notes: ["the base has no tokenizer"] };
  const { chatTemplate, specialTokens } = tokenizer;
  for (const dir of adapterDirs.toReversed()) {
    const path = join(dir, TEMPLATE_FILE);
    if (!(await exists(path))) continue;
    const source = await readFile(path, "utf8");
    const template = compileTemplate(path, source, specialTokens);
    const isOwn = source === chatTemplate;
    const note = "the chat template of the adapter takes the place of the base's";
    return {
      origin: "adapter",
      template,
      files: isOwn ? {} : await filesFor(tokenizer, template),
      notes: isOwn || chatTemplate === undefined ? [] : [note],
    };
  }
  if (chatTemplate === undefined && (name === undefined || name === "" || name === "auto")) {
    return { origin: "none", files: {}, notes: [] };
  }
  const chosen = resolveTemplate(tokenizer, name);
  if (chosen.origin === "model") {
    return { origin: "base", template: chosen, files: {}, notes: name === undefined ? [] : chosen.notes };
  }
  return { origin: "named", template: chosen, files: await filesFor(tokenizer, chosen), notes: chosen.notes };
}

/** The template in its own file, in the place of an older one in `tokenizer_config.json`, and its stop token. */
async function filesFor({ dir }: Tokenizer, template: JinjaTemplate): Promise<Record<string, string>> {
  const { config, definition } = await readTokenizerFiles(dir);
  const added = addedTokens(definition);
  const files: Record<string, string> = { [TEMPLATE_FILE]: template.source };
  if ("chat_template" in config) {
    files["tokenizer_config.json"] = jsonText({ ...config, chat_template: template.source });
  }
  const stop = endOfTurn(
    template,
    added.map(({ content }) => content),
  );
  const id = added.find(({ content }) => content === stop)?.id;
  if (id === undefined) return files;
  const path = join(dir, "generation_config.json");
  const own = (await exists(path)) ? asRecord(JSON.parse(await readFile(path, "utf8"))) : {};
  const model = asRecord(JSON.parse(await readFile(join(dir, "config.json"), "utf8")));
  const ends = [own["eos_token_id"] ?? model["eos_token_id"]].flat().filter((end) => typeof end === "number");
  if (!ends.includes(id)) files["generation_config.json"] = jsonText({ ...own, eos_token_id: [id, ...ends] });
  return files;
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
