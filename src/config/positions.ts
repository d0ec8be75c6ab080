/** Stretched positions that a configuration asks for, in LLaMA-Factory's keys. */
import type { Settings } from "./derive.ts";

/** For `AutoModelForCausalLM.fromPretrained`: nothing where positions are to be as they are. */
export function positionSettings({ ropeScaling, cutoffLen }: Pick<Settings, "ropeScaling" | "cutoffLen">): {
  readonly ropeScaling?: { readonly type: NonNullable<Settings["ropeScaling"]>; readonly length: number };
} {
  return ropeScaling === null ? {} : { ropeScaling: { type: ropeScaling, length: cutoffLen } };
}
