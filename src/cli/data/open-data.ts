/** From a configuration to data sets, tokenizer and template: what `prepareRows` needs. */
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import type { RunConfig } from "../../config/read.ts";
import type { ClassSet } from "../../data/datasets/classes.ts";
import { type OpenedDatasets, openDatasets } from "../../data/datasets/open.ts";
import { type ChatTemplate, resolveTemplate } from "../../data/text/templates.ts";
import { loadTokenizer, type Tokenizer } from "../../data/text/tokenizer.ts";
import { TEMPLATE_FOLDER, TEXT_FILES } from "../../data/text-files.ts";
import { resolveFolder, type ResolveOptions } from "../../hub/resolve.ts";

/** Those of `ResolveOptions` that a configuration does not say. */
export type HubHooks = Pick<ResolveOptions, "onProgress" | "onNotice" | "signal">;

/** The tokenizer of a model, of which nothing else is downloaded. */
export async function openTokenizer(config: RunConfig, hooks: HubHooks = {}): Promise<Tokenizer> {
  const { modelNameOrPath: name } = config;
  const path = resolve(name.replace(/^~(?=$|[/\\])/, homedir()));
  // A folder with a tokenizer alone, and no model, is enough to look at data.
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) return loadTokenizer(path);
  const { dir } = await resolveFolder(name, {
    ...hubOptions(config, hooks),
    kind: "model",
    revision: config.modelRevision,
    files: [...TEXT_FILES, `${TEMPLATE_FOLDER}/*.jinja`, "config.json", "generation_config.json"],
  });
  return loadTokenizer(dir);
}

/** @param known classes of the model, with stage cls @throws what `openDatasets` does */
export async function openConfiguredDatasets(
  config: RunConfig,
  hooks: HubHooks = {},
  known?: ClassSet,
): Promise<OpenedDatasets> {
  const { dataset, evalDataset, datasetDir, stage, maxSamples, valSize, mixStrategy, interleaveProbs, seed } = config;
  const { labels, numLabels, textColumnNames, labelColumnName } = config;
  return openDatasets({
    classes: {
      ...(labels === null ? {} : { labels }),
      ...(numLabels === null ? {} : { numLabels }),
      ...(known === undefined ? {} : { known }),
    },
    classColumns: {
      ...(textColumnNames === null ? {} : { text: textColumnNames }),
      ...(labelColumnName === null ? {} : { label: labelColumnName }),
    },
    dataset: dataset ?? [],
    datasetDir,
    stage,
    valSize,
    mixStrategy,
    seed,
    ...(evalDataset === null ? {} : { evalDataset }),
    ...(maxSamples === null ? {} : { maxSamples }),
    ...(interleaveProbs === null ? {} : { interleaveProbs }),
    fetchHubDataset: async (repo, { revision }) => {
      const options = { ...hubOptions(config, hooks), kind: "dataset" as const };
      return (await resolveFolder(repo, { ...options, ...(revision === undefined ? {} : { revision }) })).dir;
    },
  });
}

/**
 * The chat template of a run; undefined where all data is plain text.
 * @throws what `resolveTemplate` does
 */
export function configuredTemplate(
  config: Pick<RunConfig, "template" | "templateOverride" | "stage">,
  tokenizer: Tokenizer,
  { sources }: Pick<OpenedDatasets, "sources">,
): ChatTemplate | undefined {
  const hasChats = config.stage === "sft" && sources.some(({ format }) => format !== "text");
  return hasChats
    ? resolveTemplate(tokenizer, config.template ?? undefined, { override: config.templateOverride })
    : undefined;
}

function hubOptions({ cacheDir, offline }: RunConfig, hooks: HubHooks): Omit<ResolveOptions, "kind"> {
  return {
    ...hooks,
    ...(cacheDir === null ? {} : { cacheDir }),
    ...(offline ? { offline } : {}),
  };
}
