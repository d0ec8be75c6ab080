/** Starts the process of a job and waits for what it measured. Whatever becomes of that process, the comparison goes on. */
import { fork } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Evaluations } from "../../train/compare/result.ts";
import type { JobAnswer, JobMessage } from "./job-process.ts";
import type { JobStep } from "./measure.ts";

const PROCESS = new URL("./job-process.js", import.meta.url);
/** Of the end of a process's words, where it said nothing else. */
const TAIL = 400;
/** A process that does not end when it is asked to is ended. */
const PATIENCE_MS = 3000;

export type JobOutcome = { readonly measured: Evaluations } | { readonly reason: string };

export interface JobHooks {
  /** Told of every step of the run. */
  readonly onStep?: (step: JobStep) => void;
  /** Told the id of the process. */
  readonly onProcess?: (pid: number) => void;
  /** Ends the process. */
  readonly signal?: AbortSignal;
}

/**
 * @param logPath gets what the process says
 * @throws the signal's reason
 */
export async function runJob(
  message: JobMessage,
  logPath: string,
  { onStep, onProcess, signal }: JobHooks = {},
): Promise<JobOutcome> {
  signal?.throwIfAborted();
  await mkdir(dirname(logPath), { recursive: true });
  const log = createWriteStream(logPath);
  // In a group of its own: Ctrl-C is for the comparison, which decides what becomes of the job.
  const child = fork(PROCESS, { detached: true, silent: true, serialization: "advanced", execArgv: [] });
  let tail = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (chunk: Buffer) => {
      log.write(chunk);
      tail = (tail + chunk.toString()).slice(-TAIL);
    });
  }
  let outcome: JobOutcome | undefined;
  child.on("message", (answer: JobAnswer) => {
    if ("step" in answer) onStep?.(answer.step);
    else if ("measured" in answer) outcome = answer;
    else {
      log.write(`\n${answer.failure}\n`);
      outcome = { reason: answer.mistake ? answer.failure : `a bug in lowrank: ${answer.failure}` };
    }
  });
  const ended = new Promise<{ code: number | null; by: NodeJS.Signals | null; error?: Error }>((resolve) => {
    child.once("error", (error) => resolve({ code: null, by: null, error }));
    child.once("close", (code, by) => resolve({ code, by }));
  });
  let kill: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill("SIGTERM");
    kill = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  };
  signal?.addEventListener("abort", stop, { once: true });
  // One that has ended already is told of by its end.
  child.send(message, () => {});
  if (child.pid !== undefined) onProcess?.(child.pid);
  const { code, by, error } = await ended;
  signal?.removeEventListener("abort", stop);
  clearTimeout(kill);
  await new Promise<void>((resolve) => void log.end(resolve));
  signal?.throwIfAborted();
  if (outcome !== undefined) return outcome;
  if (error !== undefined) return { reason: `its process did not start: ${error.message}` };
  const how = by === null ? `with status ${code}` : `by ${by}${by === "SIGKILL" ? ", as when memory runs out" : ""}`;
  const words = tail.trim().split("\n").at(-1) ?? "";
  return { reason: `its process ended ${how}${words === "" ? "" : `; it said last: ${words}`}` };
}
