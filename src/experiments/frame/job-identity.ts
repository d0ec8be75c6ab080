/** What the result of a job depends on, as a hash: its settings, the files that it reads, the jobs that it needs, and the code. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { codeIdentity } from "../../train/compare/identity.ts";
import { canonical } from "../canonical.ts";
import type { Job } from "../experiment.ts";

/** Raised when what is kept of a job becomes another thing. */
export const JOB_FORMAT = 1;

/** Folders of the package that cannot change the result of a job: those that show it, or conclude from it. */
const ASIDE = [
  "cli",
  "server",
  "testing",
  "figures",
  join("analysis", "html"),
  join("train", "compare"),
  join("experiments", "definitions"),
  join("experiments", "frame"),
];

/** A job with everything that the frame must know of it. */
export interface PlannedJob {
  readonly job: Job;
  /** Hash of all but the code, 32 hexadecimal digits: the name under which it is kept. */
  readonly identity: string;
  readonly label: string;
  /** Expected. */
  readonly seconds: number;
  /** Identities. */
  readonly needs: readonly string[];
}

const DEFAULT_SECONDS = 10;

export async function experimentCode(): Promise<string> {
  return codeIdentity(ASIDE);
}

/** Name of a job within one process: the same kind and settings are the same job. */
export function keyOf({ kind, settings }: Job): string {
  return `${kind.name}${kind.version}:${canonical(settings)}`;
}

/**
 * The jobs and all that they need, each once, in an order in which each comes after what it needs.
 * @returns by {@link keyOf}
 */
export async function planJobs(jobs: readonly Job[]): Promise<ReadonlyMap<string, PlannedJob>> {
  const planned = new Map<string, PlannedJob>();
  const add = async (job: Job): Promise<string> => {
    const key = keyOf(job);
    const known = planned.get(key);
    if (known !== undefined) return known.identity;
    const { kind, settings } = job;
    const needs: string[] = [];
    for (const needed of kind.needs?.(settings) ?? []) needs.push(await add(needed));
    const hashes = (await kind.depends?.(settings)) ?? [];
    const text = JSON.stringify([JOB_FORMAT, kind.name, kind.version, canonical(settings), hashes, needs]);
    const identity = createHash("sha256").update(text).digest("hex").slice(0, 32);
    const seconds = kind.seconds?.(settings) ?? DEFAULT_SECONDS;
    planned.set(key, { job, identity, label: kind.label(settings), seconds, needs });
    return identity;
  };
  for (const job of jobs) await add(job);
  return planned;
}
