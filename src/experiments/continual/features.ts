/** Hidden states of a backbone that tell the classes of texts: what heads are fitted on. */
import type { Row } from "../../data/row-source.ts";
import { Graph } from "../../ir/graph.ts";
import { gather } from "../../ir/ops/gather.ts";
import { reshape } from "../../ir/ops/reshape.ts";
import { dim, shapeOf } from "../../ir/shape.ts";
import { supervisedRows } from "../../lm/rows.ts";
import { sequenceFeeds, wholeSequence } from "../../lm/sequence.ts";
import type { TextModel } from "../../models/text-model.ts";
import type { Executable } from "../../runtime/runtime.ts";
import type { Backbone } from "../rig/backbone.ts";
import type { Features } from "./head-fit.ts";

/** Rows that are computed at a time. */
const BATCH = 32;

export class FeatureReader {
  readonly #model: TextModel;
  readonly #padId: number;
  readonly #features: Executable;

  private constructor(model: TextModel, padId: number, features: Executable) {
    this.#model = model;
    this.#padId = padId;
    this.#features = features;
  }

  static async create(backbone: Backbone): Promise<FeatureReader> {
    const model = backbone.classifier(2);
    const features = await backbone.device.compile(featureGraph(model));
    return new FeatureReader(model, backbone.tokenizer.padId, features);
  }

  /** @returns those of rows with a target each, with the weights as they are now */
  async read(rows: readonly Row[]): Promise<Features> {
    const width = this.#model.hiddenSize;
    const data = new Float32Array(rows.length * width);
    // Rows of one length need no padding.
    const order = rows.map((_, i) => i).toSorted((a, b) => rows[a]!.inputIds.length - rows[b]!.inputIds.length);
    for (let start = 0; start < order.length; start += BATCH) {
      const chosen = order.slice(start, start + BATCH);
      const batch = supervisedRows(
        chosen.map((i) => rows[i]!),
        this.#padId,
      );
      const { features } = await this.#features.run({
        ...sequenceFeeds(this.#model, batch),
        "features/rows": { dtype: "int32", shape: [chosen.length], data: batch.rows },
      });
      const found = features!.data as Float32Array;
      for (const [k, i] of chosen.entries()) data.set(found.subarray(k * width, (k + 1) * width), i * width);
    }
    return { count: rows.length, width, data, labels: rows.map(({ targets }) => targets![0]!.label) };
  }

  dispose(): Promise<void> {
    return this.#features.dispose();
  }
}

/** Tokens [B, T] to the hidden states [N, D] of some places. Weights are read anew in every run. */
function featureGraph(model: TextModel): Graph {
  const graph = new Graph();
  const tracing = {
    graph,
    training: false,
    typicalSizes: {},
    parameter: (name: string, shape: readonly number[]) =>
      graph.state(model.tied[name] ?? name, { dtype: "float32", shape: shapeOf(shape) }),
  };
  const hidden = model.hidden(tracing, wholeSequence(graph, model));
  const rows = graph.feed("features/rows", { dtype: "int32", shape: [dim("N")] });
  graph.output("features", gather(reshape(hidden, [-1, model.hiddenSize]), rows));
  return graph;
}
