/** What the token cache is known by: everything that decides which tokens a row has. */
import { createHash, type Hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { endianness } from "node:os";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import type { OpenedDatasets } from "../datasets/open.ts";
import type { Coder } from "./example.ts";
import type { RowSettings } from "./settings.ts";

/** Raised when the files of the cache, or the report in them, are laid out otherwise. */
const FORMAT_VERSION = 2;
/** Bytes at the beginning and at the end of a data file that are looked at: whole files would take as long as reading them. */
const LOOKED_AT = 65536;

/** Another version may tokenise otherwise. */
const { version } = JSON.parse(readFileSync(new URL("../../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

/**
 * @param part which of the rows of `opened` the cache holds
 * @throws DataError when a file cannot be read
 */
export async function cacheKey(
  opened: Pick<OpenedDatasets, "files" | "recipe">,
  part: "train" | "validation",
  coder: Coder,
  settings: RowSettings,
): Promise<string> {
  const { tokenizer, template } = coder;
  const { stage, packing } = settings;
  const { now, ...encoding } = coder.settings;
  const hash = createHash("sha256");
  add(hash, [FORMAT_VERSION, version, endianness(), part, opened.recipe, stage, packing, encoding]);
  for (const file of opened.files) add(hash, await contentOf(file));
  for (const name of [...tokenizer.files, "config.json", "generation_config.json"]) {
    const content = await readFile(join(tokenizer.dir, name)).catch(() => undefined);
    add(hash, [name, content === undefined ? null : createHash("sha256").update(content).digest("hex")]);
  }
  const { chatTemplate, toolChatTemplate, stopIds, backend } = tokenizer;
  add(hash, [backend, stopIds, chatTemplate, toolChatTemplate]);
  const hasDate = [template?.source, toolChatTemplate].some((source) => source?.includes("strftime_now"));
  add(hash, [template?.name, template?.source, template?.stopIds, hasDate ? now?.toDateString() : null]);
  return hash.digest("hex").slice(0, 32);
}

function add(hash: Hash, value: unknown): void {
  hash.update(`${JSON.stringify(value)}\n`);
}

/** Path, size, time of the last change, and a hash of both ends. */
async function contentOf(path: string): Promise<unknown[]> {
  try {
    const { size, mtimeMs } = await stat(path);
    const hash = createHash("sha256");
    const file = await open(path);
    try {
      for (const position of [0, Math.max(0, size - LOOKED_AT)]) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(LOOKED_AT), 0, LOOKED_AT, position);
        hash.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
    return [path, size, mtimeMs, hash.digest("hex")];
  } catch (cause) {
    throw new DataError({ where: path, what: "cannot be read", got: (cause as NodeJS.ErrnoException).code, cause });
  }
}
