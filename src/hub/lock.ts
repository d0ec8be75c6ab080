/** One process at a time fetches a file: two that append to the same bytes would spoil them. */
import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;
/** The holder says so often that it is alive; one that missed several of these is not. */
const TOUCH_MS = 10_000;
const STALE_MS = 60_000;

/** Runs `work` while holding the file `path`. A lock whose process has ended is taken over. */
export async function withLock<T>(path: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    try {
      await writeFile(path, `${hostname()} ${process.pid}`, { flag: "wx" });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (await isAbandoned(path)) await rm(path, { force: true });
    else await sleep(POLL_MS, undefined, signal && { signal });
  }
  const touch = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), TOUCH_MS).unref();
  try {
    return await work();
  } finally {
    clearInterval(touch);
    await rm(path, { force: true });
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return false;
  if (Date.now() - found.mtimeMs > STALE_MS) return true;
  const [host, pid] = (await readFile(path, "utf8").catch(() => "")).split(" ");
  // Only processes of this machine can be asked.
  if (host !== hostname() || pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
