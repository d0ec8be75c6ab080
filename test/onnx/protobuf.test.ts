/** The wire format against bytes worked out by hand, from the encoding guide of protocol buffers. */
import assert from "node:assert/strict";
import test from "node:test";
import { ProtobufWriter } from "../../src/onnx/protobuf.ts";

function hex(write: (writer: ProtobufWriter) => unknown): string {
  const writer = new ProtobufWriter();
  write(writer);
  return Buffer.from(writer.finish()).toString("hex");
}

test("varints: seven bits a byte, the low ones first", () => {
  assert.equal(
    hex((w) => w.int(1, 0)),
    "0800",
  );
  assert.equal(
    hex((w) => w.int(1, 127)),
    "087f",
  );
  assert.equal(
    hex((w) => w.int(1, 128)),
    "088001",
  );
  assert.equal(
    hex((w) => w.int(1, 150)),
    "089601",
  );
  assert.equal(
    hex((w) => w.int(1, 2 ** 40)),
    "08808080808020",
  );
  assert.equal(
    hex((w) => w.int(1, 2n ** 63n - 1n)),
    "08ffffffffffffffff7f",
  );
});

test("negative numbers take ten bytes", () => {
  assert.equal(
    hex((w) => w.int(3, -1)),
    "18ffffffffffffffffff01",
  );
  assert.equal(
    hex((w) => w.int(3, -2)),
    "18feffffffffffffffff01",
  );
  assert.equal(
    hex((w) => w.int(3, -(2n ** 63n))),
    "1880808080808080808001",
  );
});

test("field numbers from 16 on take two bytes", () => {
  assert.equal(
    hex((w) => w.int(16, 1)),
    "800101",
  );
  assert.equal(
    hex((w) => w.int(20, 7)),
    "a00107",
  );
});

test("strings are UTF-8, bytes are themselves, both with their length", () => {
  assert.equal(
    hex((w) => w.string(2, "testing")),
    "120774657374696e67",
  );
  assert.equal(
    hex((w) => w.string(2, "é😀")),
    "1206c3a9f09f9880",
  );
  assert.equal(
    hex((w) => w.string(2, "")),
    "1200",
  );
  assert.equal(
    hex((w) => w.bytes(9, Uint8Array.of(0, 255))),
    "4a0200ff",
  );
});

test("floats are four bytes, the low ones first", () => {
  assert.equal(
    hex((w) => w.float(2, 1)),
    "150000803f",
  );
  assert.equal(
    hex((w) => w.float(2, -0.1)),
    "15cdccccbd",
  );
});

test("repeated integers are packed", () => {
  assert.equal(
    hex((w) => w.packed(4, [3, 270, 86942])),
    "2206038e029ea705",
  );
  assert.equal(
    hex((w) => w.packed(4, [-1])),
    "220affffffffffffffffff01",
  );
  assert.equal(
    hex((w) => w.packed(4, [])),
    "2200",
  );
});

test("messages nest, and may be longer than any first guess", () => {
  assert.equal(
    hex((w) => w.message(3, (inner) => inner.int(1, 150))),
    "1a03089601",
  );
  const long = new Uint8Array(5000).fill(7);
  const bytes = new ProtobufWriter().message(1, (w) => w.message(1, (v) => v.bytes(1, long))).finish();
  // Three keys, and three lengths of two bytes each.
  assert.equal(bytes.length, 5000 + 3 * 3);
  assert.deepEqual(bytes.subarray(9), long);
  assert.deepEqual([...bytes.subarray(0, 9)], [10, 142, 39, 10, 139, 39, 10, 136, 39]);
});
