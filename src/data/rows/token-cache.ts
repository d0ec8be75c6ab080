/**
 * Tokenised rows in a folder, read one at a time: a data set larger than memory can be trained on, and is tokenised once.
 *
 * - `rows.bin`: int32 words; of each row the numbers of ids, of words of trained runs, of lengths, of sources and of types,
 *   its class (-1: none), and then those: ids, runs, lengths, for each source the number of its file and its line, types;
 * - `index.bin`: float64, the word that each row begins at, and the end of the last;
 * - `manifest.json`: the rest, with hashes of all three.
 *
 * A folder is written under another name and renamed when it is whole. One whose hashes are wrong is not read.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DataError } from "../../errors.ts";
import type { DataReport } from "../report/report.ts";
import { epochOrder, type RowOrder, type RowSource } from "../row-source.ts";
import { countRuns, type StoredRow, toRow } from "./stored-row.ts";

const ROWS = "rows.bin";
const INDEX = "index.bin";
const MANIFEST = "manifest.json";
/** Words before the ids of a row. */
const HEAD = 6;
const NO_CLASS = -1;
/** Bytes that are written at once. */
const CHUNK = 2 ** 20;
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

interface Body {
  readonly key: string;
  readonly rows: number;
  readonly words: number;
  readonly maxSupervised: number;
  /** Data set and file of the sources, by their numbers. */
  readonly files: readonly (readonly [dataset: string, file: string])[];
  readonly rowsHash: string;
  readonly indexHash: string;
  readonly report: DataReport;
}

/** What is in a cache. */
export interface TokenCache {
  readonly rows: RowSource;
  readonly report: DataReport;
}

export interface OpenCacheOptions {
  readonly order: RowOrder;
  /** Called with the bytes that have been verified. */
  readonly onBytes?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * @returns the cache; undefined if there is none; or what is wrong with it
 * @throws the signal's reason
 */
export async function openTokenCache(
  dir: string,
  key: string,
  options: OpenCacheOptions,
): Promise<TokenCache | { readonly damage: string } | undefined> {
  const text = await readFile(join(dir, MANIFEST), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const body = bodyOf(text);
  if (body === undefined || body.key !== key) return { damage: `${MANIFEST} is not what was written` };
  const { signal, onBytes } = options;
  const total = body.words * 4 + (body.rows + 1) * 8;
  let before = 0;
  for (const [name, expected] of [
    [INDEX, body.indexHash],
    [ROWS, body.rowsHash],
  ] as const) {
    const found = await hashOf(join(dir, name), (bytes) => onBytes?.(before + bytes, total), signal);
    if (found?.hash !== expected) return { damage: `${name} is not what was written` };
    before += found.bytes;
  }
  return { rows: await rowsIn(dir, body, options.order), report: body.report };
}

function bodyOf(text: string): Body | undefined {
  try {
    const { body, hash } = JSON.parse(text) as { body: Body; hash: string };
    return hash === sha256(JSON.stringify(body)) ? body : undefined;
  } catch {
    return undefined;
  }
}

async function hashOf(
  path: string,
  onBytes: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<{ hash: string; bytes: number } | undefined> {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const piece of createReadStream(path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      hash.update(piece);
      bytes += piece.length;
      onBytes(bytes);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return undefined;
  }
  return { hash: hash.digest("hex"), bytes };
}

/** Rows by position in the file. */
async function rowsIn(dir: string, body: Body, order: RowOrder): Promise<RowSource> {
  const bytes = await readFile(join(dir, INDEX));
  const starts = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const { rows: length, maxSupervised } = body;
  const lengths = order.groupOf === undefined ? undefined : await lengthsIn(dir, starts);
  return {
    length,
    maxSupervised,
    async *rows(epoch, from) {
      const indices = epochOrder(length, order, epoch, (row) => lengths![row]!);
      const file = await open(join(dir, ROWS)).catch((cause: unknown) => {
        throw vanished(dir, cause);
      });
      try {
        for (let i = from; i < length; i++) {
          const row = indices[i]!;
          yield toRow(parse(await wordsAt(file, starts[row]!, starts[row + 1]!, dir), body));
        }
      } finally {
        await file.close();
      }
    },
  };
}

/** Tokens of each row: the first word of it. @param starts of the rows, and the end of the last one, in words */
async function lengthsIn(dir: string, starts: Float64Array): Promise<Int32Array> {
  const lengths = new Int32Array(starts.length - 1);
  const first = new Int32Array(1);
  const bytes = new Uint8Array(first.buffer);
  let [row, before, at] = [0, 0, 0];
  try {
    for await (const piece of createReadStream(join(dir, ROWS), { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
      // A word may be cut in two by the end of a piece.
      for (; row < lengths.length && 4 * starts[row]! + before < at + piece.length;) {
        const from = 4 * starts[row]! + before - at;
        const count = Math.min(4 - before, piece.length - from);
        bytes.set(piece.subarray(from, from + count), before);
        before += count;
        if (before < 4) break;
        lengths[row++] = first[0]!;
        before = 0;
      }
      at += piece.length;
    }
  } catch (cause) {
    throw vanished(dir, cause);
  }
  return lengths;
}

async function wordsAt(file: FileHandle, start: number, end: number, dir: string): Promise<Int32Array> {
  const words = new Int32Array(end - start);
  const bytes = new Uint8Array(words.buffer);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start * 4);
  if (bytesRead < bytes.length) throw vanished(dir);
  return words;
}

function vanished(dir: string, cause?: unknown): DataError {
  return new DataError({
    where: dir,
    what: "the token cache was removed or changed while it was used",
    hint: "start again: it is made anew",
    ...(cause === undefined ? {} : { cause }),
  });
}

function parse(words: Int32Array, { files }: Body): StoredRow {
  const [ids = 0, runs = 0, lengths = 0, sources = 0, kinds = 0, label = NO_CLASS] = words.subarray(0, HEAD);
  let at = HEAD;
  const take = (count: number): Int32Array => words.subarray(at, (at += count));
  const inputIds = take(ids);
  const trained = take(runs);
  const lengthWords = take(lengths);
  const sourceWords = take(2 * sources);
  const types = take(kinds);
  return {
    inputIds,
    trained,
    ...(label === NO_CLASS ? {} : { label }),
    ...(kinds === 0 ? {} : { types }),
    ...(lengths === 0 ? {} : { lengths: [...lengthWords] }),
    sources: Array.from({ length: sources }, (_, i) => {
      const [dataset, file] = files[sourceWords[2 * i]!]!;
      return { dataset, file, line: sourceWords[2 * i + 1]! };
    }),
  };
}

/** Writes a cache, row by row. */
export class TokenCacheWriter {
  readonly #dir: string;
  readonly #temporary: string;
  readonly #rows: HashedFile;
  readonly #index: HashedFile;
  readonly #files = new Map<string, number>();
  readonly #names: (readonly [string, string])[] = [];
  #count = 0;
  #words = 0;
  #maxSupervised = 0;

  private constructor(dir: string, temporary: string, rows: HashedFile, index: HashedFile) {
    this.#dir = dir;
    this.#temporary = temporary;
    this.#rows = rows;
    this.#index = index;
  }

  /** @throws DataError when the folder cannot be made */
  static async create(dir: string): Promise<TokenCacheWriter> {
    const temporary = `${dir}.${randomUUID().slice(0, 8)}.tmp`;
    try {
      await removeAbandoned(dir);
      await mkdir(temporary, { recursive: true });
      const rows = new HashedFile(await open(join(temporary, ROWS), "w"));
      const index = new HashedFile(await open(join(temporary, INDEX), "w"));
      return new TokenCacheWriter(dir, temporary, rows, index);
    } catch (cause) {
      throw notWritten(dir, cause);
    }
  }

  /** @throws DataError when the disk is full */
  async add(row: StoredRow): Promise<void> {
    const { inputIds, trained, lengths = [], sources, types = [], label = NO_CLASS } = row;
    const places = sources.flatMap(({ dataset, file, line }) => [this.#numberOf(dataset, file), line]);
    const head = [inputIds.length, trained.length, lengths.length, sources.length, types.length, label];
    const parts = [head, inputIds, trained, lengths, places, types];
    const words = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      words.set(part, at);
      at += part.length;
    }
    await this.#write(this.#index, Float64Array.of(this.#words));
    await this.#write(this.#rows, words);
    this.#words += words.length;
    this.#count++;
    this.#maxSupervised = Math.max(this.#maxSupervised, countRuns(trained));
  }

  /**
   * Gives the folder its name; one that is there already is replaced.
   * @throws DataError when it cannot be written
   */
  async finish(key: string, report: DataReport): Promise<void> {
    await this.#write(this.#index, Float64Array.of(this.#words));
    try {
      const body: Body = {
        key,
        rows: this.#count,
        words: this.#words,
        maxSupervised: this.#maxSupervised,
        files: this.#names,
        rowsHash: await this.#rows.close(),
        indexHash: await this.#index.close(),
        report,
      };
      const text = JSON.stringify({ body, hash: sha256(JSON.stringify(body)) });
      await writeFile(join(this.#temporary, MANIFEST), text);
      await rm(this.#dir, { recursive: true, force: true });
      await rename(this.#temporary, this.#dir);
    } catch (cause) {
      // Another process made the same one at the same time: the key says that it has the same rows.
      if (!["ENOTEMPTY", "EEXIST"].includes((cause as NodeJS.ErrnoException).code ?? "")) {
        throw notWritten(this.#dir, cause);
      }
      await rm(this.#temporary, { recursive: true, force: true });
    }
  }

  /** Removes what was written. */
  async abandon(): Promise<void> {
    await this.#rows.close().catch(() => undefined);
    await this.#index.close().catch(() => undefined);
    await rm(this.#temporary, { recursive: true, force: true });
  }

  async #write(file: HashedFile, words: Int32Array | Float64Array): Promise<void> {
    try {
      await file.write(words);
    } catch (cause) {
      throw notWritten(this.#dir, cause);
    }
  }

  #numberOf(dataset: string, file: string): number {
    const name = `${dataset}\n${file}`;
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    this.#files.set(name, this.#names.length);
    return this.#names.push([dataset, file]) - 1;
  }
}

/** A file that is hashed as it is written. */
class HashedFile {
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  #waiting: Uint8Array[] = [];
  #bytes = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(words: Int32Array | Float64Array): Promise<void> {
    this.#waiting.push(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    this.#bytes += words.byteLength;
    if (this.#bytes >= CHUNK) await this.#flush();
  }

  /** @returns the hash of all that was written */
  async close(): Promise<string> {
    await this.#flush();
    await this.#file.close();
    return this.#hash.digest("hex");
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting);
    [this.#waiting, this.#bytes] = [[], 0];
    this.#hash.update(bytes);
    await this.#file.writeFile(bytes);
  }
}

/** What a process left behind that was killed. It cannot be told from one at work but by its age. */
async function removeAbandoned(dir: string): Promise<void> {
  const names = await readdir(dirname(dir)).catch(() => []);
  for (const name of names.filter((found) => found.startsWith(`${basename(dir)}.`) && found.endsWith(".tmp"))) {
    const path = join(dirname(dir), name);
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true });
  }
}

function notWritten(dir: string, cause: unknown): DataError {
  return new DataError({
    where: dirname(dir),
    what: "the token cache cannot be written",
    got: (cause as NodeJS.ErrnoException).code ?? (cause as Error).message,
    hint: "tokenized_path: FOLDER puts it elsewhere; or set LOWRANK_CACHE",
    cause,
  });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
