/** The adapters of an export: loaded from their folders, with what the report says of them. */
import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { Adapter } from "../adapters/adapter.ts";
import { ConfigError } from "../errors.ts";
import { loadAdapter } from "../formats/peft/index.ts";
import { countElements } from "../nn/module.ts";
import { commitOf, identityOf } from "./file-identity.ts";
import type { AdapterIdentity } from "./merge-report.ts";
import type { PretrainedModel } from "./pretrained-model.ts";

/** All but what the user called it. */
type FoundIdentity = Omit<AdapterIdentity, "name_or_path">;

export interface LoadedAdapters {
  readonly adapters: readonly Adapter[];
  readonly identities: readonly FoundIdentity[];
  readonly warnings: readonly string[];
}

/** @throws ConfigError if several of them replace whole parameters; FormatError, DataError as loading */
export async function loadAdapters({ language }: PretrainedModel, dirs: readonly string[]): Promise<LoadedAdapters> {
  const { device, model } = language;
  const adapters: Adapter[] = [];
  const identities: FoundIdentity[] = [];
  const warnings: string[] = [];
  for (const [i, dir] of dirs.entries()) {
    const name = dirs.length === 1 ? "default" : `adapter-${i + 1}`;
    const found = await loadAdapter(device, model, dir, { name });
    await language.add(found.adapter);
    adapters.push(found.adapter);
    warnings.push(...found.warnings);
    const config = JSON.parse(await readFile(join(dir, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    identities.push({
      peft_type: String(config["peft_type"]),
      r: typeof config["r"] === "number" ? config["r"] : null,
      lora_alpha: typeof config["lora_alpha"] === "number" ? config["lora_alpha"] : null,
      base_model_name_or_path: found.baseModelNameOrPath ?? null,
      base_revision: typeof config["revision"] === "string" ? config["revision"] : null,
      parameters: countElements(found.adapter.parameters),
      commit: commitOf(dir) ?? null,
      files: [
        await identityOf(join(dir, "adapter_config.json")),
        await identityOf(join(dir, "adapter_model.safetensors")),
      ],
    });
  }
  const withCopies = adapters.filter(({ copies }) => copies.size > 0);
  if (withCopies.length > 1) {
    throw new ConfigError({
      where: "adapters",
      what: `${withCopies.length} of them replace whole parameters (modules_to_save, bias), and cannot be on together`,
      hint: "export with the first of them, then the result with the next",
    });
  }
  return { adapters, identities, warnings };
}

/** Adapters that say they are for another base, or another commit of it. */
export function baseWarnings(model: string, baseDir: string, adapters: readonly FoundIdentity[]): string[] {
  const last = (name: string) => basename(resolve(name)).toLowerCase();
  // The folder of a commit in the hub's cache is not called by the model's name.
  const isNamed = commitOf(resolve(model)) === undefined;
  const useless = "with another base than its own the result is of no use";
  return adapters.flatMap(({ base_model_name_or_path: base, base_revision: revision }) => {
    if (base !== null && isNamed && last(base) !== last(model)) {
      return [`the adapter says that it is for "${base}", and is merged into "${model}": ${useless}`];
    }
    const commit = commitOf(baseDir);
    const isOther = commit !== undefined && revision !== null && /^[0-9a-f]{40}$/.test(revision) && revision !== commit;
    return isOther ? [`the adapter says that it is for commit ${revision}, and the base is ${commit}: ${useless}`] : [];
  });
}
