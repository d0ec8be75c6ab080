/** What is known of a run's classes before its data is read: from the model, or from the adapter that it goes on with. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../../config/read.ts";
import { type ClassSet, LABELS_FILE, numberedLabel, readLabels } from "../../data/datasets/classes.ts";
import { fillingToken } from "../../data/text/encode-class.ts";
import type { Tokenizer } from "../../data/text/tokenizer.ts";
import { MODEL_CONFIG_FILE, readModelConfig } from "../../formats/model/config.ts";
import { classNames } from "../../lm/class-names.ts";
import { readModel, storedTask } from "../../lm/read-model.ts";

/** Any number of classes will do to ask a model by which token it tells them. */
const SOME_CLASSES = 2;

export interface KnownClasses {
  readonly known?: ClassSet;
  /** By which token the model tells the class of a text. Absent where there is no `config.json`. */
  readonly classToken?: "first" | "last";
  /** Token that fills rows up, by which other programs find the end of a text: the model's, or else the tokenizer's own. */
  readonly padTokenId?: number;
}

/** @param tokenizer of the model @throws as `readModel` */
export async function knownClasses(
  { stage, adapterNameOrPath }: Pick<RunConfig, "stage" | "adapterNameOrPath">,
  tokenizer: Tokenizer,
): Promise<KnownClasses> {
  if (stage !== "cls") return {};
  const { dir } = tokenizer;
  const [adapter] = adapterNameOrPath ?? [];
  const ofAdapter = adapter === undefined ? undefined : await adapterClasses(adapter);
  // A folder with a tokenizer alone is enough to look at data.
  const hasConfig = await stat(join(dir, MODEL_CONFIG_FILE)).then(
    () => true,
    () => false,
  );
  if (!hasConfig) return ofAdapter === undefined ? {} : { known: ofAdapter };
  const { model } = await readModel(dir, { taskOf: () => ({ kind: "classification", classes: SOME_CLASSES }) });
  const known = ofAdapter ?? (await modelClasses(dir));
  const pad = (await readModelConfig(dir)).fields["pad_token_id"];
  return {
    padTokenId: typeof pad === "number" && pad >= 0 ? pad : fillingToken(tokenizer),
    ...(known === undefined ? {} : { known }),
    ...(model.classToken === undefined ? {} : { classToken: model.classToken }),
  };
}

/** The names that are saved with an adapter; undefined for those of other programs, which save none. */
export async function adapterClasses(dir: string): Promise<ClassSet | undefined> {
  const path = join(dir, LABELS_FILE);
  const names = await readLabels(path);
  return names === undefined ? undefined : { names, why: path };
}

/** The names that a classifier has. Those that only count say nothing of their order. */
async function modelClasses(dir: string): Promise<ClassSet | undefined> {
  const config = await readModelConfig(dir);
  if (storedTask(config).kind !== "classification") return undefined;
  const names = classNames(config);
  return names.every((name, i) => name === numberedLabel(i)) ? undefined : { names, why: config.path };
}
