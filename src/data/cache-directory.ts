/** Where downloaded files are kept. */

import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";

/**
 * The folder for downloads: `LOWRANK_CACHE`, else `XDG_CACHE_HOME/lowrank`, else `~/.cache/lowrank`. An empty variable
 * counts as unset, and so does a relative `XDG_CACHE_HOME` (XDG Base Directory Specification).
 */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const own = env["LOWRANK_CACHE"];
  if (own) return resolve(own);
  const xdg = env["XDG_CACHE_HOME"];
  return join(xdg && isAbsolute(xdg) ? xdg : join(homedir(), ".cache"), "lowrank");
}
