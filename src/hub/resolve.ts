/**
 * From the name of a model, adapter or data set to a folder with its files: a local folder as it is, or a repository of
 * the Hugging Face hub, downloaded into the cache that Python's libraries share.
 */
import { join } from "node:path";
import { ConfigError, DataError, type LowrankError } from "../errors.ts";
import { CachedRepo, COMMIT } from "./cached-repo.ts";
import { hubCacheDirectory, hubEndpoint, hubToken, isOffline } from "./environment.ts";
import { fetchFiles, type HubProgress } from "./fetch-files.ts";
import { type HubRepo, pageOf } from "./hub-error.ts";
import { complainAbout, neededFiles, type RepoKind } from "./kind.ts";
import { askCommit, askFiles } from "./listing.ts";
import { lacking, localFolder } from "./local-folder.ts";

export type { HubProgress } from "./fetch-files.ts";
export type { RepoKind } from "./kind.ts";

export interface ResolveOptions {
  readonly kind: RepoKind;
  /** Branch, tag or commit. Default: `main`. */
  readonly revision?: string;
  /** No requests: what is not in the cache is an error. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Default: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
  readonly cacheDir?: string;
  /** Default: `HF_TOKEN`, else the one that `hf auth login` stored. */
  readonly token?: string;
  /** Patterns of the files to fetch instead of those of the kind: `*` within a name, `**\/` for folders. */
  readonly files?: readonly string[];
  /** Called for each piece that arrives. */
  readonly onProgress?: (progress: HubProgress) => void;
  /** Called with a sentence when something is not as asked for but can go on: the hub was not reached. */
  readonly onNotice?: (notice: string) => void;
  /** Stops a download; what arrived is kept for the next time. */
  readonly signal?: AbortSignal;
}

export interface ResolvedFolder {
  readonly dir: string;
  /** Of a hub repository. */
  readonly commit?: string;
}

/**
 * The folder of a model, adapter or data set. A path to a folder is used as it is. Anything else is a name on the hub,
 * `org/name`; only files of known kinds are fetched, never pickles. A download that was cut off goes on where it was, and
 * each file is verified before it gets its name. When the hub cannot be reached, a complete copy in the cache serves.
 *
 * @throws ConfigError if the name can be neither a folder nor a repository, DataError if a folder lacks what its kind
 *   needs, if the repository does not exist, is gated or is not of the kind, if the hub cannot be reached (or must not) and
 *   the cache has no copy, if the disk is full, or if a checksum is wrong; the reason of `signal` when that stops it
 */
export async function resolveFolder(nameOrPath: string, options: ResolveOptions): Promise<ResolvedFolder> {
  const local = await localFolder(nameOrPath, options.kind);
  if (local !== undefined) return { dir: local };
  const { kind, revision = "main", signal } = options;
  const token = options.token ?? (await hubToken());
  const repo: HubRepo = { kind, name: nameOrPath, revision, endpoint: hubEndpoint(), token };
  checkName(nameOrPath, revision);
  const cache = new CachedRepo(options.cacheDir ?? hubCacheDirectory(), kind, nameOrPath);
  if (options.offline ?? isOffline()) return cached(cache, repo, options, "offline, and", undefined);

  const asked = COMMIT.test(revision) ? { commit: revision } : await askCommit(repo, signal);
  if ("unreachable" in asked) return unreachable(cache, repo, options, asked.unreachable);
  const { commit } = asked;
  const listed = await askFiles(repo, commit, signal);
  if ("unreachable" in listed) return unreachable(cache, repo, options, listed.unreachable);

  const paths = listed.files.map(({ path }) => path);
  const complaint = options.files === undefined ? complainAbout(kind, paths) : undefined;
  if (complaint !== undefined) throw lacking(pageOf(repo), complaint, paths);
  const needed = new Set(neededFiles(kind, paths, options.files));
  if (needed.size === 0) {
    const hint = { what: "no file matches", hint: `the patterns are ${options.files?.join(", ")}` };
    throw lacking(pageOf(repo), hint, paths);
  }
  const files = listed.files.filter(({ path }) => needed.has(path));
  await fetchFiles(cache, repo, commit, files, options);
  // Last, so that without a connection the snapshot that a revision leads to is a complete one.
  await cache.setCommit(revision, commit);
  return { dir: cache.snapshot(commit), commit };
}

/** The hub's own rule for names; one that breaks it would also be no safe name of a folder. */
function checkName(name: string, revision: string): void {
  const isName =
    name.length <= 96 &&
    /^(?:[A-Za-z0-9_](?:[\w.-]*\w)?\/)?[A-Za-z0-9_](?:[\w.-]*\w)?$/.test(name) &&
    !/--|\.\.|\.git$/.test(name);
  if (!isName) {
    throw new ConfigError({
      where: `"${name}"`,
      what: "is neither a folder here nor a name on the hub",
      expected: "a path, or org/name such as Qwen/Qwen2.5-0.5B",
    });
  }
  if (!/^[\w.-]+(\/[\w.-]+)*$/.test(revision) || revision.includes("..")) {
    throw new ConfigError({
      where: "revision",
      what: "is no branch, tag or commit",
      got: revision,
      expected: "such as main",
    });
  }
}

async function unreachable(
  cache: CachedRepo,
  repo: HubRepo,
  options: ResolveOptions,
  cause: unknown,
): Promise<ResolvedFolder> {
  const found = await cached(cache, repo, options, `${repo.endpoint} cannot be reached, and`, cause);
  options.onNotice?.(
    `${repo.endpoint} cannot be reached: ${repo.name} is used as it is in the cache (${found.commit})`,
  );
  return found;
}

/** The snapshot in the cache, if it is complete. */
async function cached(
  cache: CachedRepo,
  repo: HubRepo,
  { kind, files }: ResolveOptions,
  why: string,
  cause: unknown,
): Promise<ResolvedFolder> {
  const fail = (what: string, hint: string): LowrankError =>
    new DataError({ where: repo.name, what: `${why} ${what}`, hint, cause });
  const online = isOffline() ? "unset HF_HUB_OFFLINE" : "connect";
  const commit = await cache.commitOf(repo.revision);
  const paths = commit === undefined ? [] : await cache.files(commit);
  if (commit === undefined || paths.length === 0) {
    throw fail(
      `revision ${repo.revision} is not in the cache ${cache.dir}`,
      `there is no folder of this name here; ${online} to download it, or set HF_ENDPOINT to a mirror`,
    );
  }
  const complete =
    files === undefined ? complainAbout(kind, paths) === undefined : neededFiles(kind, paths, files).length > 0;
  const dir = cache.snapshot(commit);
  const missing = complete && kind === "model" && files === undefined ? await missingShards(dir, paths) : [];
  if (!complete || missing.length > 0) {
    const which = missing.length > 0 ? `: ${missing[0]} is missing` : "";
    throw fail(`the copy in the cache is not complete${which}`, `${online} to download the rest`);
  }
  return { dir, commit };
}

/** Shards `model-00001-of-0000N.safetensors` that a snapshot lacks. */
async function missingShards(dir: string, paths: readonly string[]): Promise<string[]> {
  if (paths.includes("model.safetensors")) return [];
  const count = paths.map((path) => /^model-\d+-of-(\d+)\.safetensors$/.exec(path)?.[1]).find((n) => n !== undefined);
  if (count === undefined) return [join(dir, "model-*.safetensors")];
  const names = Array.from(
    { length: Number(count) },
    (_, i) => `model-${String(i + 1).padStart(count.length, "0")}-of-${count}.safetensors`,
  );
  return names.filter((name) => !paths.includes(name));
}
