/**
 * The checkpoints of a run, `output_dir/checkpoint-N`: at every moment, whatever is killed, those that were there before or
 * those after. A new one is written into a folder with a temporary name, put on the disk, and renamed.
 *
 *     .checkpoint-N.tmp-PID      being written                     removed when PID is dead
 *     .checkpoint-N.old-PID      replaced by another for step N    put back if that has not come, else removed
 *     .checkpoint-N.gone-PID     being removed                     removed
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { ConfigError } from "../../errors.ts";
import { asFormatError } from "../../formats/safetensors/source.ts";
import { isComplete, writeManifest } from "./checkpoint-manifest.ts";
import { errorCode, syncFolder } from "./durable-file.ts";

export { checkComplete, verifyCheckpoint } from "./checkpoint-manifest.ts";

const NAME = /^checkpoint-(\d+)$/;
const SIDE_NAME = /^\.(checkpoint-\d+)\.(tmp|old|gone)-(\d+)$/;

export interface CheckpointEntry {
  readonly step: number;
  readonly path: string;
}

export interface SaveCheckpointOptions {
  /** How many may stand, the newest and the best always among them. Default, and below 1: any number. */
  readonly saveTotalLimit?: number;
  /** Path of the best checkpoint so far, which is never removed. */
  readonly keep?: string;
}

export interface SavedCheckpoint {
  readonly path: string;
  /** Paths of older checkpoints that were removed for it. */
  readonly removed: readonly string[];
}

/** Folders that this process is writing: their names alone could be those of a dead process with the same id. */
const writing = new Set<string>();

/**
 * Makes `checkpoint-<step>`, in the place of any that has the name.
 * @param write puts the files into the folder that it is given, `trainer_state.json` among them
 * @returns its path, once it is on the disk and older ones beyond the limit are gone
 * @throws FormatError if the disk refuses. What `write` throws is passed on; then all is as it was
 */
export async function saveCheckpoint(
  outputDir: string,
  step: number,
  write: (dir: string) => Promise<void>,
  { saveTotalLimit, keep }: SaveCheckpointOptions = {},
): Promise<SavedCheckpoint> {
  if (!Number.isSafeInteger(step) || step < 0) {
    throw new ConfigError({ where: "checkpoint", what: "not a step", got: step, expected: "an integer >= 0" });
  }
  const path = join(outputDir, `checkpoint-${step}`);
  const draft = sidePath(path, "tmp");
  writing.add(resolve(draft));
  try {
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    await write(draft);
    await writeManifest(draft, step);
    await putInPlace(draft, path);
    return { path, removed: await rotate(outputDir, path, saveTotalLimit ?? 0, keep) };
  } catch (error) {
    // Another error, of a disk that is gone, would hide the first one.
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    throw asFormatError(error, path, "cannot be written");
  } finally {
    writing.delete(resolve(draft));
  }
}

/** The complete checkpoints in the folder, by rising step. Files are looked at, not read: {@link verifyCheckpoint} does. */
export async function findCheckpoints(outputDir: string): Promise<CheckpointEntry[]> {
  const found: CheckpointEntry[] = [];
  for (const name of await namesIn(outputDir)) {
    const digits = NAME.exec(name)?.[1];
    const path = join(outputDir, name);
    if (digits !== undefined && (await isComplete(path))) found.push({ step: Number(digits), path });
  }
  return found.toSorted((a, b) => a.step - b.step);
}

/**
 * The complete checkpoint with the highest step, after {@link cleanCheckpoints} has set right what a dead process left;
 * undefined if there is none.
 */
export async function lastCheckpoint(outputDir: string): Promise<CheckpointEntry | undefined> {
  await cleanCheckpoints(outputDir);
  return (await findCheckpoints(outputDir)).at(-1);
}

/** Sets right what runs that were killed left in the folder. Does nothing to a run that is alive on this machine. */
export async function cleanCheckpoints(outputDir: string): Promise<void> {
  try {
    for (const name of await namesIn(outputDir)) {
      const [, original = "", kind, pid] = SIDE_NAME.exec(name) ?? [];
      if (kind === undefined) continue;
      const path = join(outputDir, name);
      if (Number(pid) === process.pid ? writing.has(draftOf(path)) : isAlive(Number(pid))) continue;
      const target = join(outputDir, original);
      if (kind === "old" && (await isComplete(path)) && !(await isComplete(target))) {
        await rm(target, { recursive: true, force: true });
        await rename(path, target);
        await syncFolder(outputDir);
      } else await rm(path, { recursive: true, force: true });
    }
  } catch (error) {
    throw asFormatError(error, outputDir, "cannot be cleaned");
  }
}

/** Removes every checkpoint of the folder, complete or not: a new run that overwrites an old one starts with this. */
export async function removeCheckpoints(outputDir: string): Promise<void> {
  try {
    for (const name of await namesIn(outputDir)) if (NAME.test(name)) await removeFolder(join(outputDir, name));
  } catch (error) {
    throw asFormatError(error, outputDir, "cannot be cleaned");
  }
}

async function putInPlace(draft: string, path: string): Promise<void> {
  const folder = join(path, "..");
  const old = sidePath(path, "old");
  await rm(old, { recursive: true, force: true });
  // A folder with files cannot be renamed over: the old one steps aside, and comes back if this ends here.
  const replaces = await renameIfThere(path, old);
  try {
    await rename(draft, path);
  } catch (error) {
    if (replaces) await rename(old, path);
    throw error;
  }
  await syncFolder(folder);
  if (replaces) await rm(old, { recursive: true, force: true });
}

/** As transformers does: the oldest go until the limit is met, but neither the new one nor the best. */
async function rotate(outputDir: string, saved: string, limit: number, keep: string | undefined): Promise<string[]> {
  if (limit < 1) return [];
  const all = await findCheckpoints(outputDir);
  const kept = new Set([saved, ...(keep === undefined ? [] : [keep])].map((path) => resolve(path)));
  const limitNow = Math.max(limit, all.filter(({ path }) => kept.has(resolve(path))).length);
  const removed = all.filter(({ path }) => !kept.has(resolve(path))).slice(0, Math.max(0, all.length - limitNow));
  for (const { path } of removed) await removeFolder(path);
  return removed.map(({ path }) => path);
}

/** Renames first: a folder that is half removed must not look like a checkpoint. */
async function removeFolder(path: string): Promise<void> {
  const gone = sidePath(path, "gone");
  await rm(gone, { recursive: true, force: true });
  if (await renameIfThere(path, gone)) await rm(gone, { recursive: true, force: true });
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

function sidePath(path: string, kind: "tmp" | "old" | "gone"): string {
  return join(path, "..", `.${basename(path)}.${kind}-${process.pid}`);
}

/** The draft whose saving a side folder of this process belongs to. */
function draftOf(side: string): string {
  return resolve(side.replace(/\.(old|gone)-(\d+)$/, ".tmp-$2"));
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw asFormatError(error, folder, "cannot be read");
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // The process of another user is alive.
    return errorCode(error) === "EPERM";
  }
}
