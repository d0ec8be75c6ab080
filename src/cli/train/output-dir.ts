/** What is done with an output folder that holds something already, as LLaMA-Factory does it. */
import { access, constants, mkdir, readdir, stat } from "node:fs/promises";
import type { RunConfig } from "../../config/read.ts";
import { ConfigError } from "../../errors.ts";
import { checkResumable } from "../../train/run/training-state.ts";
import { checkComplete, findCheckpoints, lastCheckpoint, removeCheckpoints } from "../../train/run/checkpoint-store.ts";

/**
 * The checkpoint to go on from; undefined for a new run. A folder with checkpoints is gone on with, unless
 * `overwrite_output_dir` says otherwise.
 * @throws ConfigError if there is no checkpoint where one is asked for, or the folder holds a run without any
 */
export async function checkpointToResume(config: RunConfig): Promise<string | undefined> {
  const { outputDir, resumeFromCheckpoint: wanted } = config;
  if (typeof wanted === "string") {
    await checkWanted(wanted, outputDir);
    await checkResumable(wanted);
    return wanted;
  }
  if (overwrites(config)) return undefined;
  const last = await lastCheckpoint(outputDir);
  if (last !== undefined) {
    await checkResumable(last.path);
    return last.path;
  }
  if (wanted === true) {
    throw new ConfigError({
      where: "resume_from_checkpoint",
      what: `there is no complete checkpoint in ${outputDir}`,
      hint: "leave the key out to start anew",
    });
  }
  const names: string[] = await readdir(outputDir).catch(() => []);
  if (names.includes("trainer_log.jsonl") && names.includes("all_results.json")) {
    throw new ConfigError({
      where: "output_dir",
      what: "the folder holds a finished run",
      got: outputDir,
      hint: "choose another one, or set overwrite_output_dir: true",
    });
  }
  return undefined;
}

/** Said at once, and not when the data has been read. Damage is found when it is read. */
async function checkWanted(path: string, outputDir: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) {
    await checkComplete(path);
    return;
  }
  const there = (await findCheckpoints(outputDir)).map((checkpoint) => checkpoint.path);
  throw new ConfigError({
    where: "resume_from_checkpoint",
    what: "there is no such folder",
    got: path,
    hint: there.length === 0 ? `there is no checkpoint in ${outputDir} either` : `there are ${there.join(", ")}`,
  });
}

/**
 * Makes the output folder, and takes away the checkpoints of a run that is overwritten. Called when everything else is
 * ready: a run that cannot start must not cost the one before.
 * @throws ConfigError if the folder cannot be made
 */
export async function prepareOutputDir(config: RunConfig, say: (line: string) => void): Promise<void> {
  const { outputDir } = config;
  try {
    await mkdir(outputDir, { recursive: true });
    await access(outputDir, constants.W_OK);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new ConfigError({
      where: "output_dir",
      what: /^(EEXIST|ENOTDIR)$/.test(code)
        ? "is, or is in, something that is no folder"
        : `cannot be written (${code})`,
      got: outputDir,
      hint: "choose another folder",
      cause,
    });
  }
  if (!overwrites(config)) return;
  const old = await findCheckpoints(outputDir);
  await removeCheckpoints(outputDir);
  if (old.length > 0) {
    say(
      `overwrite_output_dir: removed ${old.length === 1 ? "a checkpoint" : `${old.length} checkpoints`} in ${outputDir}`,
    );
  }
}

function overwrites({ resumeFromCheckpoint, overwriteOutputDir }: RunConfig): boolean {
  return resumeFromCheckpoint === null && overwriteOutputDir;
}
