/** Reads what tests ask of an ONNX file: a small protobuf reader, apart from the writer that it helps to judge. */

export type Field =
  { readonly field: number; readonly varint: bigint } | { readonly field: number; readonly bytes: Uint8Array };

/** Fields of one message. 64-bit and 32-bit ones come as their bytes. */
export function decodeMessage(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const take = (length: number) => bytes.subarray(at, (at += length));
  while (at < bytes.length) {
    const key = Number(varint());
    const [field, wire] = [key >> 3, key & 7];
    if (wire === 0) fields.push({ field, varint: varint() });
    else fields.push({ field, bytes: take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint())) });
  }
  return fields;
}

export function messages(fields: readonly Field[], field: number): Uint8Array[] {
  return fields.flatMap((one) => (one.field === field && "bytes" in one ? [one.bytes] : []));
}

export function strings(fields: readonly Field[], field: number): string[] {
  return messages(fields, field).map((bytes) => new TextDecoder().decode(bytes));
}

export interface ModelNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Nodes of a model's graph, without those of bodies. */
export function modelNodes(model: Uint8Array): ModelNode[] {
  const [graph] = messages(decodeMessage(model), 7);
  return messages(decodeMessage(graph!), 1).map((bytes) => {
    const node = decodeMessage(bytes);
    return { opType: strings(node, 4)[0]!, inputs: strings(node, 1), outputs: strings(node, 2) };
  });
}
