/** How many classes an adapter tells, by the head that its file has. */
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { WEIGHTS_FILE } from "../formats/peft/save.ts";
import { openSafetensors } from "../formats/safetensors/index.ts";

/** A weight with a row for each class. */
const HEAD = /(^|\.)(score|classifier|classifier\.out_proj)\.weight$/;

/** @throws ConfigError if the adapter has no head */
export async function headClasses(dir: string): Promise<number> {
  const file = await openSafetensors(join(dir, WEIGHTS_FILE));
  try {
    for (const [name, { shape }] of file.tensors) if (HEAD.test(name) && shape.length === 2) return shape[0]!;
  } finally {
    await file.close();
  }
  throw new ConfigError({
    where: dir,
    what: "the adapter has no head that tells classes",
    hint: "PEFT saves one with task_type SEQ_CLS",
  });
}
