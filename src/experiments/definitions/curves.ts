/** What was measured at each point, a number per seed, as a curve: means, with standard deviations as bars. */
import type { SampledRanks, SampledSweep, Samples } from "../frame/charts.ts";

/** @param samples of each x */
export function sweepOf(name: string, x: readonly number[], samples: readonly Samples[]): SampledSweep {
  return { name, x, samples };
}

/** @param samples of each rank @param times what they are multiplied by, for percent. Default: 1 */
export function rankCurveOf(
  name: string,
  samples: readonly (readonly [rank: number | "full", values: Samples])[],
  times = 1,
): SampledRanks {
  return {
    name,
    points: samples.map(([rank, values]) => ({ rank, samples: values.map((value) => times * value) })),
  };
}
