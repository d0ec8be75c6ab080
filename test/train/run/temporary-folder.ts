import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that is removed with the test. */
export async function temporaryFolder(context: { after(fn: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lowrank-run-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
