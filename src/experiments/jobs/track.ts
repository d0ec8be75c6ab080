/**
 * Intruders through a training run: those of its end, followed back from checkpoint to checkpoint. The vector of a checkpoint that
 * resembles the one after it most is taken to be the same one.
 */
import { DEFAULT_EPSILON, DEFAULT_K } from "../../analysis/measures/intruders.ts";
import { cosines, maxCosines } from "../../analysis/measures/similarity.ts";
import type { Columns } from "../../linear-algebra/columns.ts";
import { svd } from "../../linear-algebra/svd.ts";
import { job, type JobKind } from "../experiment.ts";
import { bundledIdentity } from "../rig/bundled.ts";
import { checkpointFile, readTuned } from "../rig/weights-file.ts";
import { baseSvds, eachMatrix } from "./spectra.ts";
import { TRAIN, type TrainSettings } from "./train.ts";

export interface TrackSettings {
  /** With checkpoints, the last of them at the end. */
  readonly of: TrainSettings;
}

export interface TrackResult {
  readonly checkpoints: readonly { readonly step: number; readonly intruders: number }[];
  /** One for each intruder of the end. */
  readonly tracks: readonly Track[];
}

export interface Track {
  readonly matrix: string;
  /** One for each checkpoint, in the order of steps. */
  readonly points: readonly TrackPoint[];
}

export interface TrackPoint {
  readonly step: number;
  /** From 1. */
  readonly rank: number;
  readonly sigma: number;
  /** With the base's vectors. */
  readonly maxCos: number;
  /** |cosine| with the vector of the last checkpoint. */
  readonly likeLast: number;
  /** |cosine| with the vector of the checkpoint after it: the link of the chain. */
  readonly likeNext: number;
}

interface Vectors {
  readonly name: string;
  readonly values: Float64Array;
  readonly left: Columns;
  readonly max: readonly number[];
}

export const TRACK: JobKind<TrackSettings, TrackResult> = {
  name: "track",
  version: 1,
  label: ({ of }) => `checkpoints of ${TRAIN.label(of)}`,
  seconds: ({ of }) => 3 * (of.checkpoints?.length ?? 0),
  depends: async () => [await bundledIdentity()],
  needs: ({ of }) => [job(TRAIN, of)],
  async run({ of }, context) {
    const { checkpoints = [] } = of;
    const { folder } = context.done(job(TRAIN, of));
    const base = await baseSvds();
    // By checkpoint, by matrix: vectors, and their largest cosines.
    const found: (readonly Vectors[])[] = [];
    for (const [i, step] of checkpoints.entries()) {
      const { matrices } = await readTuned(folder, checkpointFile(step));
      const progress = (part: number) => context.progress((i + part) / checkpoints.length);
      found.push(
        await eachMatrix(matrices, { ...context, progress }, ({ name, tuned }) => {
          const { values, left } = svd(tuned);
          return { name, values, left, max: maxCosines(cosines(base.get(name)!.left, left)).max };
        }),
      );
    }
    const isIntruder = (cosine: number | undefined) => cosine !== undefined && cosine < DEFAULT_EPSILON;
    const counts = found.map((matrices, i) => ({
      step: checkpoints[i]!,
      intruders: matrices.reduce((sum, { max }) => sum + max.slice(0, DEFAULT_K).filter(isIntruder).length, 0),
    }));
    const tracks = (found.at(-1) ?? []).flatMap((last, m): Track[] =>
      last.max.slice(0, DEFAULT_K).flatMap((cosine, place) => {
        if (!isIntruder(cosine)) return [];
        const end = last.left[place]!;
        const points: TrackPoint[] = [];
        let [next, at, like] = [end, place, 1];
        for (let i = found.length - 1; i >= 0; i--) {
          const { values, left, max } = found[i]![m]!;
          if (i < found.length - 1) {
            const resembling = cosines([next], left).data;
            at = resembling.indexOf(resembling.reduce((most, value) => Math.max(most, value)));
            like = resembling[at]!;
            next = left[at]!;
          }
          const likeLast = cosines([end], [next]).data[0]!;
          points.unshift({
            step: checkpoints[i]!,
            rank: at + 1,
            sigma: values[at]!,
            maxCos: max[at]!,
            likeLast,
            likeNext: like,
          });
        }
        return [{ matrix: last.name, points }];
      }),
    );
    return { checkpoints: counts, tracks };
  },
};
