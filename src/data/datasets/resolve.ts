/** The name of a data set -> its files, from `dataset_info.json`, a path, or the hub. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import { DATASET_INFO } from "./dataset-info.ts";
import type { DatasetEntry, DatasetInfo } from "./dataset-info.ts";
import { dataFiles } from "./files.ts";
import type { DataFiles } from "./files.ts";
import type { Mapping } from "./formats/format.ts";

/** What is wanted of a data set on the hub. */
export interface HubDatasetRequest {
  readonly subset?: string;
  readonly split: string;
  /** Only this folder of the repository. */
  readonly folder?: string;
  /** Branch, tag or commit; default: the main branch. */
  readonly revision?: string;
}

/**
 * Brings a data set of the Hugging Face hub onto the disk.
 * @returns a file, or a folder whose files are then chosen by split, and by the folders `folder` and `subset` where there
 *   are such; or the files themselves, in order
 */
export type FetchHubDataset = (repo: string, request: HubDatasetRequest) => Promise<string | readonly string[]>;

export interface ResolveContext {
  readonly datasetDir: string;
  /** Undefined where `datasetDir` has none. */
  readonly info: DatasetInfo | undefined;
  readonly fetchHubDataset?: FetchHubDataset;
}

/** A data set whose files are known. */
export interface ResolvedDataset extends DataFiles {
  readonly name: string;
  /** File, folder or repository, for messages. */
  readonly path: string;
  /** Undefined: to be detected. */
  readonly mapping?: Mapping;
  readonly numSamples?: number;
}

/** `dataset_dir: ONLINE` means that every name is one of the hub. */
const ONLINE = "ONLINE";

/**
 * `dataset_info.json` first; else a path, seen from the working directory and then from `dataset_dir`.
 * @throws DataError when there is no such data set, with the nearest name
 */
export async function resolveDataset(name: string, context: ResolveContext): Promise<ResolvedDataset> {
  const { datasetDir, info } = context;
  if (datasetDir === ONLINE) return fromHub({ name, location: { hub: name }, split: "train" }, name, context);
  if (info?.has(name) === true) {
    const entry = info.entry(name);
    if ("hub" in entry.location) return fromHub(entry, entry.location.hub, context);
    return { ...described(entry), path: entry.location.file, ...(await files(entry, entry.location.file)) };
  }
  for (const path of [name, join(datasetDir, name)]) {
    if (await exists(path)) return { name, path, ...(await dataFiles(path, "train", name)) };
  }
  throw notFound(name, context);
}

function described({
  name,
  mapping,
  numSamples,
}: DatasetEntry): Pick<ResolvedDataset, "name" | "mapping" | "numSamples"> {
  return { name, ...(mapping !== undefined && { mapping }), ...(numSamples !== undefined && { numSamples }) };
}

/** The files of an entry that is on the disk. */
async function files({ name, split, subset, folder }: DatasetEntry, path: string): Promise<DataFiles> {
  let root = path;
  // A repository that has a folder for each subset; where it has not, the one who fetched it has chosen.
  for (const inner of [folder, subset]) {
    if (inner !== undefined && (await exists(join(root, inner)))) root = join(root, inner);
    else if (inner !== undefined && inner === folder) {
      throw new DataError({ where: name, what: "the data set has no such folder", got: join(root, inner) });
    }
  }
  return dataFiles(root, split, name);
}

async function fromHub(entry: DatasetEntry, repo: string, context: ResolveContext): Promise<ResolvedDataset> {
  const { name, location, split, subset, folder } = entry;
  if (context.fetchHubDataset === undefined) {
    throw new DataError({
      where: name,
      what: "the data set is on the Hugging Face hub, which cannot be read here",
      got: repo,
      hint: "download it and give its path",
    });
  }
  const revision = "hub" in location ? location.revision : undefined;
  const fetched = await context.fetchHubDataset(repo, {
    split,
    ...(subset !== undefined && { subset }),
    ...(folder !== undefined && { folder }),
    ...(revision !== undefined && { revision }),
  });
  const found =
    typeof fetched === "string" ? await files(entry, fetched) : { files: fetched, validation: [], why: "hub" };
  return { ...described(entry), path: repo, ...found };
}

function notFound(name: string, { datasetDir, info }: ResolveContext): DataError {
  const names = info?.names ?? [];
  const closest = nearest(name, names);
  const known = info === undefined ? `${join(datasetDir, DATASET_INFO)} does not exist` : undefined;
  return new DataError({
    where: `dataset ${name}`,
    what: "there is no data set of this name, and no such file or folder",
    got: known,
    expected: `a name in ${info?.path ?? DATASET_INFO}, or a path (seen from here or from ${datasetDir})`,
    hint:
      closest === undefined
        ? "give the path of a .jsonl, .json, .csv, .parquet or .txt file; dataset_dir says where dataset_info.json is"
        : `the closest name is "${closest}"; there are ${names.length}`,
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
