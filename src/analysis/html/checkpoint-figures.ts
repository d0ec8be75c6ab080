/** Figures of a series of checkpoints: how many intruders there are at each, and what becomes of the longest-lived ones. */
import { intruderTracksSvg } from "../../figures/intruder-tracks.ts";
import { csv, type PageFigure } from "../../figures/page/page.ts";
import { sweepSvg } from "../../figures/sweep.ts";
import type { CheckpointReport } from "../report.ts";
import { tracksOf } from "./intruder-tracks.ts";
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
  ): PageFigure => ({
    id,
    title,
    svg: sweepSvg([{ name: title, x, y: checkpoints.map(of) }], {
      title,
      x: { label: "training step", integer: true },
      y: { label, from: 0 },
    }),
    explanation,
    source: PAPER,
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
      "How many directions the update uses at each checkpoint.",
    ),
    ...(drawn.length === 0
      ? []
      : [
          {
            id: "intruder-tracks",
            title: "Intruders from checkpoint to checkpoint",
            svg: intruderTracksSvg(drawn, {
              title: "Strength of intruders",
              subtitle:
                tracks.length > drawn.length
                  ? `${drawn.length} of ${tracks.length}: those that were there longest`
                  : "each line is one vector",
            }),
            explanation:
              "Each line is one intruder. Typical ones grow in σ, climb towards rank 1, and turn less and less: their cosine with the checkpoint before approaches 1.",
            source: PAPER,
            data: [
              {
                name: "intruder-tracks.csv",
                label: "CSV",
                text: csv(
                  ["track", "matrix", "step", "rank", "sigma", "same_as_before"],
                  tracks.flatMap(({ matrix, points }, i) =>
                    points.map((point) => [i + 1, matrix, point.step, point.rank, point.sigma, point.sameAsBefore]),
                  ),
                ),
              },
            ],
          },
        ]),
  ];
}
