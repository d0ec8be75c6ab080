/** Whether an adapter was trained for what a model does. */
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { CONFIG_FILE } from "../formats/peft/config.ts";
import { readJsonObject } from "../formats/peft/json-object.ts";
import type { TextModel } from "../models/text-model.ts";

/**
 * An adapter that tells classes has a head that a model of the next token has no place for.
 * @throws ConfigError if it does, and the model has none; FormatError if the adapter's settings cannot be read
 */
export async function checkAdapterTask(dir: string, { task }: Pick<TextModel, "task">): Promise<void> {
  // On a model that predicts masked tokens it is measured what a classifier has forgotten.
  if (task.kind !== "causal") return;
  const type = (await readJsonObject(join(dir, CONFIG_FILE))).get("task_type");
  if (type !== "SEQ_CLS") return;
  throw new ConfigError({
    where: dir,
    what: "the adapter tells the classes of texts, and the model goes on with texts",
    got: "task_type SEQ_CLS",
    hint: `\`lowrank classify ${dir} "a text"\`; in code AutoModelForSequenceClassification loads its model`,
  });
}
