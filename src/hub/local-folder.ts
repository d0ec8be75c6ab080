/** Folders that are here already. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { DataError } from "../errors.ts";
import { namesInFolder, statIfThere } from "../formats/safetensors/user-folder.ts";
import { MARKER, notOfKind, type RepoKind } from "./kind.ts";

/** The folder that a path leads to; undefined for what can be a name on the hub only. */
export async function localFolder(nameOrPath: string, kind: RepoKind): Promise<string | undefined> {
  const path = resolve(nameOrPath.replace(/^~(?=$|[/\\])/, homedir()));
  const found = nameOrPath === "" ? undefined : await statIfThere(path);
  if (found === undefined) {
    if (!/^(\.|\/|~|[A-Za-z]:)|\\|\/$|\/.*\//.test(nameOrPath)) return undefined;
    throw new DataError({ where: nameOrPath, what: "there is no such folder", hint: "check the path" });
  }
  if (!found.isDirectory()) {
    if (kind === "dataset") return path;
    throw new DataError({ where: nameOrPath, what: `this is a file: a ${kind} is given as its folder` });
  }
  const names = await namesInFolder(path);
  const marker = MARKER[kind];
  if (kind !== "dataset" && marker !== undefined && !names.includes(marker)) {
    throw lacking(nameOrPath, notOfKind(kind, names), names);
  }
  return path;
}

/** The error for a folder or repository without the files of its kind. @param names of the files that it has */
export function lacking(
  where: string,
  { what, hint }: { what: string; hint: string },
  names: readonly string[],
): DataError {
  const shown = names.toSorted().slice(0, 10).join(", ");
  const got =
    names.length === 0 ? "an empty folder" : names.length > 10 ? `${shown} and ${names.length - 10} more` : shown;
  return new DataError({ where, what, got, hint });
}
