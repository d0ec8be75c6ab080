/** Versions of this package and of what it runs on. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

export async function versions(): Promise<Record<string, string>> {
  const own = new URL("../../../package.json", import.meta.url);
  const engine = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const [{ version: lowrank }, { version: ort }] = (await Promise.all(
    [own, engine].map(async (path) => JSON.parse(await readFile(path, "utf8")) as { version: string }),
  )) as [{ version: string }, { version: string }];
  return { lowrank, "onnxruntime-node": ort, node: process.versions.node };
}
