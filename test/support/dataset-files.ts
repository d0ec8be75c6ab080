/** Data sets in a temporary folder, and what reading them gives. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { LowrankError } from "../../src/errors.ts";

/** A folder that is gone after the tests; the function writes a file into it and gives its path. */
export async function temporaryFolder(): Promise<{
  root: string;
  write: (name: string, content: string | Uint8Array) => Promise<string>;
}> {
  const root = await mkdtemp(join(tmpdir(), "lowrank-datasets-"));
  after(() => rm(root, { recursive: true }));
  const write = async (name: string, content: string | Uint8Array) => {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return path;
  };
  return { root, write };
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** The message of the error that a user gets. */
export async function complaint(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail("nothing was refused"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof LowrankError, String(error));
  return error.message;
}

export function jsonLines(records: readonly object[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}
