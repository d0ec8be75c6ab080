/** A small server that answers as the hub does, as far as downloads need it. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeRepo {
  /** Path to contents. Those from 100 bytes on are large files, which another address serves. */
  files: Record<string, string | Buffer>;
  commit: string;
  /** Closed to all but this token. */
  token?: string;
  gated?: boolean;
}

export interface Asked {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

const LARGE = 100;

export class FakeHub {
  /** By address: `org/name`, `datasets/org/name`. */
  readonly repos = new Map<string, FakeRepo>();
  asked: Asked[] = [];
  /** Answers before the hub does; returns whether it has. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly #server: Server;
  /** Where large files are: another origin, which must not see the token. */
  readonly #store: Server;

  private constructor() {
    const record = (request: IncomingMessage, response: ServerResponse, answer: () => void) => {
      const { range, authorization } = request.headers;
      this.asked.push({ path: request.url ?? "", range, authorization });
      if (!this.intercept(request, response)) answer();
    };
    this.#server = createServer((request, response) => {
      record(request, response, () => this.#answer(request, response));
    });
    this.#store = createServer((request, response) => {
      record(request, response, () => {
        const sha256 = (request.url ?? "").slice(1);
        const all = [...this.repos.values()].flatMap(({ files }) =>
          Object.values(files).map((file) => Buffer.from(file)),
        );
        sendBytes(
          request,
          response,
          all.find((file) => hash("sha256", file) === sha256)!,
        );
      });
    });
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    await Promise.all(
      [hub.#server, hub.#store].map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))),
    );
    return hub;
  }

  get endpoint(): string {
    return addressOf(this.#server);
  }

  async stop(): Promise<void> {
    for (const server of [this.#server, this.#store]) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? "", this.endpoint);
    const api = /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname);
    const file = /^\/((?:datasets\/)?[^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    const name = api ? `${api[1] === "datasets" ? "datasets/" : ""}${api[2]}` : (file?.[1] ?? "");
    const repo = this.repos.get(name);
    const fail = (status: number, code: string) => {
      response.writeHead(status, { "x-error-code": code, "content-type": "application/json" });
      response.end(JSON.stringify({ error: code }));
    };
    if (repo === undefined) return fail(401, "RepoNotFound");
    const authorized = repo.token === undefined || request.headers.authorization === `Bearer ${repo.token}`;
    // What a gated repository is made of can be seen by all.
    if (!authorized && !(repo.gated && api)) return fail(401, repo.gated ? "GatedRepo" : "RepoNotFound");
    if (api) {
      const revision = decodeURIComponent(api[4]!);
      if (revision !== "main" && revision !== repo.commit) return fail(404, "RevisionNotFound");
      response.setHeader("content-type", "application/json");
      const info = { _id: "1", id: name, sha: repo.commit, lastModified: "2024-01-01T00:00:00.000Z" };
      response.end(JSON.stringify(api[3] === "revision" ? info : treeOf(repo)));
      return;
    }
    const contents = repo.files[decodeURIComponent(file![3]!)];
    if (contents === undefined) return fail(404, "EntryNotFound");
    const bytes = Buffer.from(contents);
    if (bytes.length < LARGE) sendBytes(request, response, bytes);
    else response.writeHead(302, { location: `${addressOf(this.#store)}/${hash("sha256", bytes)}` }).end();
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function treeOf({ files }: FakeRepo): object[] {
  return Object.entries(files).map(([path, contents]) => {
    const bytes = Buffer.from(contents);
    const lfs =
      bytes.length < LARGE ? {} : { lfs: { oid: hash("sha256", bytes), size: bytes.length, pointerSize: 130 } };
    return { type: "file", path, size: bytes.length, oid: gitHash(bytes), ...lfs };
  });
}

function sendBytes(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const range = start > 0 ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {};
  response.writeHead(start > 0 ? 206 : 200, { "content-length": bytes.length - start, ...range });
  response.end(bytes.subarray(start));
}

export function hash(algorithm: string, bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest("hex");
}

export function gitHash(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}
