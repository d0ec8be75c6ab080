/**
 * Counts what node's test runner reports about one test file.
 *
 * What is counted is a leaf: a test without subtests. A suite counts only where it is skipped as a whole, or fails by
 * itself (a hook that throws), and a file only where it fails by itself: it does not load, crashes, never ends, holds no
 * test, or ends before its tests do.
 */

import type { TestEvent } from "node:test/reporters";

export interface Outcome {
  /** Suite and test names from the outermost in; empty where the file as a whole is meant. */
  path: string[];
  /** The first lines of the error, or the reason for skipping. */
  message: string;
}

export interface Tally {
  passed: number;
  failed: Outcome[];
  /** Tests marked `todo` are among these, whether they pass or not. */
  skipped: Outcome[];
}

/** Enough to see the difference that most assertions print; the whole of it is in the report above. */
const MESSAGE_LINES = 8;

type Result = Extract<TestEvent, { type: "test:pass" | "test:fail" }>;

/** Reason that Node 20 gives for a test that the name filter left out; later versions do not report such a test. */
const NOT_SELECTED = "test name does not match pattern";

/** True for a result that only says that the name filter left the test out. */
export function isNotSelected(event: TestEvent): boolean {
  return (event.type === "test:pass" || event.type === "test:fail") && event.data.skip === NOT_SELECTED;
}

/** Collects the events of one test file, run alone. */
export class FileTally {
  readonly #file: string;
  readonly #mayBeEmpty: boolean;
  readonly #limitMs: number;
  readonly #counts: Tally = { passed: 0, failed: [], skipped: [] };
  /** Names of the tests that enclose the next result, by nesting. */
  readonly #names: string[] = [];
  /** By nesting: has a result at this depth been reported since the last one above it? */
  readonly #hasChildren: boolean[] = [];
  /** Tests announced and not reported: without them, a file that calls `process.exit(0)` would pass. */
  readonly #pending = new Map<string, string>();
  #fileFailed = false;
  #errorLine: string | undefined;

  /**
   * @param file Absolute path of the compiled test file, as given to the runner.
   * @param options.mayBeEmpty True where a name filter may leave no test of this file.
   * @param options.limitMs After how many milliseconds the file is ended; only for the message.
   */
  constructor(file: string, options: { mayBeEmpty: boolean; limitMs: number }) {
    this.#file = file;
    this.#mayBeEmpty = options.mayBeEmpty;
    this.#limitMs = options.limitMs;
  }

  add(event: TestEvent): void {
    switch (event.type) {
      case "test:enqueue":
        if (event.data.name !== this.#file) this.#pending.set(keyOf(event.data), event.data.name);
        break;
      case "test:start":
        this.#names[event.data.nesting] = event.data.name;
        break;
      case "test:stderr":
      case "test:diagnostic":
        // The reason why a file does not load is only on its standard error, and an error after the end of a test only
        // in a diagnostic.
        this.#errorLine ??= /^(?:Uncaught )?\w*Error\b.*$/m.exec(event.data.message)?.[0];
        break;
      case "test:pass":
      case "test:fail":
        if (event.data.name === this.#file && event.data.nesting === 0) this.#addFile(event);
        else this.#addTest(event);
        break;
      default:
    }
  }

  /** The counts, once every event has been added. */
  end(): Tally {
    const { passed, failed, skipped } = this.#counts;
    if (this.#fileFailed) return this.#counts;
    if (this.#pending.size > 0) {
      const names = [...this.#pending.values()].map((name) => `"${name}"`).join(", ");
      failed.push({ path: [], message: `the process ended before these tests did: ${names}` });
    } else if (passed + failed.length + skipped.length === 0 && !this.#mayBeEmpty) {
      failed.push({ path: [], message: "the file holds no test" });
    }
    return this.#counts;
  }

  #addTest(event: Result): void {
    const { nesting, name, skip, todo, details } = event.data;
    this.#pending.delete(keyOf(event.data));
    // A test is reported after its subtests, so what was seen one level down since the last result here is its own.
    const isParent = this.#hasChildren[nesting + 1] === true || details.type === "suite";
    this.#hasChildren[nesting + 1] = false;
    this.#hasChildren[nesting] = true;
    if (isNotSelected(event)) return;

    const path = [...this.#names.slice(0, nesting), name];
    if (isSet(todo)) {
      if (!isParent || details.type === "suite") this.#counts.skipped.push({ path, message: reason("todo", todo) });
    } else if (isSet(skip)) {
      this.#counts.skipped.push({ path, message: reason("skipped", skip) });
    } else if (event.type === "test:fail") {
      const error = readError(event.data.details.error);
      if (error.failureType !== "subtestsFailed") this.#counts.failed.push({ path, message: error.message });
    } else if (!isParent) {
      this.#counts.passed += 1;
    }
  }

  #addFile(event: Result): void {
    // A file that loads without a test is reported as a pass; `end` decides about it.
    if (event.type === "test:pass") return;
    const error = readError(event.data.details.error);
    if (error.failureType === "subtestsFailed") return;
    this.#fileFailed = true;
    this.#counts.failed.push({ path: [], message: this.#describeFileError(error) });
  }

  #describeFileError(error: RunnerError): string {
    if (error.failureType === "testAborted") return `the file did not end within ${this.#limitMs / 1000} s`;
    if (error.signal !== undefined) return `the process was ended by ${error.signal}`;
    if (error.exitCode === undefined) return error.message;
    return `${this.#errorLine ?? error.message} (the process ended with code ${error.exitCode})`;
  }
}

interface RunnerError {
  failureType: string;
  message: string;
  exitCode?: number;
  signal?: string;
}

/** Reads the fields of the runner's error that its types leave out. */
function readError(error: Error & { failureType?: unknown; exitCode?: unknown; signal?: unknown }): RunnerError {
  const cause = error.cause;
  const text = cause instanceof Error ? cause.message : typeof cause === "string" ? cause : error.message;
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return {
    failureType: typeof error.failureType === "string" ? error.failureType : "",
    message: lines.slice(0, MESSAGE_LINES).join("\n") || "failed without a message",
    ...(typeof error.exitCode === "number" ? { exitCode: error.exitCode } : {}),
    ...(typeof error.signal === "string" ? { signal: error.signal } : {}),
  };
}

function keyOf(at: { nesting: number; name: string; file?: string; line?: number; column?: number }): string {
  return [at.nesting, at.name, at.file, at.line, at.column].join("\0");
}

function isSet(flag: string | boolean | undefined): flag is string | true {
  return flag !== undefined && flag !== false;
}

function reason(kind: "todo" | "skipped", given: string | true): string {
  const said = given === true || given === "" ? "no reason given" : given;
  return kind === "todo" ? `todo: ${said}` : said;
}
