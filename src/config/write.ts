/** `training_args.yaml`: the whole configuration of a run, which runs it again. */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { stringify } from "yaml";
import type { Settings } from "./derive.ts";
import { ENTRIES, SECTIONS } from "./keys.ts";
import { idleKeys } from "./rules.ts";

/**
 * Every honoured key with the value that the run has, by sections, in LLaMA-Factory's names. Left out: secrets, and the
 * settings of methods that are not used. Reading it gives the same configuration.
 */
export function formatRunConfig(settings: Settings): string {
  const idle = idleKeys(settings);
  const values = new Map<string, unknown>(Object.entries(settings));
  const sections = Object.keys(SECTIONS).map((section) => {
    const lines = ENTRIES.filter((entry) => entry.section === section && entry.key.status === "honoured")
      .filter(({ name, key }) => key.secret !== true && !idle.includes(name))
      .map(({ name, camel }) => `${name}: ${yamlOf(values.get(camel))}\n`);
    return lines.length === 0 ? "" : `### ${section}\n${lines.join("")}`;
  });
  return sections.filter((section) => section !== "").join("\n");
}

/** Writes {@link formatRunConfig}, its folder too; an interruption leaves the file as it was. */
export async function writeRunConfig(path: string, settings: Settings): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, formatRunConfig(settings));
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** As both YAML 1.1 and 1.2 read it: PyYAML takes `1e-8` for text, and an unquoted `no` for false. */
function yamlOf(value: unknown): string {
  if (typeof value === "number") return String(value).replace(/^(-?\d+)e/, "$1.0e");
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    if (items.length === 0) return "none";
    const isPlain = items.every((item) => typeof item === "number" || /^[^,\s]+$/.test(String(item)));
    return isPlain ? yamlOf(items.length === 1 ? items[0] : items.join(",")) : JSON.stringify(items);
  }
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  // A text of several lines would be indented, which a value behind its key cannot be: in JSON's quotes it is one line.
  if (typeof value === "string" && /[\n\r]/.test(value)) return JSON.stringify(value);
  return stringify(value, { version: "1.1", lineWidth: 0 }).trimEnd();
}
