/** What the hub says about a repository: the commit of a revision, and the files of it. */
import type { ListFileEntry } from "@huggingface/hub";
import { DataError, FormatError } from "../errors.ts";
import { COMMIT } from "./cached-repo.ts";
import { type Answer, type HubRepo, isUnreachable, refusal } from "./hub-error.ts";

/** Give up on a question that is not answered within this time. */
const ANSWER_MS = 30_000;

export interface HubFile {
  /** Relative to the repository, with `/`; checked not to leave it. */
  readonly path: string;
  readonly bytes: number;
  /** Name of its blob in the cache, and its checksum. */
  readonly etag: string;
  /** Large files are named by SHA-256, small ones as git does. */
  readonly algorithm: "sha256" | "git";
}

/**
 * The commit that a revision is at.
 * @returns undefined when the hub cannot be reached
 * @throws DataError if there is no such repository or revision, or it is closed to the user
 */
export async function askCommit(
  repo: HubRepo,
  signal: AbortSignal | undefined,
): Promise<{ commit: string } | { unreachable: unknown }> {
  const { modelInfo, datasetInfo } = await import("@huggingface/hub");
  return asking(repo, signal, async (fetch) => {
    const { name, revision, endpoint } = repo;
    const question = { name, revision, hubUrl: endpoint, additionalFields: ["sha" as const], fetch };
    const { sha } = await (repo.kind === "dataset" ? datasetInfo(question) : modelInfo(question));
    if (typeof sha !== "string" || !COMMIT.test(sha)) throw malformed(repo, `commit ${JSON.stringify(sha)}`);
    return { commit: sha };
  });
}

/** All files of a commit. @throws DataError as {@link askCommit}, FormatError if a name would leave the folder */
export async function askFiles(
  repo: HubRepo,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<{ files: HubFile[] } | { unreachable: unknown }> {
  const { listFiles } = await import("@huggingface/hub");
  return asking(repo, signal, async (fetch) => {
    const files: HubFile[] = [];
    const designation = { type: repo.kind === "dataset" ? ("dataset" as const) : ("model" as const), name: repo.name };
    const entries = listFiles({
      repo: designation,
      revision: commit,
      recursive: true,
      hubUrl: repo.endpoint,
      fetch,
    });
    for await (const entry of entries) if (entry.type === "file") files.push(checkFile(repo, entry));
    return { files };
  });
}

function checkFile(repo: HubRepo, { path, size, oid, lfs }: ListFileEntry): HubFile {
  const isPlain = (part: string) => part !== "" && part !== "." && part !== "..";
  if (!path.split("/").every(isPlain) || /[\\:\0]/.test(path))
    throw malformed(repo, `file name ${JSON.stringify(path)}`);
  const etag = lfs?.oid ?? oid ?? "";
  const algorithm = lfs === undefined ? "git" : "sha256";
  if (!/^[0-9a-f]+$/.test(etag) || etag.length !== (lfs === undefined ? 40 : 64)) {
    throw malformed(repo, `checksum ${JSON.stringify(etag)} of ${path}`);
  }
  return { path, bytes: size, etag, algorithm };
}

function malformed(repo: HubRepo, got: string): FormatError {
  return new FormatError({ where: `${repo.endpoint}/${repo.name}`, what: "the server's answer makes no sense", got });
}

async function asking<T>(
  repo: HubRepo,
  signal: AbortSignal | undefined,
  ask: (fetch: typeof globalThis.fetch) => Promise<T>,
): Promise<T | { unreachable: unknown }> {
  const last: Answer = {};
  const origin = new URL(repo.endpoint).origin;
  const fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    headers.set("user-agent", "lowrank");
    // Pages of a long list are where the server says; only the hub itself gets the token.
    const url = new URL(input instanceof Request ? input.url : input);
    if (repo.token !== undefined && url.origin === origin) headers.set("authorization", `Bearer ${repo.token}`);
    const timeout = AbortSignal.timeout(ANSWER_MS);
    const response = await globalThis.fetch(input, {
      ...init,
      headers,
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    last.status = response.status;
    last.code = response.headers.get("x-error-code") ?? undefined;
    return response;
  };
  try {
    return await ask(fetch);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof DataError || cause instanceof FormatError) throw cause;
    if (isUnreachable(last)) return { unreachable: cause };
    throw refusal(repo, last, cause);
  }
}
