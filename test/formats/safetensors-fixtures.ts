/** Files for the tests of the safetensors format. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import { FormatError } from "../../src/errors.ts";

/** Folder of the golden files; this file runs from dist/test/formats. */
export const GOLDEN = fileURLToPath(new URL("../../../golden/safetensors/", import.meta.url));

/** What golden/safetensors/expected.json says about a tensor. */
export interface ExpectedTensor {
  dtype: string;
  shape: number[];
  hex: string;
}

/** A folder that is removed with the test. */
export async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lowrank-safetensors-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A file with this header, exactly as given, and `dataBytes` bytes 0, 1, 2, … of data. */
export function fileBytes(header: string | Uint8Array, dataBytes: number, headerLength?: bigint): Buffer {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerLength ?? BigInt(text.byteLength));
  return Buffer.concat([length, text, Uint8Array.from({ length: dataBytes }, (_, i) => i)]);
}

/** Writes the file and returns its path. */
export async function writeRaw(folder: string, name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** The message of the FormatError that `action` must end in. */
export async function failure(action: Promise<unknown>): Promise<string> {
  const error: unknown = await action.then(
    () => assert.fail("expected a FormatError, but nothing was thrown"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof FormatError)) throw error;
  return error.message;
}
