/** Real data beside the repository, or where LOWRANK_TEST_DATA says. Tests skip, saying so, where it is absent. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = process.env["LOWRANK_TEST_DATA"] ?? fileURLToPath(new URL("../../../../shared/data", import.meta.url));

/** Path of a folder or file of the shared data. */
export function sharedData(name: string): string {
  return join(root, name);
}
