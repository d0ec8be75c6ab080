/** Intruders during training: do they grow, climb and turn? */
import { job, type Conclusion, type Experiment, type Results, type Scale } from "../experiment.ts";
import { intruderTracks, sweep } from "../frame/charts.ts";
import { meanOf, sampleOf, spreadOf } from "../frame/statistics.ts";
import { isAbove, isAboveLevel } from "../frame/verdict.ts";
import { TRACK, type Track, type TrackResult } from "../jobs/track.ts";
import { claimOf } from "./claims.ts";
import { sweepOf } from "./curves.ts";
import { CHECKPOINT_STEPS, ILLUSION, loraRun, PRODUCT, type Run, SETTING } from "./protocol.ts";

const RANK = 8;
/** At the learning rate of the other experiments r = 8 has almost no intruders to follow; at twice that it has. */
const TIMES = 2;
const STEPS = CHECKPOINT_STEPS;
/** Tracks in a figure. */
const SHOWN = 6;

const run: Run = (seed) => loraRun(RANK, seed, { product: TIMES * PRODUCT });

export const CHECKPOINTS: Experiment = {
  name: "checkpoints",
  title: "Intruders during training",
  about: "Do intruder dimensions grow in σ, climb in rank and turn while training goes on?",
  source: `${ILLUSION}, fig. 5`,
  minutes: 2,
  setting: [
    ...SETTING,
    `Here r = 8 with α · η = ${TIMES * PRODUCT}, twice that of the other experiments, since with theirs there are hardly any intruders to follow at r = 8. Weights after ${STEPS.join(", ")} steps.`,
    "An intruder of the last checkpoint is followed back: of each checkpoint the vector that resembles it most in the one after it.",
  ],
  jobs: ({ seeds }) => seeds.map(trackJob),
  conclude,
};

function trackJob(seed: number) {
  return job(TRACK, { of: run(seed) });
}

function conclude(results: Results, scale: Scale): Conclusion {
  const found = scale.seeds.map((seed) => results.of(trackJob(seed)));
  /** Mean over the tracks of each seed. */
  const each = (value: (track: Track) => number) =>
    found.map((one) => (one === undefined || one.tracks.length === 0 ? NaN : meanOf(one.tracks.map(value))));
  const first = ({ points }: Track) => points[0]!;
  const last = ({ points }: Track) => points.at(-1)!;
  const growth = each((track) => last(track).sigma / first(track).sigma);
  const [rankBefore, rankAfter] = [each((track) => first(track).rank), each((track) => last(track).rank)];
  const likeLast = each((track) => first(track).likeLast);
  const count = (at: number) => found.map((one) => one?.checkpoints.at(at)?.intruders ?? NaN);
  const claims = [
    claimOf(
      {
        claim: "There are more intruders at the end than at the beginning",
        source: `${ILLUSION}, fig. 5`,
        published: "they come during training",
      },
      isAbove(count(-1), count(0), { digits: 1 }),
      `after ${STEPS[0]} steps ${spreadOf(count(0), 1)}, after ${STEPS.at(-1)} ${spreadOf(count(-1), 1)} of 280`,
    ),
    claimOf(
      { claim: "Their singular value grows", source: `${ILLUSION}, fig. 5`, published: "σ grows" },
      isAboveLevel(growth, 1),
      `σ at the end / after ${STEPS[0]} steps: ${spreadOf(growth, 2)}`,
    ),
    claimOf(
      { claim: "They climb in rank", source: `${ILLUSION}, fig. 5`, published: "rank becomes higher" },
      isAbove(rankBefore, rankAfter, { digits: 1 }),
      `mean rank after ${STEPS[0]} steps ${spreadOf(rankBefore, 1)}, at the end ${spreadOf(rankAfter, 1)}`,
    ),
    claimOf(
      {
        claim: "They turn: what they come from is another direction (|cosine| below 0.7)",
        source: `${ILLUSION}, fig. 5`,
        published: "the cosine with base vectors falls",
      },
      isAbove(
        likeLast.map(() => 0.7),
        likeLast,
        { digits: 2 },
      ),
      `|cosine| of the vector after ${STEPS[0]} steps with that of the end: ${spreadOf(likeLast, 2)}; with the base's vectors from ${spreadOf(
        each((track) => first(track).maxCos),
        2,
      )} to ${spreadOf(
        each((track) => last(track).maxCos),
        2,
      )}`,
    ),
  ];
  const shown = found[0]?.tracks.toSorted((a, b) => last(b).sigma - last(a).sigma).slice(0, SHOWN) ?? [];
  const mean = (value: (point: Track["points"][number]) => number) =>
    STEPS.map((_, i) => each(({ points }) => value(points[i]!)));
  const cosine = mean(({ maxCos }) => maxCos);
  const counts = STEPS.map((_, i) => count(i));
  return {
    claims,
    figures: [
      ...(shown.length === 0
        ? []
        : [
            {
              name: "tracks",
              title: "Intruders of one run, followed back",
              caption: `The ${shown.length} with the largest σ at the end; seed ${scale.seeds[0]}.`,
              chart: () =>
                intruderTracks(
                  shown.map(({ matrix, points }) => ({
                    name: matrix.replace("model.layers.", "").replace(/self_attn\.|mlp\.|\.weight/g, ""),
                    points: points.map((point, i) => ({
                      step: point.step,
                      sigma: point.sigma,
                      rank: point.rank,
                      // What is kept with a point is the link to the checkpoint after it.
                      sameAsBefore: points[i - 1]?.likeNext ?? null,
                    })),
                  })),
                  { title: "Singular value", subtitle: "LoRA r = 8; intruders of the last checkpoint, followed back" },
                ),
            },
          ]),
      {
        name: "intruders-by-step",
        title: "Intruders over the steps",
        caption: "Mean and standard deviation over seeds.",
        chart: () =>
          sweep([sweepOf("LoRA r = 8", STEPS, counts)], {
            title: "Intruders over the steps",
            x: { label: "training step", integer: true, from: 0 },
            y: { label: "intruders among 280 vectors", from: 0 },
          }),
      },
      ...(cosine.flat().every(Number.isNaN)
        ? []
        : [
            {
              name: "cosine-by-step",
              title: "How intruders leave the base's vectors",
              caption: "Largest |cosine| with a base vector, mean over tracks and seeds.",
              chart: () =>
                sweep([sweepOf("intruders of the end", STEPS, cosine)], {
                  title: "Largest |cosine| with a base vector",
                  x: { label: "training step", integer: true, from: 0 },
                  y: { label: "|cosine|", from: 0, to: 1 },
                }),
            },
          ]),
    ],
    tables: [
      {
        name: "checkpoints",
        title: "Intruders of the end, followed back: mean over tracks, mean ± standard deviation over seeds",
        columns: ["step", "intruders then", "σ", "rank", "|cosine| with the base", "|cosine| with the end"],
        rows: STEPS.map((step, i) => [
          step,
          text(counts[i]!),
          text(mean(({ sigma }) => sigma)[i]!),
          text(mean(({ rank }) => rank)[i]!),
          text(cosine[i]!),
          text(mean((point) => point.likeLast)[i]!),
        ]),
      },
    ],
    notes: [tracksText(found)],
  };
}

function text(values: readonly number[]): string {
  const { mean, deviation, n } = sampleOf(values);
  return n === 0 ? "–" : `${mean.toFixed(2)} ± ${deviation.toFixed(2)}`;
}

function tracksText(found: readonly (TrackResult | undefined)[]): string {
  const counts = found.map((one) => one?.tracks.length ?? 0);
  return `Tracks by seed: ${counts.join(", ")}. A seed without an intruder at the end says nothing about the last three claims.`;
}
