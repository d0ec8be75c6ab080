/** The files of a zip archive, by name: where their bytes are, or what they unpack to. */
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from "yauzl";
import { Readable } from "node:stream";
import { FormatError } from "../../errors.ts";
import type { FileSource } from "../safetensors/source.ts";
import { quote } from "../safetensors/strict-json.ts";

/** A file in an archive. */
export interface ZipMember {
  readonly name: string;
  /** Unpacked. */
  readonly bytes: number;
  /** Where its bytes start in the archive; undefined if they are compressed. */
  readonly start: number | undefined;
  /** The whole of it. @throws FormatError if it is damaged, or longer than it says */
  read(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Files of an archive: tensors of a large model are tens of thousands. */
const MAX_MEMBERS = 1e6;

const STORED = 0;
const DEFLATED = 8;

/**
 * @throws FormatError if it is no archive, or has members that are encrypted, twice there, outside of it, or named to leave
 *   a folder
 */
export async function openZip(source: FileSource): Promise<ReadonlyMap<string, ZipMember>> {
  const zip = await attempt(source.path, () =>
    fromRandomAccessReaderPromise(new SourceReader(source), source.bytes, { autoClose: false }),
  );
  if (zip.entryCount > MAX_MEMBERS) throw damaged(source.path, `it says that it has ${zip.entryCount} files`);
  const entries = await attempt(source.path, async () => {
    const found: Entry[] = [];
    for await (const entry of zip.eachEntry()) found.push(entry);
    return found;
  });
  const members = new Map<string, ZipMember>();
  for (const entry of entries) {
    const { fileName: name } = entry;
    if (name.endsWith("/")) continue;
    if (members.has(name)) throw damaged(source.path, `${quote(name)} is there twice`);
    if (entry.isEncrypted()) throw damaged(source.path, `${quote(name)} is encrypted`);
    members.set(name, await attempt(`${source.path}: ${name}`, () => memberOf(source, zip, entry)));
  }
  return members;
}

async function memberOf(source: FileSource, zip: ZipFile, entry: Entry): Promise<ZipMember> {
  const { fileName: name, uncompressedSize: bytes, compressionMethod: method, compressedSize } = entry;
  const where = `${source.path}: ${name}`;
  if (method !== STORED && method !== DEFLATED) throw damaged(where, `it is compressed by method ${method}`);
  const { fileDataStart: start } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
  if (start + compressedSize > source.bytes) {
    throw damaged(where, `its ${compressedSize} bytes from ${start} on leave the archive of ${source.bytes}`);
  }
  if (method === STORED && compressedSize !== bytes) throw damaged(where, "its two sizes differ");
  return {
    name,
    bytes,
    start: method === STORED ? start : undefined,
    async read() {
      const target = allocated(where, bytes);
      if (method === STORED) {
        await source.read(target, start, name);
        return target;
      }
      return attempt(where, async () => {
        let at = 0;
        // The stream fails if there is more or less than the archive says.
        for await (const chunk of (await zip.openReadStreamPromise(entry)) as AsyncIterable<Uint8Array>) {
          target.set(chunk, at);
          at += chunk.length;
        }
        return target;
      });
    },
  };
}

export function allocated(where: string, bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new FormatError({ where, what: "is too large for one array on this machine", got: `${bytes} bytes`, cause });
  }
}

/** Lets yauzl read what a source reads. */
class SourceReader extends RandomAccessReader {
  readonly #source: FileSource;

  constructor(source: FileSource) {
    super();
    this.#source = source;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    const source = this.#source;
    return Readable.from(
      (async function* () {
        for (let at = start; at < end;) {
          const chunk = new Uint8Array(Math.min(2 ** 20, end - at));
          await source.read(chunk, at, "archive");
          at += chunk.length;
          yield chunk;
        }
      })(),
      { objectMode: false },
    );
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    void this.#answer(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length), position, callback);
  }

  async #answer(target: Uint8Array, position: number, callback: (error: Error | null) => void): Promise<void> {
    let problem: Error | null = null;
    try {
      await this.#source.read(target, position, "archive");
    } catch (error) {
      problem = error instanceof Error ? error : new Error(String(error));
    }
    callback(problem);
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

async function attempt<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FormatError || !(error instanceof Error)) throw error;
    throw damaged(where, error.message, error);
  }
}

function damaged(where: string, got: string, cause?: unknown): FormatError {
  return new FormatError({
    where,
    what: "is not a sound zip archive",
    got,
    hint: "fetch the file again: it may have been cut",
    ...(cause === undefined ? {} : { cause }),
  });
}
