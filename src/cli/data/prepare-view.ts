/** Shows how far the preparation of data has come: a bar for each activity that takes time. */
import type { PrepareProgress } from "../../data/rows/prepare.ts";
import type { Output } from "../terminal/output.ts";
import { Progress } from "../terminal/progress.ts";

/** Jobs of fewer records, or bytes, are over before a bar could be read. */
const WORTH_A_BAR = { tokenising: 1000, verifying: 100e6 };

export class PrepareView {
  readonly #stream: Output;
  #name = "";
  #bar: Progress | undefined;

  constructor(stream: Output = process.stderr) {
    this.#stream = stream;
  }

  readonly show = ({ part, activity, done, total }: PrepareProgress): void => {
    if (total < WORTH_A_BAR[activity]) return;
    const name = `${activity === "verifying" ? "verifying the token cache" : "tokenising"} (${part})`;
    if (name !== this.#name) {
      this.stop();
      this.#name = name;
      const unit = activity === "verifying" ? "B" : "records";
      this.#bar = new Progress({ label: name, total, unit, stream: this.#stream });
    }
    this.#bar?.update(done);
    if (done < total) return;
    this.#bar?.finish();
    this.#bar = undefined;
  };

  readonly note = (notice: string): void => {
    if (this.#bar === undefined) this.#stream.write(`! ${notice}\n`);
    else this.#bar.note(`! ${notice}`);
  };

  /** Ends a bar that is open. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#name = "";
  }
}
