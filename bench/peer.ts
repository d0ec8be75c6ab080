/** Runs the peer's side of a benchmark, if there is a Python with PyTorch on the machine. */
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

/** Set LOWRANK_PYTHON to a Python that has torch, if `python3` is not the one. */
const PYTHON = process.env.LOWRANK_PYTHON ?? "python3";

export function peerVersion(): string | undefined {
  const { status, stdout } = spawnSync(PYTHON, ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** The JSON that a script of bench/peers prints. @throws Error with what it wrote to stderr, if it fails */
export function runPeer(script: string, args: readonly (string | number)[]): unknown {
  return runPython(fileURLToPath(new URL(`../../bench/peers/${script}`, import.meta.url)), args);
}

/** The JSON that a script prints as its last line. @throws Error with what it wrote to stderr, if it fails */
export function runPython(path: string, args: readonly (string | number)[]): unknown {
  const { status, stdout, stderr } = spawnSync(PYTHON, [path, ...args.map(String)], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${basename(path)} failed: ${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as unknown;
}
