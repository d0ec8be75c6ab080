/** The file with an adapter's tensors, and the spellings of their names that PEFT reads. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../../errors.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/reader.ts";
import { WEIGHTS_FILE } from "./save.ts";
import { PREFIX } from "./tensor-keys.ts";

/** @throws FormatError if there is none, or only a Python pickle */
export async function openWeights(dir: string): Promise<SafetensorsFile> {
  const path = join(dir, WEIGHTS_FILE);
  try {
    return await openSafetensors(path);
  } catch (error) {
    const pickle = join(dir, "adapter_model.bin");
    if ((await exists(path)) || !(await exists(pickle))) throw error;
    throw new FormatError({
      where: pickle,
      what: "is a Python pickle, which can run code when it is read: it is not loaded",
      expected: WEIGHTS_FILE,
      hint: "save the adapter again with a version of PEFT that writes safetensors (0.6 or later)",
    });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Names in the file by the names that PEFT writes: they may lack the prefix, as in files of transformers and diffusers, or
 * still have the adapter's name, `default`, in them, as in a saved `state_dict`. A name that another one of the file
 * already means keeps its own.
 * @param parameters first parts of the names that the method's parameters have: `lora_A`
 */
export function canonicalKeys(keys: Iterable<string>, parameters: readonly string[] = LORA): Map<string, string> {
  const there = [...keys];
  const own = new Set(there);
  const names = new Set(parameters);
  const canonical = new Map<string, string>();
  for (const key of there) {
    const name = canonicalName(key, names);
    const isTaken = name !== key && (own.has(name) || canonical.has(name));
    canonical.set(isTaken ? key : name, key);
  }
  return canonical;
}

const LORA = ["lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"];

function canonicalName(key: string, parameters: ReadonlySet<string>): string {
  const parts = key.split(".");
  const at = parts.findIndex((part, i) => part === "default" && parameters.has(parts[i - 1] ?? ""));
  const named = at < 0 ? key : parts.toSpliced(at, 1).join(".");
  // Parameters of the model as a whole have the outer prefix, or are no part of a module.
  return named.startsWith("base_model.") || !named.includes(".") ? named : `${PREFIX}${named}`;
}
