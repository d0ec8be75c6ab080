/** A method that is merged into its base, and one that cannot be. */
import assert from "node:assert/strict";
import { merge, unmerge } from "../adapters/merge.ts";
import { ConfigError } from "../errors.ts";
import { type Bench, scatter } from "./method-bench.ts";
import { close, difference, ROUNDING, sameBits } from "./method-numbers.ts";
import { logitsOf, readAll } from "./method-rig.ts";

export async function checkMerge({ device, rig, adapter, x }: Bench): Promise<void> {
  const { parameters } = rig.model;
  await scatter({ device, rig, adapter });
  const before = await readAll(device, parameters);
  const base = await logitsOf(device, rig, x, []);
  const unmerged = await logitsOf(device, rig, x, [adapter]);
  const kept = await merge(device, adapter);
  const merged = await logitsOf(device, rig, x, []);
  close(merged, unmerged, "merged logits");
  assert.ok(difference(merged, base) > 100 * ROUNDING, "merging has no effect");
  await unmerge(device, kept);
  for (const [name, tensor] of await readAll(device, parameters)) sameBits(tensor, before.get(name)!, name);
}

export async function checkNoMerge({ device, adapter }: Bench): Promise<void> {
  await assert.rejects(merge(device, adapter), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.ok((error.problem.hint ?? "").length > 0, "the method does not say why it cannot be merged");
    return true;
  });
}
