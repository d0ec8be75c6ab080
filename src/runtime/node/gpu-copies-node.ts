/**
 * Copies between memory and the GPU, by sessions that do nothing else: asking the engine for the contents of a tensor on
 * the GPU in any other way ends the process.
 */
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { DType, TypedArray } from "../../ir/dtype.ts";
import { encodeModel } from "../../onnx/model.ts";
import type { EngineOptions, OutputLocation } from "./protocol-node.ts";
import { openSession } from "./session-node.ts";

export class GpuCopies {
  readonly #options: EngineOptions;
  /** By data type, rank and direction. */
  readonly #sessions = new Map<string, Promise<InferenceSession>>();

  private constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** @throws EngineError if there is no GPU to use */
  static async open(options: EngineOptions): Promise<GpuCopies> {
    const copies = new GpuCopies(options);
    await copies.#session("float32", 1, "gpu-buffer");
    return copies;
  }

  /** A copy on the GPU of a tensor that is there or in memory. It must be disposed before `close`. */
  async upload(tensor: OrtTensor, dtype: DType, rank: number): Promise<OrtTensor> {
    const { y } = await (await this.#session(dtype, rank, "gpu-buffer")).run({ x: tensor });
    return y!;
  }

  async download(tensor: OrtTensor, dtype: DType, rank: number): Promise<TypedArray> {
    const { y } = await (await this.#session(dtype, rank, "cpu")).run({ x: tensor });
    return y!.data as TypedArray;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
    this.#sessions.clear();
  }

  #session(dtype: DType, rank: number, location: OutputLocation): Promise<InferenceSession> {
    const key = `${dtype} ${rank} ${location}`;
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    const shape = Array.from({ length: rank }, (_, i) => ({ name: `d${i}` }));
    const model = encodeModel({
      name: "copy",
      nodes: [{ opType: "Identity", domain: "", name: "copy", inputs: ["x"], outputs: ["y"], attrs: {} }],
      initializers: [],
      inputs: [{ name: "x", dtype, shape }],
      outputs: [{ name: "y", dtype, shape }],
    });
    const made = openSession(model, this.#options, { locations: { y: location } });
    this.#sessions.set(key, made);
    return made;
  }
}
