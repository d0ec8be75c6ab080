/**
 * ONNX messages as plain data, and their encoding. Field numbers are those of onnx.proto (IR version 10, operator set
 * 21).
 */
import type { DType } from "../ir/dtype.ts";
import { onnxElementType } from "../ir/onnx-types.ts";
import type { Shape } from "../ir/shape.ts";
import { ProtobufWriter } from "./protobuf.ts";

const IR_VERSION = 10;
const OPSET = 21;

/** Bytes in a file, used as a tensor without copying them. */
export interface FileSlice {
  /** Absolute path. */
  readonly path: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface OnnxTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian elements, or where they are. */
  readonly data: Uint8Array | FileSlice;
}

export type OnnxAttribute =
  number | string | readonly number[] | { readonly float: number } | { readonly graph: OnnxGraph };

export interface OnnxNodeProto {
  readonly opType: string;
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attrs: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxValueInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  /** A sequence of tensors instead of one. */
  readonly sequence?: boolean;
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNodeProto[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  /** Of values inside. The engine infers shapes, but not that two sizes which it does not know are the same one. */
  readonly values?: readonly OnnxValueInfo[];
}

/** The bytes of a ModelProto. */
export function encodeModel(graph: OnnxGraph): Uint8Array {
  const opset = (domain: string, version: number) => (writer: ProtobufWriter) =>
    void writer.string(1, domain).int(2, version);
  return new ProtobufWriter()
    .int(1, IR_VERSION)
    .string(2, "lowrank")
    .message(7, (writer) => encodeGraph(writer, graph))
    .message(8, opset("", OPSET))
    .message(8, opset("com.microsoft", 1))
    .finish();
}

function encodeGraph(writer: ProtobufWriter, graph: OnnxGraph): void {
  for (const node of graph.nodes) writer.message(1, (w) => encodeNode(w, node));
  writer.string(2, graph.name);
  for (const tensor of graph.initializers) writer.message(5, (w) => encodeTensor(w, tensor));
  for (const info of graph.inputs) writer.message(11, (w) => encodeValueInfo(w, info));
  for (const info of graph.outputs) writer.message(12, (w) => encodeValueInfo(w, info));
  for (const info of graph.values ?? []) writer.message(13, (w) => encodeValueInfo(w, info));
}

function encodeNode(writer: ProtobufWriter, node: OnnxNodeProto): void {
  for (const input of node.inputs) writer.string(1, input);
  for (const output of node.outputs) writer.string(2, output);
  writer.string(3, node.name).string(4, node.opType);
  for (const [name, value] of Object.entries(node.attrs)) writer.message(5, (w) => encodeAttribute(w, name, value));
  if (node.domain !== "") writer.string(7, node.domain);
}

function encodeAttribute(writer: ProtobufWriter, name: string, value: OnnxAttribute): void {
  const type = { float: 1, int: 2, string: 3, graph: 5, ints: 7 };
  writer.string(1, name);
  if (typeof value === "number") writer.int(3, value).int(20, type.int);
  else if (typeof value === "string") writer.string(4, value).int(20, type.string);
  else if ("float" in value) writer.float(2, value.float).int(20, type.float);
  else if ("graph" in value) writer.message(6, (w) => encodeGraph(w, value.graph)).int(20, type.graph);
  else writer.packed(8, value).int(20, type.ints);
}

function encodeTensor(writer: ProtobufWriter, tensor: OnnxTensor): void {
  writer.packed(1, tensor.shape).int(2, onnxElementType(tensor.dtype)).string(8, tensor.name);
  if (tensor.data instanceof Uint8Array) {
    writer.bytes(9, tensor.data);
    return;
  }
  const { path, byteOffset, byteLength } = tensor.data;
  const entries = { location: rootRelative(path), offset: String(byteOffset), length: String(byteLength) };
  for (const [key, value] of Object.entries(entries)) {
    writer.message(13, (w) => w.string(1, key).string(2, value));
  }
  writer.int(14, 1);
}

/** The engine resolves locations against a folder that is set to the root of the file system. */
function rootRelative(path: string): string {
  return path.replaceAll("\\", "/").replace(/^([A-Za-z]:)?\/+/, "");
}

function encodeValueInfo(writer: ProtobufWriter, info: OnnxValueInfo): void {
  const tensorType = (w: ProtobufWriter) => {
    w.message(1, (t) => {
      t.int(1, onnxElementType(info.dtype)).message(2, (shape) => {
        for (const d of info.shape) {
          shape.message(1, (w2) => (d.size === undefined ? w2.string(2, d.name) : w2.int(1, d.size)));
        }
      });
    });
  };
  writer.string(1, info.name).message(2, (type) => {
    if (info.sequence === true) type.message(4, (sequence) => sequence.message(1, tensorType));
    else tensorType(type);
  });
}
