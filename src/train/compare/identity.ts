/**
 * What the result of a cell depends on: its configuration, the files of model, tokenizer and data, and the code that trains.
 * A cell whose identity is that of a result on disk need not run again.
 */
import { createHash } from "node:crypto";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { ENTRIES } from "../../config/keys.ts";
import type { RunConfig } from "../../config/read.ts";
import { idleKeys } from "../../config/rules.ts";
import type { OpenedDatasets } from "../../data/datasets/open.ts";
import { DataError } from "../../errors.ts";
import { RESULT_FORMAT } from "./result.ts";

/** Files up to this size are read whole; of larger ones the size and both ends count. */
const WHOLE_BYTES = 64 * 2 ** 20;
const END_BYTES = 2 ** 20;

/** Folders of the package that cannot change a result. */
const ASIDE = ["cli", "server", "testing", "figures", "analysis", "experiments", join("train", "compare")];

/**
 * Hash of the compiled code that trains, and of the engine's version.
 * @param aside folders of the package that cannot change a result
 */
export async function codeIdentity(aside: readonly string[] = ASIDE): Promise<string> {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const files = (await readdir(root, { recursive: true, encoding: "utf8" }))
    .filter((file) => file.endsWith(".js") && !aside.some((folder) => file.startsWith(folder + sep)))
    .toSorted();
  const engine = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const { version } = JSON.parse(await readFile(engine, "utf8")) as { version: string };
  const hash = createHash("sha256").update(`${RESULT_FORMAT} ${version}\n`);
  for (const file of files) {
    hash.update(`${file.replaceAll(sep, "/")}\n`).update(await readFile(join(root, file)));
  }
  return hash.digest("hex").slice(0, 32);
}

/** Hash of what the files hold, wherever they are. @throws DataError if one cannot be read */
export async function contentIdentity(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(await hashOf(path));
  return hash.digest("hex").slice(0, 32);
}

/** Of data sets: their files, and what decides which rows of them there are. */
export async function dataIdentity(opened: Pick<OpenedDatasets, "files">): Promise<string> {
  return contentIdentity(opened.files);
}

/** What {@link identityOfJob} hashes, but for the code. */
export interface IdentityParts {
  readonly config: RunConfig;
  readonly forgetting: RunConfig | undefined;
  /** Hashes of files. */
  readonly hashes: readonly string[];
  readonly code: string;
  /** Whatever else there is, such as the number of steps. */
  readonly more: readonly unknown[];
}

/** `CONFIGURATION-CODE`, both in hexadecimal digits. */
export function identityOfJob({ config, forgetting, hashes, code, more }: IdentityParts): string {
  const settings = [config, ...(forgetting === undefined ? [] : [forgetting])].map(saidBy);
  const text = JSON.stringify([RESULT_FORMAT, settings, hashes, more]);
  return `${createHash("sha256").update(text).digest("hex").slice(0, 32)}-${code}`;
}

/**
 * Keys whose value is not the default: a key that comes to be later is not another configuration. Where results go does not
 * change them.
 */
function saidBy(config: RunConfig): readonly (readonly [string, unknown])[] {
  const idle = idleKeys(config);
  const values = new Map<string, unknown>(Object.entries(config));
  return ENTRIES.flatMap(({ name, camel, key }) => {
    const value = values.get(camel);
    const isSaid = key.status === "honoured" && key.secret !== true && name !== "output_dir" && !idle.includes(name);
    return isSaid && JSON.stringify(value) !== JSON.stringify(key.byDefault) ? [[name, value] as const] : [];
  });
}

async function hashOf(path: string): Promise<Buffer> {
  const hash = createHash("sha256");
  try {
    const { size } = await stat(path);
    if (size <= WHOLE_BYTES) return hash.update(await readFile(path)).digest();
    const file = await open(path);
    try {
      hash.update(String(size));
      for (const position of [0, size - END_BYTES]) {
        const { buffer } = await file.read(Buffer.alloc(END_BYTES), 0, END_BYTES, position);
        hash.update(buffer);
      }
    } finally {
      await file.close();
    }
    return hash.digest();
  } catch (cause) {
    throw new DataError({ where: path, what: "cannot be read", got: (cause as NodeJS.ErrnoException).code, cause });
  }
}
