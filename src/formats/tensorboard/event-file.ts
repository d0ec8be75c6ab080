/** An event file that grows: whoever shows the folder with TensorBoard sees a run while it goes on. */
import { mkdir, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { asFormatError } from "../safetensors/source.ts";
import { restartEvent, scalarEvent, textEvent, versionEvent } from "./event.ts";
import { encodeRecord } from "./record.ts";

/** Two files of one process have different names, also within a second. */
let filesOpened = 0;

export interface EventFileOptions {
  /** Milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number;
  /** Default: the machine's name. */
  readonly host?: string;
  /** First step that this run writes, for one that was resumed: older files of the folder are not shown from there on. */
  readonly resumeStep?: number;
}

export class EventFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #now: () => number;

  private constructor(path: string, handle: FileHandle, now: () => number) {
    this.path = path;
    this.#handle = handle;
    this.#now = now;
  }

  /**
   * Starts a new file in `folder`, which is made if need be: `events.out.tfevents.<seconds>.<host>.<pid>.<n>`.
   * @throws FormatError if the file cannot be made
   */
  static async create(folder: string, options: EventFileOptions = {}): Promise<EventFile> {
    const { now = Date.now, host = hostname(), resumeStep } = options;
    const seconds = String(Math.floor(now() / 1000)).padStart(10, "0");
    const path = join(folder, `events.out.tfevents.${seconds}.${host}.${process.pid}.${filesOpened++}`);
    try {
      await mkdir(folder, { recursive: true });
      const file = new EventFile(path, await open(path, "wx"), now);
      const stamp = { wallTime: now() / 1000 };
      await file.#append([
        versionEvent(stamp),
        ...(resumeStep === undefined ? [] : [restartEvent({ ...stamp, step: resumeStep })]),
      ]);
      return file;
    } catch (error) {
      throw asFormatError(error, path, "cannot be written");
    }
  }

  /** One point on each of the curves, by tag. A value that is not finite is shown as such by TensorBoard. */
  async scalars(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    const stamp = { wallTime: this.#now() / 1000, step };
    await this.#append(Object.entries(values).map(([tag, value]) => scalarEvent(stamp, tag, value)));
  }

  async text(tag: string, text: string, step = 0): Promise<void> {
    await this.#append([textEvent({ wallTime: this.#now() / 1000, step }, tag, text)]);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** In one call, so that a process that is killed leaves whole records. */
  async #append(events: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#handle.appendFile(Buffer.concat(events.map(encodeRecord)));
    } catch (error) {
      throw asFormatError(error, this.path, "cannot be written");
    }
  }
}
