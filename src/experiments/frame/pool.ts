/**
 * Results of jobs on disk, one file each and a folder beside it for what the job kept: `KIND/HASH.json`, `KIND/HASH/`. Both are
 * written aside and renamed, the file last, so that what is there is whole.
 */
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../errors.ts";
import { readJson, replaceFile } from "../../train/run/durable-file.ts";
import { JOB_FORMAT, type PlannedJob } from "./job-identity.ts";

interface Kept {
  readonly format: typeof JOB_FORMAT;
  readonly kind: string;
  readonly label: string;
  readonly settings: unknown;
  /** `HASH-CODE` */
  readonly identity: string;
  readonly seconds: number;
}

export interface FinishedJob extends Kept {
  readonly status: "finished";
  readonly result: unknown;
}

export interface FailedJob extends Kept {
  readonly status: "failed";
  /** In words for a person. */
  readonly reason: string;
}

export type KeptJob = FinishedJob | FailedJob;

export class Pool {
  readonly dir: string;
  readonly #code: string;

  /** @param code hash of the code that runs now */
  constructor(dir: string, code: string) {
    this.dir = dir;
    this.#code = code;
  }

  /** Of what the job kept; there only if it is finished and kept something. */
  folder(planned: PlannedJob): string {
    return join(this.dir, planned.job.kind.name, planned.identity);
  }

  /** Where the job keeps what it needs to go on after an interruption. */
  state(planned: PlannedJob): string {
    return `${this.folder(planned)}-${this.#code}.state`;
  }

  /**
   * What was kept of this very job; undefined where there is nothing, or something damaged.
   * @param anyCode also if another version of the code made it
   */
  async read(planned: PlannedJob, anyCode: boolean): Promise<KeptJob | undefined> {
    const found = (await readJson(this.#file(planned)).catch(() => undefined)) as Partial<KeptJob> | null | undefined;
    if (found === undefined || found === null || found.format !== JOB_FORMAT) return undefined;
    const [identity, code] = (found.identity ?? "").split("-");
    if (identity !== planned.identity || (!anyCode && code !== this.#code)) return undefined;
    const isWhole =
      found.status === "failed" ? typeof found.reason === "string" : found.status === "finished" && "result" in found;
    return isWhole ? (found as KeptJob) : undefined;
  }

  /** An empty folder for the job at hand. @throws ConfigError if none can be made */
  async begin(planned: PlannedJob): Promise<string> {
    const draft = `${this.folder(planned)}.${process.pid}.part`;
    try {
      await rm(draft, { recursive: true, force: true });
      await mkdir(draft, { recursive: true });
    } catch (cause) {
      throw new ConfigError({
        where: "--jobs",
        what: "is no folder, and none can be made there",
        got: this.dir,
        cause,
      });
    }
    return draft;
  }

  /** @param draft of {@link begin}, if the job was begun */
  async end(
    planned: PlannedJob,
    draft: string | undefined,
    outcome: { readonly result: unknown } | { readonly reason: string },
    seconds: number,
  ): Promise<KeptJob> {
    const { job, identity, label } = planned;
    const common = {
      format: JOB_FORMAT,
      kind: job.kind.name,
      label,
      settings: job.settings,
      identity: `${identity}-${this.#code}`,
      seconds: Number(seconds.toFixed(2)),
    } as const;
    const kept: KeptJob =
      "reason" in outcome
        ? { ...common, status: "failed", reason: outcome.reason }
        : { ...common, status: "finished", result: outcome.result };
    const text = JSON.stringify(kept, finiteOnly);
    await rm(this.#file(planned), { force: true });
    await rm(this.folder(planned), { recursive: true, force: true });
    if (kept.status === "finished") await rm(this.state(planned), { recursive: true, force: true });
    if (draft !== undefined) await this.#settle(draft, planned, kept.status);
    await replaceFile(this.#file(planned), `${text}\n`);
    // As whoever reads it later will have it.
    return JSON.parse(text) as KeptJob;
  }

  /** Removes what a job that was stopped had begun. */
  async drop(draft: string): Promise<void> {
    await rm(draft, { recursive: true, force: true });
  }

  async #settle(draft: string, planned: PlannedJob, status: KeptJob["status"]): Promise<void> {
    if (status === "failed") return this.drop(draft);
    if ((await readdir(draft)).length === 0) return rmdir(draft);
    await rename(draft, this.folder(planned));
  }

  #file(planned: PlannedJob): string {
    return `${this.folder(planned)}.json`;
  }
}

/** JSON has no NaN and no infinity: null says that there is no number. */
function finiteOnly(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? null : value;
}
