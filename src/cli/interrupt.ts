/** Ctrl-C: the first one asks the work to stop after the step at hand, the second one ends the process. */

/** Thrown where the work stopped. */
export class Interrupted extends Error {
  constructor() {
    super("stopped");
    this.name = "Interrupted";
  }
}

/**
 * Runs `work` with a signal that is aborted by SIGINT or SIGTERM.
 * @throws Interrupted if the work stopped for it
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step; once more to stop at once\n");
    controller.abort(new Interrupted());
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await work(controller.signal);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
