/**
 * What a checkpoint has beside the weights, so that the run goes on as if it had never stopped:
 *
 *     optimizer.safetensors   the optimizer's states, float32
 *     resume.json             place in the data, random states, seed, what must not change; every number to its last bit
 *     trainer_state.json      the same run in transformers' words, and its log
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ConfigError, FormatError } from "../../errors.ts";
import { openSafetensors } from "../../formats/safetensors/reader.ts";
import { writeSafetensors } from "../../formats/safetensors/writer.ts";
import type { RandomState } from "../../random.ts";
import type { LmStepperState, StoredSlot } from "../lm-stepper.ts";
import { readJson, replaceFile } from "./durable-file.ts";
import type { Json } from "./python-json.ts";
import { readTrainerState, STATE_FILE, type TrainerState, writeTrainerState } from "./trainer-state.ts";

export const OPTIMIZER_FILE = "optimizer.safetensors";
export const RESUME_FILE = "resume.json";
/** Of resume.json; a higher one is of a later version of this package. */
const FORMAT_VERSION = 2;

/** How far a run has come. Whatever else it needs to know goes in as further fields: any JSON, any number. */
export interface TrainingProgress {
  /** Optimizer steps taken. */
  readonly globalStep: number;
  /** Whole passes over the data. */
  readonly epoch: number;
  /** Rows of the present pass that have been used. */
  readonly positionInEpoch: number;
  readonly tokensSeen: number;
  readonly samplesSkipped: number;
  /** Time that training has taken, in all its parts. */
  readonly elapsedMs: number;
  readonly [further: string]: Json;
}

/** What must not change between the parts of a run, by names that a message can say. */
export type Identity = Readonly<Record<string, Json>>;

export interface TrainingState {
  readonly stepper: LmStepperState;
  readonly progress: TrainingProgress;
  /** States of random generators, by what they are for. */
  readonly random: Readonly<Record<string, RandomState>>;
  readonly identity: Identity;
  readonly trainer: TrainerState;
}

/** Writes the three files into the folder. @throws FormatError if the disk refuses */
export async function writeTrainingState(dir: string, state: TrainingState): Promise<void> {
  const { stepper, progress, random, identity, trainer } = state;
  const tensors = [...stepper.slots].map(([name, slot]) => ({
    name,
    dtype: "F32" as const,
    shape: slot.shape,
    async data() {
      const { dtype, data } = await slot.read();
      if (dtype !== "float32")
        throw new TypeError(`optimizer state ${name} is ${dtype}, and only float32 can be stored`);
      return data;
    },
  }));
  await writeSafetensors(join(dir, OPTIMIZER_FILE), tensors);
  const resume = {
    format_version: FORMAT_VERSION,
    identity,
    stepper: { steps: stepper.steps, seed: stepper.seed },
    progress,
    random,
  };
  await replaceFile(join(dir, RESUME_FILE), `${JSON.stringify(resume, exactly, 2)}\n`);
  await writeTrainerState(dir, trainer);
}

/** @throws ConfigError if the checkpoint has the weights of a run, and not the rest */
export async function checkResumable(dir: string): Promise<void> {
  const isThere = async (name: string) => (await stat(join(dir, name)).catch(() => undefined)) !== undefined;
  if ((await isThere(RESUME_FILE)) || !(await isThere(STATE_FILE))) return;
  throw new ConfigError({
    where: dir,
    what: "the checkpoint has the weights only, from which a run cannot go on as it was (save_only_model: true)",
    hint: "start anew with overwrite_output_dir: true, or with these weights as adapter_name_or_path (a full model: as model_name_or_path) and another output_dir",
  });
}

/**
 * Reads what {@link writeTrainingState} wrote, bit for bit. Files that were damaged are found by `verifyCheckpoint`.
 * @throws FormatError if a file is missing, or is not of the same step as the others
 */
export async function readTrainingState(dir: string): Promise<TrainingState> {
  const path = join(dir, RESUME_FILE);
  await checkResumable(dir);
  const trainer = await readTrainerState(dir);
  const resume = revived(await readJson(path)) as Partial<
    Pick<TrainingState, "progress" | "random" | "identity"> & {
      format_version: number;
      stepper: { steps: number; seed: number };
    }
  > | null;
  const { progress, random, stepper, identity } = resume ?? {};
  const whole = progress !== undefined && random !== undefined && stepper !== undefined && identity !== undefined;
  if (resume?.format_version !== FORMAT_VERSION || !whole) {
    throw new FormatError({
      where: path,
      what: "is not a state that this version reads",
      got: `format_version ${JSON.stringify(resume?.format_version)}`,
      expected: `format_version ${FORMAT_VERSION}`,
      hint: "resume with the version of this package that wrote the checkpoint",
    });
  }
  if (progress.globalStep !== trainer.globalStep) {
    throw new FormatError({
      where: dir,
      what: "the files are of different steps",
      got: `${RESUME_FILE}: ${progress.globalStep}, trainer_state.json: ${trainer.globalStep}`,
      hint: "resume from another checkpoint",
    });
  }
  const slots = await readSlots(join(dir, OPTIMIZER_FILE));
  return { stepper: { ...stepper, slots }, progress, random, identity, trainer };
}

/** Names are given for so many differences. */
const DIFFERENCES_SHOWN = 5;
/** Characters of a value in a message. */
const VALUE_WIDTH = 60;

/**
 * @throws ConfigError naming what is different, if the run that is to go on is not the one that was saved
 */
export function checkIdentity(saved: Identity, now: Identity): void {
  const names = [...new Set([...Object.keys(saved), ...Object.keys(now)])];
  const changed = names.filter((name) => !isDeepStrictEqual(saved[name], now[name]));
  if (changed.length === 0) return;
  const text = (values: Identity) =>
    changed
      .slice(0, DIFFERENCES_SHOWN)
      .map((name) => `${name}: ${shortened(values[name])}`)
      .join("; ") + (changed.length > DIFFERENCES_SHOWN ? `; and ${changed.length - DIFFERENCES_SHOWN} more` : "");
  throw new ConfigError({
    where: "resume_from_checkpoint",
    what: "the configuration is not that of the run that was saved",
    got: text(now),
    expected: text(saved),
    hint: "restore the old values, or start anew with the saved adapter as adapter_name_or_path (a full model: as model_name_or_path)",
  });
}

function shortened(value: Json | undefined): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "none");
  return text.length <= VALUE_WIDTH ? text : `${text.slice(0, VALUE_WIDTH)}…`;
}

/** One at a time: they may be more than the memory holds. The file has to stay until they have been read. */
async function readSlots(path: string): Promise<Map<string, StoredSlot>> {
  const opened = await openSafetensors(path);
  await opened.close();
  const slotAt = (name: string, shape: readonly number[]): StoredSlot => ({
    shape,
    async read() {
      const file = await openSafetensors(path);
      try {
        return { dtype: "float32", shape, data: await file.readFloat32(name) };
      } finally {
        await file.close();
      }
    },
  });
  return new Map([...opened.tensors].map(([name, { shape }]) => [name, slotAt(name, shape)]));
}

/** JSON has all finite numbers but -0, and none of the others: those are written by name. */
function exactly(_key: string, value: unknown): unknown {
  if (typeof value !== "number" || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return { $number: Object.is(value, -0) ? "-0" : String(value) };
}

function revived(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(revived);
  if ("$number" in value) return Number(value.$number);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revived(one)]));
}
