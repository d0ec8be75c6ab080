/**
 * A {@link Decomposer}: threads that take one matrix each, and a cache of what they found.
 *
 * A thread holds the matrix that it works on, in float64, and two or three of the size of its vectors. What waits is held by
 * the caller alone: a matrix is copied when a thread is free for it.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { cacheDirectory } from "../data/cache-directory.ts";
import { ConfigError, EngineError, ShapeError } from "../errors.ts";
import type { Matrix, Svd } from "../linear-algebra/svd.ts";
import { type DecomposeAnswer, type DecomposeRequest, errorOf, type ThreadSettings } from "./decompose-protocol.ts";
import type { DecomposeOptions, Decomposer } from "./decomposer.ts";

export interface DecomposerOptions {
  /** Matrices at a time. Default: one per core, at most 4. */
  readonly threads?: number;
  /** Default: `LOWRANK_CACHE`, else `~/.cache/lowrank`; `false`: nothing is kept. */
  readonly cacheDir?: string | false;
  /** Of all that the cache keeps. Default: 4 GiB. */
  readonly cacheBytes?: number;
  /** After each decomposition. */
  readonly onProgress?: (progress: DecomposerProgress) => void;
  /** Ends the threads; what they were asked is rejected with its reason. */
  readonly signal?: AbortSignal;
}

/** Counts of matrices. */
export interface DecomposerProgress {
  readonly done: number;
  /** All that were asked for so far. */
  readonly asked: number;
  /** Of those that are done. */
  readonly fromCache: number;
}

const MOST_THREADS = 4;
const CACHE_BYTES = 2 ** 32;

/** @throws ConfigError if there is no thread to be, the reason of `signal` */
export async function openDecomposer(options: DecomposerOptions = {}): Promise<Decomposer> {
  const { threads = Math.min(MOST_THREADS, availableParallelism()), cacheBytes = CACHE_BYTES, signal } = options;
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new ConfigError({ where: "threads", what: "needs one at least", got: threads });
  }
  signal?.throwIfAborted();
  const cacheDir =
    options.cacheDir === false ? undefined : join(options.cacheDir ?? cacheDirectory(), "decompositions");
  return new ThreadDecomposer(threads, { cacheDir, cacheBytes, openedMs: Date.now() }, options.onProgress, signal);
}

interface Task {
  readonly matrix: Matrix;
  readonly rank: number;
  readonly keep: boolean;
  readonly resolve: (svd: Svd) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  task: Task | undefined;
}

class ThreadDecomposer implements Decomposer {
  readonly ahead: number;
  readonly #count: number;
  readonly #settings: ThreadSettings;
  readonly #onProgress: DecomposerOptions["onProgress"];
  readonly #signal: AbortSignal | undefined;
  readonly #threads = new Set<Thread>();
  readonly #queue: Task[] = [];
  #done = 0;
  #asked = 0;
  #fromCache = 0;
  /** Why nothing can be asked any more. */
  #ended: { readonly reason: unknown } | undefined;
  #stopping: Promise<unknown> = Promise.resolve();

  constructor(
    count: number,
    settings: ThreadSettings,
    onProgress: DecomposerOptions["onProgress"],
    signal: AbortSignal | undefined,
  ) {
    this.ahead = 2 * count;
    this.#count = count;
    this.#settings = settings;
    this.#onProgress = onProgress;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort, { once: true });
  }

  async svd(matrix: Matrix, rank = Infinity, { keep = true }: DecomposeOptions = {}): Promise<Svd> {
    const wanted = Math.min(rank, matrix.rows, matrix.columns);
    if (wanted > 0) return this.#ask(matrix, wanted, keep);
    return { values: new Float64Array(), left: [], right: [] };
  }

  async singularValues(matrix: Matrix, { keep = true }: DecomposeOptions = {}): Promise<Float64Array> {
    return (await this.#ask(matrix, 0, keep)).values;
  }

  async dispose(): Promise<void> {
    this.#end(new EngineError({ what: "the decomposer has been disposed" }));
    await this.#stopping;
  }

  #ask(matrix: Matrix, rank: number, keep: boolean): Promise<Svd> {
    const { rows, columns, data } = matrix;
    if (data.length !== rows * columns) {
      throw new ShapeError({ what: "numbers of a matrix", got: data.length, expected: `${rows} × ${columns}` });
    }
    return new Promise((resolve, reject) => {
      this.#asked++;
      this.#queue.push({ matrix, rank, keep, resolve, reject });
      this.#next();
    });
  }

  /** Gives waiting matrices to threads that have none. */
  #next(): void {
    if (this.#ended !== undefined) {
      for (const { reject } of this.#queue.splice(0)) reject(this.#ended.reason);
      return;
    }
    while (this.#queue.length > 0) {
      const thread = [...this.#threads].find(({ task }) => task === undefined) ?? this.#start();
      if (thread === undefined) return;
      const task = this.#queue.shift()!;
      const { rows, columns, data } = task.matrix;
      thread.task = task;
      // A thread that has nothing to do does not keep the process alive.
      thread.worker.ref();
      // Of a view only its part crosses over.
      const copy = data.slice();
      const request: DecomposeRequest = { rows, columns, data: copy, rank: task.rank, keep: task.keep };
      thread.worker.postMessage(request, [copy.buffer]);
    }
  }

  #start(): Thread | undefined {
    if (this.#threads.size >= this.#count) return undefined;
    const worker = new Worker(new URL("./decompose-worker.js", import.meta.url), {
      workerData: this.#settings,
      execArgv: [],
    });
    const thread: Thread = { worker, task: undefined };
    this.#threads.add(thread);
    worker.on("message", (answer: DecomposeAnswer) => this.#settle(thread, answer));
    worker.on("error", (cause) => this.#fail(thread, cause instanceof Error ? cause.message : String(cause)));
    worker.on("exit", (code) => this.#fail(thread, code));
    return thread;
  }

  #settle(thread: Thread, answer: DecomposeAnswer): void {
    const task = thread.task!;
    thread.task = undefined;
    thread.worker.unref();
    this.#done++;
    if ("svd" in answer) {
      if (answer.fromCache) this.#fromCache++;
      task.resolve(answer.svd);
    } else {
      task.reject(errorOf(answer.code, answer.problem));
    }
    this.#onProgress?.({ done: this.#done, asked: this.#asked, fromCache: this.#fromCache });
    this.#next();
  }

  /** The thread has ended by itself, as it does when memory is short. Others go on. */
  #fail(thread: Thread, got: unknown): void {
    if (!this.#threads.delete(thread)) return;
    const { task } = thread;
    if (task !== undefined) {
      const { rows, columns } = task.matrix;
      const what = `a thread that decomposes a matrix of ${rows} × ${columns} has ended`;
      task.reject(new EngineError({ what, got, hint: "fewer threads need less memory" }));
    }
    this.#next();
  }

  readonly #abort = (): void => this.#end(this.#signal!.reason);

  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    this.#signal?.removeEventListener("abort", this.#abort);
    const threads = [...this.#threads];
    this.#threads.clear();
    for (const { task } of threads) task?.reject(reason);
    this.#next();
    this.#stopping = Promise.all(threads.map(({ worker }) => worker.terminate()));
  }
}
