/**
 * Keys and values of the tokens seen so far, one state per block, so that a new token costs one token's work.
 *
 * A cache has room for a number of slots; a run writes the slots of its tokens and attends to those that are filled. It is
 * written in place. When it is full it grows, and nothing is compiled again: its size is a named dimension.
 */
import type { Graph, Value } from "../ir/graph.ts";
import { add } from "../ir/ops/add.ts";
import { scalar } from "../ir/ops/constant.ts";
import { equal } from "../ir/ops/equal.ts";
import { gather } from "../ir/ops/gather.ts";
import { greater } from "../ir/ops/greater.ts";
import { less } from "../ir/ops/less.ts";
import { maximum } from "../ir/ops/maximum.ts";
import { minimum } from "../ir/ops/minimum.ts";
import { range } from "../ir/ops/range.ts";
import { reshape } from "../ir/ops/reshape.ts";
import { sub } from "../ir/ops/sub.ts";
import { where } from "../ir/ops/where.ts";
import { sizeValue } from "../ir/ops/dim-size.ts";
import { dim } from "../ir/shape.ts";
import type { AttentionCall, TextModel, Sequence } from "../models/text-model.ts";
import { additiveMask, attention } from "../nn/attention.ts";
import type { Device, Feeds } from "../runtime/runtime.ts";
import { positionFeeds, positionTensors, TOKENS, VIRTUAL } from "./sequence.ts";

const START = "cache/start";
const VALID = "cache/valid";
/** Slots of a new cache, and the unit in which it grows. */
const SLOTS = 256;

/** Adds the feeds of new tokens [B, T] and the states of a cache with S slots to a graph. */
export function cachedSequence(graph: Graph, model: TextModel): Sequence {
  const [B, T, S] = [dim("B"), dim("T"), dim("S")];
  const tokens = graph.feed(TOKENS, { dtype: "int32", shape: [B, T] });
  const start = graph.feed(START, { dtype: "int32", shape: [] });
  const valid = graph.feed(VALID, { dtype: "int32", shape: [B, S] });
  const constant = (value: number) => scalar(graph, value, "int32");
  const no = scalar(graph, 0, "bool");

  const count = sizeValue(graph, [T], "int32");
  const slots = range(graph, S); // [S]
  const offset = sub(slots, start); // [S] index among the new tokens
  const isNew = where(less(offset, constant(0)), no, less(offset, count)); // [S]
  const source = minimum(maximum(offset, constant(0)), sub(count, constant(1))); // [S]
  const position = add(range(graph, T), start); // [T] slot of every query
  const behind = sub(reshape(position, [-1, 1]), slots); // [T, S]
  const isValid = equal(reshape(valid, [B, 1, 1, S]), constant(1)); // [B, 1, 1, S]
  const masks = new Map<number | undefined, Value>();
  const maskOf = (window: number | undefined) => {
    const known = masks.get(window);
    if (known !== undefined) return known;
    const past = greater(behind, constant(-1));
    const seen = window === undefined ? past : where(past, less(behind, constant(window)), no);
    const mask = additiveMask(where(seen, isValid, no)); // [B, 1, T, S]
    masks.set(window, mask);
    return mask;
  };
  const store = (name: string, fresh: Value) => {
    const state = graph.state(name, { dtype: "float32", shape: [B, dim(model.kvHeads), S, dim(model.headDim)] });
    const next = where(reshape(isNew, [1, 1, -1, 1]), gather(fresh, source, 2), state);
    graph.update(state, next);
    return next;
  };
  return {
    tokens,
    ...positionFeeds(graph, model),
    block: (trace) => trace(),
    attend({ block, q, k, v, window }: AttentionCall) {
      const [keys, values] = [store(cacheName(block, "key"), k), store(cacheName(block, "value"), v)];
      return attention(q, keys, values, { mask: maskOf(window) });
    },
  };
}

function cacheName(block: number, what: "key" | "value"): string {
  return `cache/${block}/${what}`;
}

/** Whose the states are: they have fixed names, so a device holds one cache at a time. */
const HOLDERS = new WeakMap<Device, KvCache>();

/** The cache of one batch of sequences, on a device. A new one that is filled takes the place of the one before. */
export class KvCache {
  readonly #device: Device;
  readonly #model: TextModel;
  readonly #batch: number;
  #slots = 0;
  #filled = 0;
  /** [B · S] 1 where a token may be attended to. */
  #valid = new Int32Array();

  constructor(device: Device, model: TextModel, batch: number) {
    this.#device = device;
    this.#model = model;
    this.#batch = batch;
  }

  /** Slots in use: those of the tokens so far, padding included. */
  get filled(): number {
    return this.#filled;
  }

  /** False once another cache has taken the place of this one, which is then of no more use. */
  get isHeld(): boolean {
    return HOLDERS.get(this.#device) === this;
  }

  /** Forgets the tokens from slot `slots` on. */
  truncate(slots: number): void {
    this.#filled = Math.min(this.#filled, slots);
  }

  /**
   * The feeds for new tokens, [B, T] with positions, and marks their slots as filled.
   * @param attended [B · T] 0 where a token is padding
   */
  async append(rows: {
    readonly tokens: Int32Array;
    readonly positions: Int32Array;
    readonly attended: Int32Array;
    /** [B · T] i for the i-th virtual token of an example, from 1, and 0 for tokens; if adapters have such. */
    readonly virtual?: Int32Array;
  }): Promise<Feeds> {
    const batch = this.#batch;
    const length = rows.tokens.length / batch;
    await this.reserve(this.#filled + length);
    for (let b = 0; b < batch; b++) {
      const at = b * this.#slots + this.#filled;
      this.#valid.set(rows.attended.subarray(b * length, (b + 1) * length), at);
    }
    const feeds: Feeds = {
      [TOKENS]: { dtype: "int32", shape: [batch, length], data: rows.tokens },
      [START]: { dtype: "int32", shape: [], data: Int32Array.of(this.#filled) },
      [VALID]: { dtype: "int32", shape: [batch, this.#slots], data: this.#valid.slice() },
      ...(rows.virtual === undefined
        ? {}
        : { [VIRTUAL]: { dtype: "int32", shape: [batch, length], data: rows.virtual } }),
      ...positionTensors(this.#model, { batch, length, positions: rows.positions }),
    };
    this.#filled += length;
    return feeds;
  }

  /** Makes room for so many tokens in all. */
  async reserve(slots: number): Promise<void> {
    if (slots <= this.#slots) return;
    if (this.#slots === 0) HOLDERS.set(this.#device, this);
    // Doubled, so that what is copied in all stays in proportion to what is generated.
    const room = Math.ceil(Math.max(slots, 2 * this.#slots) / SLOTS) * SLOTS;
    const { kvHeads, headDim, blocks } = this.#model;
    const [old, batch] = [this.#slots, this.#batch];
    const shape = [batch, kvHeads, room, headDim];
    for (let block = 0; block < blocks; block++) {
      for (const what of ["key", "value"] as const) {
        const name = cacheName(block, what);
        const data = new Float32Array(batch * kvHeads * room * headDim);
        if (old > 0) {
          const held = (await this.#device.read(name)).data as Float32Array;
          for (let row = 0; row < batch * kvHeads; row++) {
            data.set(held.subarray(row * old * headDim, (row + 1) * old * headDim), row * room * headDim);
          }
        }
        await this.#device.write(name, { dtype: "float32", shape, data });
      }
    }
    const valid = new Int32Array(batch * room);
    for (let b = 0; b < batch; b++) valid.set(this.#valid.subarray(b * old, (b + 1) * old), b * room);
    this.#valid = valid;
    this.#slots = room;
  }

  async free(): Promise<void> {
    if (!this.isHeld) return;
    HOLDERS.delete(this.#device);
    for (let block = 0; block < this.#model.blocks; block++) {
      for (const what of ["key", "value"] as const) await this.#device.free(cacheName(block, what));
    }
    this.#slots = this.#filled = 0;
    this.#valid = new Int32Array();
  }
}
