/** What a path or a name of the hub is: a model, an adapter, a file of tensors, or something that is not inspected. */
import { basename, join } from "node:path";
import { ConfigError, DataError } from "../../errors.ts";
import { convertHint } from "../../formats/safetensors/other-formats.ts";
import { namesInFolder, statIfThere } from "../../formats/safetensors/user-folder.ts";
import { type ResolveOptions, resolveFolder } from "../../hub/resolve.ts";

export type Inspected =
  | { readonly kind: "model"; readonly dir: string; readonly hasWeights: boolean }
  | { readonly kind: "adapter"; readonly dir: string; readonly run?: string }
  | { readonly kind: "tensors"; readonly path: string };

/** Of a repository: everything but the weights of a model, whose sizes follow from its configuration. */
const HUB_FILES = ["*.json", "*.jinja", "tokenizer.model", "adapter_model.safetensors"];
const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors$/;

/** @throws DataError saying what it is, if it is neither a model, nor an adapter, nor tensors */
export async function whatIs(nameOrPath: string, options: Omit<ResolveOptions, "kind" | "files">): Promise<Inspected> {
  const found = await statIfThere(nameOrPath);
  if (found?.isFile() === true) return whatFile(nameOrPath);
  const dir =
    found === undefined
      ? // Repositories of adapters are of the hub's kind of models too.
        (await resolveFolder(nameOrPath, { ...options, kind: "model", files: HUB_FILES })).dir
      : nameOrPath;
  return whatFolder(dir, await namesInFolder(dir));
}

function whatFile(path: string): Inspected {
  const name = basename(path);
  if (name.endsWith(".safetensors")) return { kind: "tensors", path };
  if (/\.(bin|pt|pth|ckpt|gguf)$/.test(name)) {
    throw new DataError({ where: path, what: "this file is not read", hint: convertHint([name]) });
  }
  const isConfig = /\.(ya?ml)$/.test(name);
  throw new ConfigError({
    where: path,
    what: isConfig ? "this is the configuration of a run" : "this file is no model and no adapter",
    expected: "the folder of a model or an adapter, a name on the hub, or a .safetensors file",
    ...(isConfig ? { hint: `\`lowrank inspect --config ${path}\` shows its model and what training it needs` } : {}),
  });
}

function whatFolder(dir: string, names: readonly string[]): Inspected {
  const checkpoints = names.filter((name) => /^checkpoint-\d+$/.test(name));
  const run = names.includes("checkpoint.json")
    ? "this is a checkpoint of a run, with what resuming it needs"
    : names.includes("trainer_state.json") || names.includes("trainer_log.jsonl")
      ? `this is the output of a run${checkpoints.length > 0 ? `, with ${checkpoints.length} checkpoints` : ""}`
      : undefined;
  if (names.includes("adapter_config.json")) return { kind: "adapter", dir, ...(run === undefined ? {} : { run }) };
  if (names.includes("config.json")) {
    return { kind: "model", dir, hasWeights: names.some((name) => WEIGHTS.test(name)) };
  }
  if (checkpoints.length > 0 || run !== undefined) {
    const last = checkpoints.toSorted((a, b) => Number(a.slice(11)) - Number(b.slice(11))).at(-1);
    throw new DataError({
      where: dir,
      what: `${run ?? "this is the output of a run"}, and has neither a model nor an adapter in it yet`,
      hint: last === undefined ? "the run has saved nothing" : `inspect ${join(dir, last)}`,
    });
  }
  const tensors = names.filter((name) => name.endsWith(".safetensors"));
  const [only] = tensors;
  if (only !== undefined && tensors.length === 1) return { kind: "tensors", path: join(dir, only) };
  const folders = names.filter((name) => !name.includes("."));
  throw new DataError({
    where: dir,
    what: "this folder has neither config.json nor adapter_config.json",
    got: names.length === 0 ? "an empty folder" : names.slice(0, 10).join(", "),
    hint:
      folders.length > 0 && names.length === folders.length ? `inspect one of the folders in it` : convertHint(names),
  });
}
