/**
 * Errors that a person reads: where, what, what was found, what was expected, and what to do.
 *
 * Anything a user did wrong is a {@link LowrankError}; the command line prints it without a stack trace. Any other
 * exception is a bug of ours.
 */

/** The parts of a message. Only `what` is required. */
export interface Problem {
  /** The file, configuration key, layer or operation that the problem is in. */
  where?: string;
  /** The problem in a few words. */
  what: string;
  /** The value that was found. */
  got?: unknown;
  /** What would have been accepted. */
  expected?: unknown;
  /** One thing to do about it: a command or an edit. */
  hint?: string;
  /** The exception underneath, if any. */
  cause?: unknown;
}

export class LowrankError extends Error {
  /** Stable identifier of the kind of problem, such as `"SHAPE"`. */
  readonly code: string;
  readonly problem: Problem;

  constructor(code: string, problem: Problem) {
    super(describe(problem), problem.cause === undefined ? undefined : { cause: problem.cause });
    this.code = code;
    this.problem = problem;
    this.name = new.target.name;
  }
}

/** A shape, rank or data type that does not fit an operation. */
export class ShapeError extends LowrankError {
  constructor(problem: Problem) {
    super("SHAPE", problem);
  }
}

/** A graph that is not well formed, or asks for a derivative that does not exist. */
export class GraphError extends LowrankError {
  constructor(problem: Problem) {
    super("GRAPH", problem);
  }
}

/** A file that does not follow its format. */
export class FormatError extends LowrankError {
  constructor(problem: Problem) {
    super("FORMAT", problem);
  }
}

/** A setting, option or argument that cannot be honoured. */
export class ConfigError extends LowrankError {
  constructor(problem: Problem) {
    super("CONFIG", problem);
  }
}

/** Data that is missing or not what it should be. */
export class DataError extends LowrankError {
  constructor(problem: Problem) {
    super("DATA", problem);
  }
}

/** The engine refused or failed to compile or run a graph. */
export class EngineError extends LowrankError {
  constructor(problem: Problem) {
    super("ENGINE", problem);
  }
}

/** A number that is not finite where it has to be. */
export class NumericError extends LowrankError {
  constructor(problem: Problem) {
    super("NUMERIC", problem);
  }
}

/** Problems found together, for one message: the first ten, and how many more there are. */
export function listed(problems: readonly string[]): string {
  const shown = problems.slice(0, 10).join("; ");
  return problems.length > 10 ? `${shown}; and ${problems.length - 10} more` : shown;
}

function describe({ where, what, got, expected, hint }: Problem): string {
  const found = [
    got === undefined ? undefined : `got ${show(got)}`,
    expected === undefined ? undefined : `expected ${show(expected)}`,
  ].filter((part) => part !== undefined);
  const head = [where, what, found.length > 0 ? found.join(", ") : undefined].filter((part) => part !== undefined);
  return head.join(": ") + (hint === undefined ? "" : `\n  hint: ${hint}`);
}

function show(value: unknown): string {
  // JSON has no NaN and no infinity.
  if (typeof value === "string" || typeof value === "number") return String(value);
  return JSON.stringify(value) ?? String(value);
}
