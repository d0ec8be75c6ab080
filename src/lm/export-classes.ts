/** What an exported classifier tells: the classes of the adapter that is merged, or those of the base. */
import { join } from "node:path";
import { LABELS_FILE, numberedLabel, readLabels } from "../data/datasets/classes.ts";
import { fillingToken } from "../data/text/encode-class.ts";
import { loadTokenizer } from "../data/text/index.ts";
import { DataError } from "../errors.ts";
import { readModelConfig } from "../formats/model/config.ts";
import { CONFIG_FILE } from "../formats/peft/config.ts";
import { readJsonObject } from "../formats/peft/json-object.ts";
import { classNames } from "./class-names.ts";
import { headClasses } from "./head-classes.ts";
import { storedTask } from "./read-model.ts";

export interface ExportedClasses {
  readonly labels: readonly string[];
  /** Where the base's `config.json` has none: transformers finds the end of a text by it. */
  readonly padTokenId?: number;
}

/** Undefined: the model goes on with texts. @throws ConfigError if an adapter for classes has no head */
export async function exportedClasses(
  baseDir: string,
  adapterDirs: readonly string[],
): Promise<ExportedClasses | undefined> {
  const config = await readModelConfig(baseDir);
  let labels = storedTask(config).kind === "classification" ? classNames(config) : undefined;
  for (const dir of adapterDirs) {
    const type = (await readJsonObject(join(dir, CONFIG_FILE))).get("task_type");
    if (type !== "SEQ_CLS") continue;
    const count = await headClasses(dir);
    const written = await readLabels(join(dir, LABELS_FILE));
    const known = written ?? labels;
    labels = known?.length === count ? known : Array.from({ length: count }, (_, i) => numberedLabel(i));
  }
  if (labels === undefined) return undefined;
  const pad = typeof config.fields["pad_token_id"] === "number" ? undefined : await namedPad(baseDir);
  return { labels, ...(pad === undefined ? {} : { padTokenId: pad }) };
}

/** The token that programs fill rows with. Undefined: the model has no tokenizer */
async function namedPad(dir: string): Promise<number | undefined> {
  try {
    return fillingToken(await loadTokenizer(dir));
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}
