/** Shows what comes from the hub, and weights that are made float32. */
import { basename } from "node:path";
import type { HubProgress } from "../hub/resolve.ts";
import type { Output } from "./terminal/output.ts";
import { Progress } from "./terminal/progress.ts";

export class DownloadView {
  readonly #stream: Output;
  #bar: Progress | undefined;
  #label = "";

  constructor(stream: Output = process.stderr) {
    this.#stream = stream;
  }

  readonly show = ({ file, fileBytes, fileTotalBytes }: HubProgress): void =>
    this.#show(`downloading ${basename(file)}`, fileBytes, fileTotalBytes);

  readonly converting = (bytes: number, totalBytes: number): void =>
    this.#show("converting weights", bytes, totalBytes);

  readonly note = (notice: string): void => {
    if (this.#bar === undefined) this.#stream.write(`note: ${notice}\n`);
    else this.#bar.note(`note: ${notice}`);
  };

  /** Ends a bar that is open. */
  readonly stop = (): void => {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#label = "";
  };

  #show(label: string, done: number, total: number): void {
    if (label !== this.#label) {
      this.stop();
      this.#label = label;
      this.#bar = new Progress({ label, total, unit: "B", stream: this.#stream });
    }
    this.#bar?.update(done);
    if (done < total) return;
    this.#bar?.finish();
    this.#bar = undefined;
  }
}
