/** Protocol-buffer wire format, the part that ONNX models need: varints and length-delimited fields. */

const UTF8 = new TextEncoder();

export class ProtobufWriter {
  #buffer = new Uint8Array(1024);
  #length = 0;

  /** The message so far. */
  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** Integer or enum field. Negative numbers take ten bytes, as the format says. */
  int(field: number, value: number | bigint): this {
    this.#varint(BigInt(field) << 3n);
    this.#varint(BigInt.asUintN(64, BigInt(value)));
    return this;
  }

  /** 32-bit float field. */
  float(field: number, value: number): this {
    this.#varint((BigInt(field) << 3n) | 5n);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#append(bytes);
  }

  string(field: number, value: string): this {
    return this.bytes(field, UTF8.encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((BigInt(field) << 3n) | 2n);
    this.#varint(BigInt(value.length));
    return this.#append(value);
  }

  /** Nested message. */
  message(field: number, write: (writer: ProtobufWriter) => void): this {
    const nested = new ProtobufWriter();
    write(nested);
    return this.bytes(field, nested.#buffer.subarray(0, nested.#length));
  }

  /** Repeated integers, packed. */
  packed(field: number, values: readonly (number | bigint)[]): this {
    return this.message(field, (writer) => {
      for (const value of values) writer.#varint(BigInt.asUintN(64, BigInt(value)));
    });
  }

  #varint(value: bigint): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 128n) {
      this.#buffer[this.#length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  #append(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + bytes));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
