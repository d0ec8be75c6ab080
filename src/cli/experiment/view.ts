/** Shows the jobs of an experiment in a terminal: a line for each that ends, with the time that is left; while it runs, a bar. */
import type { RunWatch } from "../../experiments/frame/run-jobs.ts";
import { isInteractive, type Output } from "../terminal/output.ts";
import { duration, Progress } from "../terminal/progress.ts";

/** A bar counts in these. */
const PARTS = 100;

export function jobsView(log: Output): RunWatch & { stop(): void } {
  let total = 0;
  let done = 0;
  let bar: Progress | undefined;
  const stop = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    plan(jobs, known) {
      total = jobs.length;
      done = known;
      if (known > 0) log.write(`${known} of ${total} jobs are done already: their results are used\n`);
    },
    start({ label }) {
      if (isInteractive(log)) bar = new Progress({ label, total: PARTS, unit: "%", stream: log });
    },
    progress(_job, fraction) {
      bar?.update(Math.floor(PARTS * fraction));
    },
    end({ label }, kept, left) {
      stop();
      done++;
      const count = `[${String(done).padStart(String(total).length)}/${total}]`;
      const words = kept.status === "failed" ? `failed: ${kept.reason.split("\n")[0]!}, ` : "";
      const time = done === total ? "" : `; ${duration(left)} left`;
      log.write(`${count} ${label}: ${words}${kept.seconds.toFixed(1)} s${time}\n`);
    },
    stop,
  };
}
