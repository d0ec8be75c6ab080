/**
 * Decompositions that were computed once, in files:
 *
 *     decompositions/<SHA-256 of the matrix>-values      all singular values
 *     decompositions/<SHA-256 of the matrix>-<count>     the largest values and their vectors
 *
 * A file: `lowrsvd` and a version byte; CRC-32 of all that follows, little-endian, and four zeros; rows, columns, values and
 * vectors as float64; then the values, the left vectors and the right ones, float64 little-endian. A file appears whole or not
 * at all; one that is not what was written is computed anew. Numbers are kept as they were computed, to the last bit, so that
 * a run with the cache says the same as one without.
 *
 * The folder is bounded: what was used longest ago goes. What this run has used stays, so that models that are larger than the
 * bound keep a part of their decompositions rather than pushing out all of them in turn; what does not fit is not kept.
 */
import { createHash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { crc32 } from "node:zlib";
import type { Matrix, Svd } from "../linear-algebra/svd.ts";

/** Of the file and of the algorithm: another one gives other last bits. */
const VERSION = 1;
const MAGIC = Buffer.from([...Buffer.from("lowrsvd"), VERSION]);
const HEADER_BYTES = 16;
const COUNTS = 4;
/** A file that has not been finished for so long has been left. */
const ABANDONED_MS = 3_600_000;

export interface Asked extends Matrix {
  /** Vectors that are wanted; 0: only values, all of them. */
  readonly rank: number;
}

export class DecompositionCache {
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #openedMs: number;

  /** @param openedMs entries that were used later are of this run, and stay */
  constructor(dir: string, maxBytes: number, openedMs: number) {
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    this.#openedMs = openedMs;
  }

  /** Of the numbers and the shape; with these, the number of bytes says the type. */
  keyOf({ rows, columns, data }: Matrix): string {
    return createHash("sha256").update(`${VERSION} ${rows} ${columns}\n`).update(bytesOf(data)).digest("hex");
  }

  /** What is kept of this, or of more. */
  read(key: string, { rows, columns, rank }: Asked): Svd | undefined {
    const all = Math.min(rows, columns);
    const names = rank === 0 ? ["values", all] : rank < all ? [rank, all] : [all];
    for (const name of names) {
      const path = join(this.#dir, `${key}-${name}`);
      const found = readEntry(path, rows, columns);
      if (found === undefined) continue;
      try {
        utimesSync(path, new Date(), new Date());
      } catch {
        // Of another user, or gone: its numbers are here.
      }
      const count = rank === 0 ? all : Math.min(rank, all);
      return {
        values: found.values.slice(0, count),
        left: rank === 0 ? [] : found.left.slice(0, count),
        right: rank === 0 ? [] : found.right.slice(0, count),
      };
    }
    return undefined;
  }

  /** Keeps it where there is space. A disk that refuses is no reason to fail: the cache only saves time. */
  write(key: string, { rows, columns, rank }: Asked, { values, left, right }: Svd): void {
    const length = HEADER_BYTES + 8 * (COUNTS + values.length + left.length * rows + right.length * columns);
    if (endianness() !== "LE" || length > this.#maxBytes) return;
    const bytes = new Uint8Array(length);
    const numbers = new Float64Array(bytes.buffer, HEADER_BYTES);
    numbers.set([rows, columns, values.length, left.length]);
    let at = COUNTS;
    for (const part of [values, ...left, ...right]) {
      numbers.set(part, at);
      at += part.length;
    }
    bytes.set(MAGIC);
    new DataView(bytes.buffer).setUint32(MAGIC.length, crc32(bytes.subarray(HEADER_BYTES)), true);
    try {
      mkdirSync(this.#dir, { recursive: true });
      if (!this.#makeSpace(length)) return;
      const path = join(this.#dir, `${key}-${rank === 0 ? "values" : values.length}`);
      const scratch = `${path}.${process.pid}.${threadId}.tmp`;
      try {
        writeFileSync(scratch, bytes);
        renameSync(scratch, path);
      } finally {
        rmSync(scratch, { force: true });
      }
    } catch (error) {
      if (!(error instanceof Error && "syscall" in error)) throw error;
    }
  }

  /** Removes what was used longest ago. @returns whether so many bytes fit now */
  #makeSpace(needed: number): boolean {
    const entries = readdirSync(this.#dir).flatMap((name) => {
      const path = join(this.#dir, name);
      // Another process may have removed it.
      const state = statSync(path, { throwIfNoEntry: false });
      return state === undefined ? [] : [{ path, bytes: state.size, usedMs: state.mtimeMs }];
    });
    let total = needed + entries.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { path, bytes, usedMs } of entries.toSorted((a, b) => a.usedMs - b.usedMs)) {
      const isAbandoned = path.endsWith(".tmp") && usedMs < Date.now() - ABANDONED_MS;
      const goes = total > this.#maxBytes && usedMs < this.#openedMs && !path.endsWith(".tmp");
      if (!isAbandoned && !goes) continue;
      unlinkSync(path);
      total -= bytes;
    }
    return total <= this.#maxBytes;
  }
}

function readEntry(path: string, rows: number, columns: number): Svd | undefined {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    // A copy, since small files lie anywhere in a common buffer, and numbers cannot.
    bytes = new Uint8Array(readFileSync(path));
  } catch {
    return undefined;
  }
  if (bytes.length < HEADER_BYTES + 8 * COUNTS || bytes.length % 8 !== 0) return undefined;
  if (MAGIC.compare(bytes.subarray(0, MAGIC.length)) !== 0) return undefined;
  if (new DataView(bytes.buffer).getUint32(MAGIC.length, true) !== crc32(bytes.subarray(HEADER_BYTES)))
    return undefined;
  const numbers = new Float64Array(bytes.buffer, HEADER_BYTES);
  const [ownRows, ownColumns, values, vectors] = numbers as unknown as [number, number, number, number];
  if (ownRows !== rows || ownColumns !== columns) return undefined;
  if (numbers.length !== COUNTS + values + vectors * (rows + columns)) return undefined;
  let at = COUNTS;
  const next = (length: number): Float64Array => numbers.slice(at, (at += length));
  return {
    values: next(values),
    left: Array.from({ length: vectors }, () => next(rows)),
    right: Array.from({ length: vectors }, () => next(columns)),
  };
}

function bytesOf({ buffer, byteOffset, byteLength }: Matrix["data"]): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
