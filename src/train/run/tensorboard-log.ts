/** Sends the log of a run to TensorBoard, with the curves and names of transformers' `TensorBoardCallback`. */
import { hostname } from "node:os";
import { join } from "node:path";
import { EventFile } from "../../formats/tensorboard/event-file.ts";
import type { TrainerCallback } from "./events.ts";
import { metricsOf } from "./log-rows.ts";

export interface TensorboardOptions {
  /** Folder of the event file. Default: `runs/<time>_<host>` in the output folder; transformers' `logging_dir`. */
  readonly loggingDir?: string;
  /** Milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number;
}

export function tensorboardLog({ loggingDir, now = Date.now }: TensorboardOptions = {}): TrainerCallback {
  let file: EventFile | undefined;
  return {
    async onStart({ outputDir, startStep, settings }) {
      const folder = loggingDir ?? join(outputDir, "runs", `${timeName(new Date(now()))}_${hostname()}`);
      file = await EventFile.create(folder, { now, ...(startStep > 0 ? { resumeStep: startStep + 1 } : {}) });
      await file.text("args", JSON.stringify(settings, null, 2));
    },
    async onLog({ row }) {
      const curves = Object.entries(metricsOf(row)).map(([name, value]) => [curveName(name), value] as const);
      await file?.scalars(row.step, Object.fromEntries(curves));
    },
    async onEnd() {
      await file?.close();
      file = undefined;
    },
  };
}

/** `eval_loss` is `eval/loss`, `test_x` is `test/x`, `analysis_x` is `analysis/x`, and anything else is training. */
export function curveName(metric: string): string {
  const [, split, name] = /^(eval|test|analysis)_(.*)$/.exec(metric) ?? [];
  return split === undefined || name === undefined ? `train/${metric}` : `${split}/${name}`;
}

/** `Jun03_14-05-09`, as PyTorch names the folder of a run. */
function timeName(time: Date): string {
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (value: number) => String(value).padStart(2, "0");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join("-");
  return `${months[time.getMonth()]}${two(time.getDate())}_${clock}`;
}
