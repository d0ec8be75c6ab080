/** Figures of a series of checkpoints: how many intruders there are at each, and what becomes of the longest-lived ones. */
import { CHART_HEIGHT } from "../../figures/chart-size.ts";
import { intruderTrackCharts, TRACK_CHARTS } from "../../figures/intruder-tracks.ts";
import { csv, type PageFigure } from "../../figures/page/page.ts";
import { sweepSvg } from "../../figures/sweep.ts";
import type { CheckpointReport } from "../report.ts";
import { type NamedTrack, tracksOf } from "./intruder-tracks.ts";
import { placesOf, shortName } from "./matrix-place.ts";

const MAX_TRACKS = 6;
const PAPER = "Shuttleworth et al. (arXiv 2410.21228), figure 5";

export function checkpointFigures(checkpoints: readonly CheckpointReport[]): PageFigure[] {
  if (checkpoints.length === 0) return [];
  const x = checkpoints.map(({ step }) => step);
  const curve = (
    id: string,
    title: string,
    label: string,
    of: (one: CheckpointReport) => number,
    explanation: string,
    source = PAPER,
  ): PageFigure => ({
    id,
    title,
    svg: sweepSvg([{ name: title, x, y: checkpoints.map(of) }], {
      title,
      x: { label: "training step", integer: true },
      y: { label, from: 0, integer: checkpoints.every((one) => Number.isInteger(of(one))) },
    }),
    explanation,
    source,
    data: [
      {
        name: `${id}.csv`,
        label: "CSV",
        text: csv(
          ["step", "value"],
          checkpoints.map((one) => [one.step, of(one)]),
        ),
      },
    ],
  });
  const tracks = tracksOf(checkpoints);
  const names = [...new Set(tracks.map(({ matrix }) => matrix))];
  const places = placesOf(names);
  const drawn = tracks.slice(0, MAX_TRACKS).map((track) => {
    const last = track.points.at(-1)!;
    return { ...track, name: `${shortName(places[names.indexOf(track.matrix)]!)}, rank ${last.rank}` };
  });
  return [
    curve(
      "checkpoint-intruders",
      "Intruders while training went on",
      "intruder dimensions",
      (one) => one.total_intruders,
      "The number of intruders at each checkpoint. If it rises early and stays, they came with the first large steps: a lower learning rate or a longer warm-up is what to try.",
    ),
    curve(
      "checkpoint-effective-rank",
      "Effective rank while training went on",
      "effective rank of ΔW, mean",
      (one) => one.effective_rank_delta,
      "How many directions the update uses at each checkpoint: exp of the entropy of its singular values.",
      "Roy and Vetterli 2007",
    ),
    ...(drawn.length === 0 ? [] : trackFigures(tracks, drawn)),
  ];
}

const TRACK_TEXTS = {
  sigma: "Each line is one intruder, with its rank at the last checkpoint. Typical ones grow while training goes on.",
  rank: "The same intruders: typical ones climb towards rank 1, where they shape what the matrix does most.",
  rotation: "How much they still turn: a cosine that approaches 1 means that the direction is settled.",
};

function trackFigures(all: readonly NamedTrack[], drawn: readonly NamedTrack[]): PageFigure[] {
  const subtitle =
    all.length > drawn.length
      ? `${drawn.length} of ${all.length}: those that were there longest`
      : "each line is one vector";
  const numbers = { sigma: "sigma", rank: "rank", rotation: "sameAsBefore" } as const;
  return intruderTrackCharts(drawn, { title: "Strength of intruders", subtitle, height: CHART_HEIGHT }).map(
    (svg, i) => {
      const chart = TRACK_CHARTS[i]!;
      const id = `intruder-tracks-${chart}`;
      const rows = all.flatMap(({ matrix, points }, track) =>
        points.map((point) => [track + 1, matrix, point.step, point[numbers[chart]]]),
      );
      return {
        id,
        title: `Intruders from checkpoint to checkpoint: ${chart}`,
        svg,
        explanation: TRACK_TEXTS[chart],
        source: PAPER,
        data: [{ name: `${id}.csv`, label: "CSV", text: csv(["track", "matrix", "step", chart], rows) }],
      };
    },
  );
}
