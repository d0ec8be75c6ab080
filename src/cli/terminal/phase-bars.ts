/** One progress bar after the other, for the phases of a job. */
import { Progress, type ProgressOptions } from "./progress.ts";

/** How far a phase has come. */
export interface PhaseProgress<P extends string> extends Pick<ProgressOptions, "initial" | "unit"> {
  readonly phase: P;
  readonly done: number;
  readonly total: number;
}

export class PhaseBars<P extends string> {
  readonly #labels: Readonly<Record<P, string>>;
  #phase: P | undefined;
  #bar: Progress | undefined;
  #isDone = false;

  /** @param labels of the phases */
  constructor(labels: Readonly<Record<P, string>>) {
    this.#labels = labels;
  }

  /** Another phase than before ends its bar, and begins the next one. */
  show({ phase, done, total, ...options }: PhaseProgress<P>): void {
    if (phase !== this.#phase) {
      this.end();
      this.#phase = phase;
      this.#bar = new Progress({ label: this.#labels[phase], total, ...options });
    }
    this.#bar?.update(done);
    this.#isDone = done === total;
  }

  /** Ends a bar that is open. */
  end(): void {
    if (this.#isDone) this.#bar?.finish();
    else this.#bar?.stop();
    this.#bar = undefined;
    this.#phase = undefined;
  }
}
