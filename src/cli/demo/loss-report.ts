/** Losses of the demonstration's three phases, as a picture and as numbers short enough for a report. */
import { lineChartSvg } from "../../figures/line-chart.ts";

export type Phase = "full" | "lora" | "control";

export type PhaseLosses = Readonly<Record<Phase, readonly number[]>>;

/** Entries per phase in the report: means over as many equal stretches. */
const REPORTED = 100;

/** Mean loss over stretches of each phase; `step` is the last step of the stretch, from 1. */
export function thinned(losses: PhaseLosses): Record<Phase, { step: number; loss: number }[]> {
  const thin = (all: readonly number[]) => {
    const stretch = Math.max(1, Math.ceil(all.length / REPORTED));
    return Array.from({ length: Math.ceil(all.length / stretch) }, (_, i) => {
      const part = all.slice(i * stretch, (i + 1) * stretch);
      return { step: i * stretch + part.length, loss: part.reduce((a, b) => a + b, 0) / part.length };
    });
  };
  return { full: thin(losses.full), lora: thin(losses.lora), control: thin(losses.control) };
}

/** SVG: full training, then LoRA and the control side by side from where it ended. */
export function lossChart(losses: PhaseLosses, images: string): string {
  const start = losses.full.length;
  const series = (name: string, y: readonly number[], offset: number) => ({
    name,
    x: y.map((_, i) => offset + i + 1),
    y,
  });
  return lineChartSvg(
    [
      series("full training", losses.full, 0),
      series("LoRA", losses.lora, start),
      series("control: more full training", losses.control, start),
    ],
    {
      title: `${images}: loss while training`,
      xLabel: "step",
      yLabel: "cross-entropy (nats)",
      marks: [{ x: start, label: "LoRA attached" }],
    },
  );
}
