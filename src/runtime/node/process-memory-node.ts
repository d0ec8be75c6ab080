/** Peak memory of this process: for reports, and for measurements in processes of their own. */
import { readFile, writeFile } from "node:fs/promises";

/**
 * Peak of the resident memory. Linux's own record is read where there is one: what `resourceUsage` gives also remembers the
 * process that started this one.
 */
export async function peakBytes(): Promise<number> {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? process.resourceUsage().maxRSS;
  return Number(kibibytes) * 1024;
}

/** Linux can forget the peak so far. Elsewhere what was freed before the run may hide a part of what the run needs. */
export async function resetPeak(): Promise<void> {
  try {
    await writeFile("/proc/self/clear_refs", "5");
  } catch {
    // Not Linux.
  }
}
