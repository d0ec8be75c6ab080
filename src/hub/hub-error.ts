/** What the hub's refusals mean, and what a user can do about them. */
import { DataError } from "../errors.ts";
import type { RepoKind } from "./kind.ts";

export interface HubRepo {
  readonly kind: RepoKind;
  /** `org/name` */
  readonly name: string;
  readonly revision: string;
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
}

/** The last answer of the server; empty when there was none. */
export interface Answer {
  status?: number;
  /** `X-Error-Code`, by which the hub tells apart what shares a status. */
  code?: string | undefined;
}

/** No answer, or none that says anything about the repository: a copy in the cache will do. */
export function isUnreachable({ status }: Answer): boolean {
  return status === undefined || status >= 500 || status === 429 || status === 408;
}

/** Address of the repository's page. */
export function pageOf({ endpoint, kind, name }: HubRepo): string {
  return `${endpoint}/${kind === "dataset" ? "datasets/" : ""}${name}`;
}

/** The error for an answer that refuses. */
export function refusal(repo: HubRepo, { status, code }: Answer, cause?: unknown): DataError {
  const page = pageOf(repo);
  const thing = repo.kind === "dataset" ? "dataset" : "model";
  const problem = (what: string, hint: string) =>
    new DataError({ where: page, what, got: `HTTP status ${status}`, hint, cause });
  if (code === "RevisionNotFound") {
    return problem(
      `there is no revision "${repo.revision}"`,
      `${page}/tree/main lists branches and tags; check "revision"`,
    );
  }
  if (code === "GatedRepo" || (status === 403 && repo.token !== undefined)) {
    const hint =
      repo.token === undefined
        ? `accept the licence at ${page}, then set HF_TOKEN to a token of yours (${repo.endpoint}/settings/tokens)`
        : `accept the licence at ${page} with the account that HF_TOKEN belongs to; the token needs read access to it`;
    return problem(`this ${thing} is gated: its owner wants the licence accepted first`, hint);
  }
  if (status === 401 || status === 403 || status === 404) {
    const about = `check the spelling; a local folder of this name does not exist`;
    const rights =
      repo.token === undefined
        ? `if it is private or gated, accept its licence at ${page} and set HF_TOKEN`
        : status === 401
          ? "HF_TOKEN may be wrong or expired"
          : "if it is private, HF_TOKEN has to be of an account that may read it";
    return problem(`there is no such ${thing}, or it is closed to you`, `${about}; ${rights}`);
  }
  return problem("the hub does not answer as expected", "try again later, or give a local folder");
}
