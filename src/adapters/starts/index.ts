/** Starts of LoRA: the table of contents. */
import { gaussian, standardNormal } from "./gaussian.ts";
import { kaiming } from "./kaiming.ts";
import { loftq } from "./loftq.ts";
import { olora } from "./olora.ts";
import { orthogonal } from "./orthogonal.ts";
import { pissa } from "./pissa.ts";
import { random } from "./random.ts";
import type { LoraStart } from "./start.ts";

export const STARTS: readonly LoraStart[] = [
  kaiming,
  gaussian,
  standardNormal,
  random,
  orthogonal,
  pissa,
  olora,
  loftq,
];

export function findStart(name: unknown): LoraStart | undefined {
  if (typeof name !== "string") return undefined;
  return STARTS.find((start) => start.name === name || start.also?.test(name) === true);
}

/** The start that a checked setting names. */
export function startNamed(name: string): LoraStart {
  return findStart(name)!;
}
