/**
 * A language model on a device, with the adapters that have been put on it: the graphs for whole sequences and for cached
 * generation, compiled when they are first needed and again when adapters come or go.
 *
 * All adapters are in every graph, each behind a gate: choosing one, none, or another one per row changes a feed and
 * nothing else. An adapter that brings copies of whole parameters (`modules_to_save`, biases) or changes the sequence
 * (prompts, prefixes) cannot be gated; it has graphs of its own while it is on.
 */
import { type Adapter, adapterHook, adapterStates, resolveParameter } from "../adapters/adapter.ts";
import { merge, type Merged, unmerge } from "../adapters/merge.ts";
import { ConfigError, listed } from "../errors.ts";
import { Graph, type Value } from "../ir/graph.ts";
import { expand } from "../ir/ops/expand.ts";
import { gather } from "../ir/ops/gather.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { slice } from "../ir/ops/slice.ts";
import { dim } from "../ir/shape.ts";
import type { TextModel, Sequence } from "../models/text-model.ts";
import { nearest } from "../nearest.ts";
import type { ParameterSpec, Tracing } from "../nn/module.ts";
import type { StoredWeights } from "../nn/stored-weight.ts";
import type { StoredParameters, WeightStorage } from "../quant/stored-model.ts";
import type { Device, Executable, Feeds, Tensor } from "../runtime/runtime.ts";
import { adaptedSequence, type VirtualTokens, virtualTokens } from "./adapted-sequence.ts";
import { meanLoss } from "./head-loss.ts";
import { cachedSequence } from "./kv-cache.ts";
import { wholeSequence } from "./sequence.ts";
import { readStored } from "./stored-parameters.ts";

/** In `adapterNames`: this row without any adapter, as PEFT has it. */
export const BASE = "__base__";

/** Which adapters are on, for each row of a batch: none, one, or several after each other. */
export type RowAdapters = readonly (readonly string[])[];

type Purpose = "logits" | "rows" | "loss" | "cached";

/** Name of a feed: int32 [R], indices into [B · T]. */
const CHOSEN = "chosen/rows";

export class LanguageModel {
  readonly device: Device;
  readonly model: TextModel;
  readonly stored: StoredWeights | undefined;
  /** Parameters that are not stored as float32 values, by name, and how. */
  readonly storages: StoredParameters;
  readonly #adapters = new Map<string, Adapter>();
  #merged: Merged | undefined;
  readonly #executables = new Map<string, Promise<Executable>>();
  /** Adapters that are still being written to the device. */
  #ready: Promise<unknown> = Promise.resolve();
  /** Generation holds the cache from its first token to its last. */
  #generating: Promise<void> = Promise.resolve();

  /**
   * @param device with the model's parameters on it
   * @param stored how frozen weights are stored. Default: all as float32 values
   * @param storages which, and in what
   */
  constructor(
    device: Device,
    model: TextModel,
    stored?: StoredWeights,
    storages: StoredParameters = new Map<string, WeightStorage>(),
  ) {
    this.device = device;
    this.model = model;
    this.stored = stored;
    this.storages = storages;
  }

  /** Names that are not stored, to those that are: merging may have untied some. */
  get tied(): Readonly<Record<string, string>> {
    return this.#merged?.tied ?? this.model.tied;
  }

  /** The parameters that are stored now. */
  get parameters(): readonly ParameterSpec[] {
    return this.#merged?.parameters ?? this.model.parameters;
  }

  /** Whether adapters are merged into the weights. */
  get isMerged(): boolean {
    return this.#merged !== undefined;
  }

  /** Adds the updates of adapters to the weights. They stay loaded. @throws ConfigError if some are merged already */
  async merge(names: readonly string[]): Promise<void> {
    if (this.#merged !== undefined) {
      throw new ConfigError({ where: "merge", what: "adapters are merged already", hint: "unmerge them first" });
    }
    this.#merged = await merge(
      this.device,
      names.map((name) => this.adapter(name)),
    );
    await this.changed();
  }

  /** Puts the weights back as they were, bit for bit. Without merged adapters: nothing. */
  async unmerge(): Promise<void> {
    if (this.#merged === undefined) return;
    await unmerge(this.device, this.#merged);
    this.#merged = undefined;
    await this.changed();
  }

  /** By their names, in the order in which they were put on. */
  get adapters(): ReadonlyMap<string, Adapter> {
    return this.#adapters;
  }

  /** The places that adapters take of each example in a batch with these adapters. @throws ConfigError if rows disagree */
  virtualTokens(rows: RowAdapters): VirtualTokens {
    const owner = this.#owner(rows);
    return virtualTokens(owner === undefined ? [] : [owner]);
  }

  /** Positions that tokens may take while these adapters are on: the model's, less those of virtual tokens. */
  positionsWith(adapters: readonly string[]): number {
    return Math.max(0, this.model.maxPositions - this.virtualTokens([adapters]).count);
  }

  /** Runs nothing before `work` is done, whoever asks: graphs read the adapters that are on, gated or not. */
  waitFor(work: Promise<unknown>): void {
    this.#ready = Promise.all([this.#ready, work]);
    // Whoever runs something is told; until then nobody listens.
    this.#ready.catch(() => {});
  }

  /** Adds an adapter whose parameters are on the device. @throws ConfigError if the name is taken */
  async add(adapter: Adapter): Promise<void> {
    if (adapter.name === BASE || this.#adapters.has(adapter.name)) {
      throw new ConfigError({ where: "adapter", what: "the name is taken", got: adapter.name });
    }
    this.#adapters.set(adapter.name, adapter);
    await this.changed();
  }

  /** Takes an adapter off, and frees its parameters. */
  async remove(name: string): Promise<void> {
    const adapter = this.adapter(name);
    await this.changed();
    this.#adapters.delete(name);
    for (const spec of adapterStates(adapter)) await this.device.free(spec.name);
  }

  /** @throws ConfigError naming the nearest one */
  adapter(name: string): Adapter {
    const adapter = this.#adapters.get(name);
    if (adapter !== undefined) return adapter;
    const names = [...this.#adapters.keys()];
    const closest = nearest(name, names);
    throw new ConfigError({
      where: "adapter",
      what: "there is no such adapter",
      got: name,
      expected: names.length === 0 ? "none is loaded" : listed(names),
      ...(closest === undefined ? {} : { hint: `the nearest name is "${closest}"` }),
    });
  }

  /** To be called when the set of adapters, or a weight that graphs hold as a constant, has changed. */
  async changed(): Promise<void> {
    const compiled = [...this.#executables.values()];
    this.#executables.clear();
    for (const executable of compiled) await (await executable).dispose();
  }

  /** Logits of whole sequences, float32 [B · T, outputs]. @param feeds those of `sequenceFeeds` */
  async logits(feeds: Feeds, rows: RowAdapters): Promise<Tensor> {
    return (await this.#run("logits", feeds, rows)).logits!;
  }

  /** Logits of some tokens of whole sequences, float32 [R, outputs]. @param at int32 [R], indices into [B · T] */
  async logitsAt(feeds: Feeds, at: Int32Array, rows: RowAdapters): Promise<Tensor> {
    const chosen: Tensor = { dtype: "int32", shape: [at.length], data: at };
    return (await this.#run("rows", { ...feeds, [CHOSEN]: chosen }, rows)).logits!;
  }

  /** Mean loss of the supervised tokens, in nats. @param feeds those of `sequenceFeeds` and of `supervisedFeeds` */
  async loss(feeds: Feeds, rows: RowAdapters, chunks: number): Promise<number> {
    return Number((await this.#run("loss", feeds, rows, chunks)).loss!.data[0]);
  }

  /** Logits of the token after the last one, float32 [B, V]. @param feeds those of a {@link KvCache} */
  async next(feeds: Feeds, rows: RowAdapters): Promise<Tensor> {
    return (await this.#run("cached", feeds, rows)).logits!;
  }

  /** Runs `generate` when no other generation is using the cache. */
  async exclusively<T>(generate: () => Promise<T>): Promise<T> {
    const before = this.#generating;
    let done!: () => void;
    this.#generating = new Promise((resolve) => (done = resolve));
    await before;
    try {
      return await generate();
    } finally {
      done();
    }
  }

  /** Compiles what {@link next} needs, so that the first token does not wait for it. The states of a cache must exist. */
  async prepare(rows: RowAdapters): Promise<void> {
    await this.#ready;
    await this.#executable("cached", rows, 1);
  }

  async #run(purpose: Purpose, feeds: Feeds, rows: RowAdapters, chunks = 1): Promise<Readonly<Record<string, Tensor>>> {
    await this.#ready;
    const executable = await this.#executable(purpose, rows, chunks);
    const gates = [...this.#adapters.keys()].map((name): [string, Tensor] => {
      const data = Float32Array.from(rows, (names) => (names.includes(name) ? 1 : 0));
      return [gateName(name), { dtype: "float32", shape: [rows.length], data }];
    });
    return executable.run({ ...feeds, ...Object.fromEntries(gates) });
  }

  #executable(purpose: Purpose, rows: RowAdapters, chunks: number): Promise<Executable> {
    const owner = this.#owner(rows);
    const key = `${purpose}/${chunks}/${owner?.name ?? ""}`;
    const known = this.#executables.get(key);
    if (known !== undefined) return known;
    const executable = this.#compile(purpose, owner, chunks);
    this.#executables.set(key, executable);
    // A failure is reported to whoever waits, and may be tried again.
    executable.catch(() => this.#executables.delete(key));
    return executable;
  }

  /**
   * The adapter that the whole batch has to be run with: whose copies of parameters are read, or who changes the sequence.
   * @throws ConfigError if rows disagree about that
   */
  #owner(rows: RowAdapters): Adapter | undefined {
    for (const name of rows.flat()) this.adapter(name);
    const owners = [...new Set(rows.flat())].filter((name) => isExclusive(this.adapter(name)));
    const [owner] = owners;
    if (owner === undefined) return undefined;
    if (owners.length > 1 || rows.some((names) => !names.includes(owner))) {
      throw new ConfigError({
        where: "adapterNames",
        what: `"${owner}" ${
          this.adapter(owner).copies.size > 0
            ? "replaces whole parameters of the base (modules_to_save, bias)"
            : "changes the sequence that the model reads"
        } and cannot share a batch`,
        hint: "run its rows in a batch of their own",
      });
    }
    return this.adapter(owner);
  }

  #compile(purpose: Purpose, owner: Adapter | undefined, chunks: number): Promise<Executable> {
    const { model } = this;
    const graph = new Graph();
    const [B, T] = [dim("B"), dim("T")];
    const adapters = [...this.#adapters.values()];
    const stateOf = resolveParameter(owner === undefined ? [] : [owner], this.tied);
    const base = {
      graph,
      training: false,
      typicalSizes: {},
      ...readStored(graph, this.stored, stateOf),
    };
    const gates = new Map(
      adapters.map(({ name }) => [name, graph.feed(gateName(name), { dtype: "float32", shape: [B] })]),
    );
    /** The model with a gate of its own for every row that `select` makes of the gates. */
    const gated = (select: (gate: Value) => Value): Tracing => {
      if (adapters.length === 0) return base;
      const perRow = new Map([...gates].map(([name, gate]) => [name, reshape(select(gate), [-1, 1])]));
      return { ...base, adapt: adapterHook(adapters, { gates: perRow }) };
    };
    const perToken = (gate: Value) => reshape(expand(reshape(gate, [B, 1]), [B, T]), [-1]); // [B · T]
    const hiddenOf = (sequence: Sequence) =>
      model.hidden(gated(perToken), owner === undefined ? sequence : adaptedSequence(base, model, sequence, [owner]));

    if (purpose === "cached") {
      const hidden = hiddenOf(cachedSequence(graph, model)); // [B, T, D]
      const last = reshape(slice(hidden, 1, -1), [B, model.hiddenSize]);
      graph.output(
        "logits",
        model.head(
          gated((gate) => gate),
          last,
        ),
      );
    } else {
      const hidden = hiddenOf(wholeSequence(graph, model, { exactPadding: true }));
      if (purpose === "logits") {
        graph.output("logits", model.head(gated(perToken), reshape(hidden, [-1, model.hiddenSize])));
      } else {
        const tracingOf = (rows: Value) => gated((gate) => gather(perToken(gate), rows));
        if (purpose === "rows") {
          const chosen = graph.feed(CHOSEN, { dtype: "int32", shape: [dim("R")] });
          const at = gather(reshape(hidden, [-1, model.hiddenSize]), chosen); // [R, D]
          graph.output("logits", model.head(tracingOf(chosen), at));
        } else {
          graph.output("loss", meanLoss(graph, model, hidden, chunks, tracingOf));
        }
      }
    }
    const read = new Set(graph.inputs.map(({ value }) => value.name));
    return this.device.compile(graph, {
      frozen: this.parameters.map(({ name }) => name).filter((name) => read.has(name)),
    });
  }

  /** Frees what was compiled. The device, and what is on it, stay. */
  async dispose(): Promise<void> {
    // A device that ends while an adapter is being made would leave that waiting for ever.
    await this.#ready.catch(() => {});
    await this.changed();
  }
}

/** It cannot be gated row by row. */
function isExclusive({ copies, method }: Adapter): boolean {
  return copies.size > 0 || method.sequence !== undefined;
}

function gateName(adapter: string): string {
  return `gate/${adapter}`;
}
