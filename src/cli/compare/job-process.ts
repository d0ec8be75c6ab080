/** The process of one job of a comparison. It is told what to do, and answers, by messages; its words go to its stderr. */
import { LowrankError } from "../../errors.ts";
import type { Evaluations } from "../../train/compare/result.ts";
import { type JobRequest, type JobStep, measureBase, measureCell } from "./measure.ts";

export interface JobMessage {
  readonly kind: "base" | "cell";
  readonly request: JobRequest;
}

export type JobAnswer =
  | { readonly step: JobStep }
  | { readonly measured: Evaluations }
  /** `mistake`: something that a person can put right; otherwise there is a stack trace. */
  | { readonly failure: string; readonly mistake: boolean };

const send = (answer: JobAnswer, then?: () => void): void => void process.send!(answer, undefined, {}, then);

process.once("message", (message: JobMessage) => void work(message));
// Nobody waits for a result any more.
process.once("disconnect", () => process.exit(1));

async function work({ kind, request }: JobMessage): Promise<void> {
  let answer: JobAnswer;
  try {
    const log = { write: (text: string) => process.stderr.write(text) };
    const measured =
      kind === "base" ? await measureBase(request) : await measureCell(request, log, (step) => send({ step }));
    answer = { measured };
  } catch (error) {
    const mistake = error instanceof LowrankError;
    answer = {
      failure: error instanceof Error ? (mistake ? error.message : (error.stack ?? "")) : String(error),
      mistake,
    };
  }
  send(answer, () => {
    process.removeAllListeners("disconnect");
    process.disconnect();
  });
}
