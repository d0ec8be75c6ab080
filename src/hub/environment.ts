/** The variables of the environment that Python's `huggingface_hub` reads, with the same meanings and defaults. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

type Env = NodeJS.ProcessEnv;

/** The folder that holds `models--…`: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
export function hubCacheDirectory(env: Env = process.env): string {
  const own = env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"];
  return own ? resolve(own) : join(home(env), "hub");
}

/** `HF_ENDPOINT`, a mirror, else the hub itself; without a slash at the end. */
export function hubEndpoint(env: Env = process.env): string {
  return (env["HF_ENDPOINT"] || "https://huggingface.co").replace(/\/+$/, "");
}

/** Whether `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` forbids every request. */
export function isOffline(env: Env = process.env): boolean {
  return isTrue(env["HF_HUB_OFFLINE"] || env["TRANSFORMERS_OFFLINE"]);
}

/** `HF_TOKEN`, else what `hf auth login` left in a file, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` forbids to use them. */
export async function hubToken(env: Env = process.env): Promise<string | undefined> {
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return undefined;
  const own = (env["HF_TOKEN"] || env["HUGGING_FACE_HUB_TOKEN"] || "").trim();
  if (own) return own;
  const file = env["HF_TOKEN_PATH"] || join(home(env), "token");
  const stored = await readFile(file, "utf8").catch(() => "");
  return stored.trim() || undefined;
}

function home(env: Env): string {
  const own = env["HF_HOME"];
  return own ? resolve(own) : join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "huggingface");
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? "");
}
