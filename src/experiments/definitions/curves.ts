/** What was measured at each point, a number per seed, as a curve: means, with standard deviations as bars. */
import type { RankSeries } from "../../figures/rank-curve.ts";
import type { SweepSeries } from "../../figures/sweep.ts";
import { sampleOf } from "../frame/statistics.ts";

/** @param samples of each x */
export function sweepOf(name: string, x: readonly number[], samples: readonly (readonly number[])[]): SweepSeries {
  const found = samples.map(sampleOf);
  return { name, x, y: found.map(({ mean }) => mean), spread: found.map(({ deviation }) => deviation) };
}

/** @param samples of each rank @param times what they are multiplied by, for percent. Default: 1 */
export function rankCurveOf(
  name: string,
  samples: readonly (readonly [rank: number, values: readonly number[]])[],
  times = 1,
): RankSeries {
  return {
    name,
    points: samples.map(([rank, values]) => {
      const { mean, deviation } = sampleOf(values);
      return { rank, y: times * mean, spread: times * deviation };
    }),
  };
}
