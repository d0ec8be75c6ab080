/** Intruders that are the same vector in several checkpoints, followed from one to the next. */
import type { IntruderTrack } from "../../figures/intruder-tracks.ts";
import type { CheckpointReport, TrackedIntruder } from "../report.ts";

/** Below this |cosine| a vector is not the one of the checkpoint before. */
const SAME = 0.5;

export interface NamedTrack extends IntruderTrack {
  readonly matrix: string;
}

/** All tracks of at least one point, the strongest at their end first. */
export function tracksOf(checkpoints: readonly CheckpointReport[]): NamedTrack[] {
  const done: NamedTrack[] = [];
  /** Tracks that reach the checkpoint before, by matrix and rank there. */
  let open = new Map<string, NamedTrack>();
  for (const { step, matrices } of checkpoints) {
    const next = new Map<string, NamedTrack>();
    for (const { name, intruders } of matrices) {
      for (const intruder of intruders) {
        const before = open.get(keyOf(name, intruder.rank_before));
        const isSame = before !== undefined && (intruder.same_as_before ?? 0) >= SAME;
        // One vector goes on in one place only.
        if (isSame) open.delete(keyOf(name, intruder.rank_before));
        next.set(keyOf(name, intruder.rank), grown(isSame ? before : undefined, name, step, intruder));
      }
    }
    done.push(...open.values());
    open = next;
  }
  done.push(...open.values());
  const last = ({ points }: NamedTrack) => points.at(-1)!;
  return done.sort(
    (a, b) => last(b).step - last(a).step || b.points.length - a.points.length || last(b).sigma - last(a).sigma,
  );
}

function keyOf(matrix: string, rank: number | null): string {
  return `${rank} ${matrix}`;
}

function grown(track: NamedTrack | undefined, matrix: string, step: number, intruder: TrackedIntruder): NamedTrack {
  const { sigma, rank, same_as_before: same } = intruder;
  // Another vector was the most similar one: this one is new, and has not turned.
  const point = { step, sigma, rank, sameAsBefore: same !== null && same >= SAME ? same : null };
  return { matrix, name: "", points: [...(track?.points ?? []), point] };
}
