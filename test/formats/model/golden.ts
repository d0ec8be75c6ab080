/** Checkpoints made by transformers, and what is in them. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { zeros } from "../../../src/nn/init.ts";
import type { ParameterSpec } from "../../../src/nn/module.ts";

const ROOT = fileURLToPath(new URL("../../../../golden/checkpoints/", import.meta.url));

type Described = Record<string, { shape: number[]; sha256: string }>;
const expected = JSON.parse(readFileSync(`${ROOT}expected.json`, "utf8")) as Record<string, Described>;

export interface GoldenCheckpoint {
  readonly dir: string;
  readonly parameters: readonly ParameterSpec[];
  /** SHA-256 of each parameter's float32 bytes. */
  readonly hashes: Readonly<Record<string, string>>;
}

export function goldenCheckpoint(name: string): GoldenCheckpoint {
  const entries = Object.entries(expected[name]!);
  return {
    dir: ROOT + name,
    parameters: entries.map(([parameter, { shape }]) => ({ name: parameter, shape, init: zeros })),
    hashes: Object.fromEntries(entries.map(([parameter, { sha256 }]) => [parameter, sha256])),
  };
}

export function sha256(data: ArrayBufferView): string {
  return createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");
}
