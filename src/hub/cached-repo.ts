/**
 * One repository in the cache that is shared with Python's `huggingface_hub`:
 *
 *     models--org--name/refs/main                       text: the commit that `main` was at
 *     models--org--name/blobs/<etag>                     the bytes; <etag>.incomplete while they come
 *     models--org--name/snapshots/<commit>/config.json   link to a blob
 */
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { RepoKind } from "./kind.ts";

export const COMMIT = /^[0-9a-f]{40}$/;

export class CachedRepo {
  readonly dir: string;

  constructor(cacheDir: string, kind: RepoKind, name: string) {
    const type = kind === "dataset" ? "datasets" : "models";
    this.dir = join(cacheDir, [type, ...name.split("/")].join("--"));
  }

  /** @param etag SHA-256 of a large file, git's SHA-1 of a small one, in hexadecimal */
  blob(etag: string): string {
    return join(this.dir, "blobs", etag);
  }

  snapshot(commit: string): string {
    return join(this.dir, "snapshots", commit);
  }

  /** The commit that a branch or tag was at when it was last fetched; a commit itself. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const text = await readFile(join(this.dir, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(text.trim()) ? text.trim() : undefined;
  }

  /** Remembers where a revision is. Whole or not at all. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.dir, "refs", revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.${process.pid}.tmp`, commit);
    await rename(`${path}.${process.pid}.tmp`, path);
  }

  /** Paths of the files of a snapshot whose bytes are there, relative, with `/`; none when there is no snapshot. */
  async files(commit: string): Promise<string[]> {
    const root = this.snapshot(commit);
    const names = await readdir(root, { recursive: true }).catch(() => []);
    const found = await Promise.all(
      names.map(async (name) => ((await bytesOf(join(root, name))) === undefined ? [] : [name.replaceAll("\\", "/")])),
    );
    return found.flat();
  }

  /** Gives a blob its name in a snapshot: as a link, or as a copy where links need rights that the user lacks. */
  async link(etag: string, commit: string, path: string): Promise<void> {
    const [blob, name] = [this.blob(etag), join(this.snapshot(commit), path)];
    await mkdir(dirname(name), { recursive: true });
    await rm(name, { force: true });
    try {
      await symlink(relative(dirname(name), blob), name);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") return; // another process was faster
      if (code !== "EPERM" && code !== "ENOSYS" && code !== "EINVAL" && code !== "ENOTSUP") throw error;
      await copyFile(blob, `${name}.tmp`);
      await rename(`${name}.tmp`, name);
    }
  }
}

/** Size of a file, through links; undefined where there is none. */
export async function bytesOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true ? found.size : undefined;
}
