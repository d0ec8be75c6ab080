import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openSafetensors } from "../../src/formats/safetensors/reader.ts";
import { failure, fileBytes, temporaryFolder, writeRaw } from "./safetensors-fixtures.ts";

/** A header with one tensor, `"layer.w"`, whose fields are this text. */
const one = (fields: string): string => `{"layer.w":{${fields}}}`;

/** A header with U8 tensors `a`, `b`, … at these offsets. */
function ranges(...offsets: [number, number][]): string {
  const entries = offsets.map(
    ([begin, end], i) => `"${"abcdef"[i]}":{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`,
  );
  return `{${entries.join(",")}}`;
}

interface Hostile {
  name: string;
  file: Uint8Array;
  message: RegExp;
}

function hostile(name: string, header: string | Uint8Array, dataBytes: number, message: RegExp): Hostile {
  return { name, file: fileBytes(header, dataBytes), message };
}

const GOOD = one(`"dtype":"F32","shape":[2],"data_offsets":[0,8]`);

const CASES: Hostile[] = [
  // Length field.
  {
    name: "an empty file",
    file: new Uint8Array(0),
    message: /too short to be safetensors: got 0 bytes, expected at least 8/,
  },
  {
    name: "7 bytes",
    file: new Uint8Array(7),
    message: /too short to be safetensors: got 7 bytes, expected at least 8/,
  },
  {
    name: "no header",
    file: fileBytes("", 0),
    message: /the header has no length: got 0 bytes, expected at least 2/,
  },
  {
    name: "a header longer than the file",
    file: fileBytes(GOOD, 8, 1000n),
    message: /reaches past the end of the file: got 1000 bytes, expected at most 68 bytes/,
  },
  {
    name: "a header longer than the format's limit",
    file: fileBytes(GOOD, 8, 100_000_001n),
    message: /longer than the format allows: got 100000001 bytes, expected at most 100000000 bytes/,
  },
  {
    name: "the largest length there is",
    file: fileBytes(GOOD, 8, 2n ** 64n - 1n),
    message: /longer than the format allows: got 18446744073709551615 bytes/,
  },
  { name: "a Git LFS pointer", file: Buffer.from("version https://git-lfs…"), message: /hint: .*git lfs pull/ },
  { name: "a PyTorch file", file: Buffer.from("PK\u0003\u0004 and so on"), message: /hint: this is a PyTorch/ },

  // Text.
  hostile("no object", "[1]", 0, /does not start with an object: got byte 0x5b, expected 0x7b/),
  hostile("a space before the object", " {}", 0, /does not start with an object: got byte 0x20/),
  hostile("not UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), 0, /header is not UTF-8/),
  hostile(
    "not JSON",
    `{"layer.w" 1}`,
    0,
    /header: is not valid JSON at character 11: got 1}, expected ":" after "layer.w"/,
  ),
  hostile("cut JSON", `{"layer.w":{"dtype":"F32"`, 0, /not valid JSON at character 25: got the end of the text/),
  hostile(
    "a string without an end",
    `{"layer.w`,
    0,
    /not valid JSON at character 1: got "layer.w, expected a closing quote/,
  ),
  hostile("a comma too many", GOOD.replace("}}", "},}"), 8, /a name in the header is not a string: got }/),
  hostile(
    "an object after the object",
    `${GOOD}{}`,
    8,
    /not valid JSON at character 60: got {}, expected nothing more/,
  ),
  hostile("a zero byte after the object", `${GOOD}\0`, 8, /not valid JSON at character 60/),
  hostile(
    "a raw control character in a name",
    `{"a\nb":{}}`,
    0,
    /not valid JSON at character 1: a string with a bad escape/,
  ),
  hostile("half a surrogate pair", `{"a\\ud800":{}}`, 0, /a name in the header is not well-formed Unicode/),
  hostile(
    "nesting without end",
    `{"layer.w":${"[".repeat(1_000_000)}`,
    0,
    /tensor "layer.w" is not an object: got \[\[\[/,
  ),

  // Names.
  hostile(
    "a tensor twice",
    `{${GOOD.slice(1, -1)},${GOOD.slice(1, -1)}}`,
    8,
    /the header has the name "layer.w" twice/,
  ),
  hostile(
    "a tensor twice, once escaped",
    `{${GOOD.slice(1, -1)},${GOOD.slice(1, -1).replace("layer", "l\\u0061yer")}}`,
    8,
    /the header has the name "layer.w" twice/,
  ),
  hostile(
    "a tensor twice, with quotes and backslashes in its name",
    `{"a\\"\\\\":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a\\u0022\\u005c":{}}`,
    0,
    /the header has the name "a\\"\\\\" twice/,
  ),
  hostile(
    "__proto__ twice",
    `{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"__proto__":{}}`,
    0,
    /the header has the name "__proto__" twice/,
  ),
  hostile("__metadata__ twice", `{"__metadata__":{},"__metadata__":{}}`, 0, /has the name "__metadata__" twice/),
  hostile("a metadata key twice", `{"__metadata__":{"k":"1","\\u006b":"2"}}`, 0, /__metadata__ has the name "k" twice/),
  hostile(
    "a field twice",
    one(`"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,8]`),
    8,
    /tensor "layer.w" has the name "shape" twice/,
  ),

  // Fields.
  hostile("metadata that is no object", `{"__metadata__":null}`, 0, /__metadata__ is not an object: got null/),
  hostile("a number in the metadata", `{"__metadata__":{"step":5}}`, 0, /__metadata__ "step" is not a string: got 5/),
  hostile("an object in the metadata", `{"__metadata__":{"a":{}}}`, 0, /__metadata__ "a" is not a string: got {}/),
  hostile("a tensor that is a string", `{"layer.w":"F32"}`, 0, /tensor "layer.w" is not an object: got "F32"/),
  hostile("a tensor that is null", `{"layer.w":null}`, 0, /tensor "layer.w" is not an object: got null/),
  hostile("no dtype", one(`"shape":[2],"data_offsets":[0,8]`), 8, /tensor "layer.w": has no dtype\n/),
  hostile("nothing but a dtype", one(`"dtype":"F32"`), 8, /tensor "layer.w": has no shape, no data_offsets/),
  hostile(
    "an unknown field",
    one(`"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]`),
    8,
    /tensor "layer.w" has an unknown field: got "strides", expected "dtype", "shape" and "data_offsets"/,
  ),
  hostile(
    "an unknown dtype",
    one(`"dtype":"F33","shape":[2],"data_offsets":[0,8]`),
    8,
    /tensor "layer.w": unknown dtype: got "F33", expected BOOL, .*F32/,
  ),
  hostile(
    "a dtype out of the prototype",
    one(`"dtype":"constructor","shape":[2],"data_offsets":[0,8]`),
    8,
    /unknown dtype: got "constructor"/,
  ),
  hostile("a dtype that is a number", one(`"dtype":32`), 8, /dtype of tensor "layer.w" is not a string: got 32/),

  // Shapes.
  ...(
    [
      ["a negative dimension", "[-2]", /shape of tensor "layer.w" is not a whole number.*: got -2/],
      ["minus zero", "[-0]", /shape of tensor "layer.w" is not a whole number/],
      ["half a dimension", "[2.5]", /shape of tensor "layer.w" is not a whole number.*: got 2.5/],
      ["a dimension with an exponent", "[1e3]", /shape of tensor "layer.w" is not a whole number.*: got 1e3/],
      [
        "a dimension past 2^53",
        "[9007199254740993]",
        /shape of tensor "layer.w" is not a whole number from 0 to 2\^53 - 1/,
      ],
      ["a dimension of a million digits", `[${"9".repeat(1e6)}]`, /is not a whole number.*: got 9{24}…\n/],
      ["a dimension in quotes", `["2"]`, /shape of tensor "layer.w" is not a whole number/],
      [
        "a product past 2^53",
        "[3037000500,3037000500]",
        /F32 \[3037000500, 3037000500\] cannot be: its size is past 2\^53 bits/,
      ],
      ["a product that wraps to 8 bytes", "[4294967296,4294967296,2]", /cannot be: its size is past/],
      ["a number for a shape", "2", /shape of tensor "layer.w" is not a list: got 2/],
      ["an object for a shape", `{"length":1}`, /shape of tensor "layer.w" is not a list/],
      ["a nested shape", "[[2]]", /shape of tensor "layer.w" is not a whole number/],
      [
        "a million dimensions",
        `[${"1,".repeat(1e6)}2]`,
        /shape of tensor "layer.w" has too many numbers: expected at most 64/,
      ],
    ] satisfies [string, string, RegExp][]
  ).map(([name, shape, message]) =>
    hostile(name, one(`"dtype":"F32","shape":${shape},"data_offsets":[0,8]`), 8, message),
  ),
  hostile(
    "half a byte",
    one(`"dtype":"F4","shape":[3],"data_offsets":[0,2]`),
    2,
    /F4 \[3\] cannot be: its elements do not fill/,
  ),

  // Offsets.
  ...(
    [
      ["one offset", "[8]", /data_offsets of tensor "layer.w" has too few numbers: got \[8\]/],
      ["three offsets", "[0,8,16]", /data_offsets of tensor "layer.w" has too many numbers/],
      ["offsets that are no list", "8", /data_offsets of tensor "layer.w" is not a list: got 8/],
      ["a negative offset", "[-8,0]", /data_offsets of tensor "layer.w" is not a whole number.*: got -8/],
      ["an offset that is null", "[null,8]", /data_offsets of tensor "layer.w" is not a whole number.*: got null/],
      ["an end before the begin", "[8,0]", /tensor "layer.w": data_offsets end before they begin: got \[8, 0\]/],
      [
        "another size than the shape's",
        "[0,7]",
        /data_offsets \[0, 7\] do not fit F32 \[2\]: got 7 bytes, expected 8 bytes/,
      ],
      [
        "offsets past the end",
        "[8,16]",
        /data_offsets \[8, 16\] reach past the end of the file: got 8 bytes of data, expected at least 16/,
      ],
      ["offsets near 2^53", "[9007199254740983,9007199254740991]", /reach past the end of the file/],
    ] satisfies [string, string, RegExp][]
  ).map(([name, offsets, message]) =>
    hostile(name, one(`"dtype":"F32","shape":[2],"data_offsets":${offsets}`), 8, message),
  ),
  hostile(
    "overlapping tensors",
    ranges([0, 5], [4, 8]),
    8,
    /tensor "b": data_offsets \[4, 8\] overlap tensor "a": got begin 4, expected begin 5/,
  ),
  hostile(
    "two tensors in one place",
    ranges([0, 8], [0, 8]),
    8,
    /tensor "b": data_offsets \[0, 8\] overlap tensor "a"/,
  ),
  hostile(
    "an empty tensor inside another",
    ranges([0, 8], [4, 4]),
    8,
    /tensor "b": data_offsets \[4, 4\] overlap tensor "a"/,
  ),
  hostile(
    "a hole",
    ranges([6, 8], [0, 4]),
    8,
    /tensor "a": data_offsets \[6, 8\] leave a hole after the end of "b": got begin 6, expected begin 4/,
  ),
  hostile(
    "a hole at the start",
    ranges([1, 8]),
    8,
    /tensor "a": data_offsets \[1, 8\] leave a hole after the start of the data/,
  ),
  hostile(
    "a cut file",
    GOOD,
    7,
    /tensor "layer.w": data_offsets \[0, 8\] reach past the end.*\n  hint: the file is cut short/,
  ),
  hostile(
    "bytes after the last tensor",
    GOOD,
    9,
    /bytes that belong to no tensor follow tensor "layer.w": got a file of 77 bytes, expected 76/,
  ),
  hostile(
    "data without tensors",
    "{}",
    1,
    /bytes that belong to no tensor follow the header: got a file of 11 bytes, expected 10/,
  ),
];

describe("a hostile file is refused with its reason:", () => {
  for (const { name, file, message } of CASES) {
    test(name, async (context) => {
      const path = await writeRaw(await temporaryFolder(context), "evil.safetensors", file);
      const text = await failure(openSafetensors(path));
      assert.match(text, message);
      assert.match(text, /evil\.safetensors: /, "the message names the file");
      assert.match(text, /\n {2}hint: ./);
      assert.ok(text.length < 700, `the message is short: ${text.length} characters`);
    });
  }

  test("a name without end is cut in the message", async (context) => {
    const header = `{"${"n".repeat(1e6)}":{"dtype":"U8","shape":[1],"data_offsets":[0,2]}}`;
    const path = await writeRaw(await temporaryFolder(context), "x.safetensors", fileBytes(header, 2));
    const text = await failure(openSafetensors(path));
    assert.match(text, /tensor "n{120}…": data_offsets \[0, 2\] do not fit U8 \[1\]/);
  });

  test("a header of 100 MB that is no object is not even read", async (context) => {
    const path = join(await temporaryFolder(context), "x.safetensors");
    const handle = await open(path, "w");
    await handle.write(fileBytes("[", 0, 100_000_000n));
    await handle.truncate(100_000_008);
    await handle.close();
    const before = process.memoryUsage().arrayBuffers;
    assert.match(await failure(openSafetensors(path)), /does not start with an object/);
    assert.ok(process.memoryUsage().arrayBuffers - before < 10e6);
  });

  test("what is not a file", async (context) => {
    const folder = await temporaryFolder(context);
    await mkdir(join(folder, "folder.safetensors"));
    assert.match(await failure(openSafetensors(join(folder, "folder.safetensors"))), /is not a regular file/);
    assert.match(
      await failure(openSafetensors(join(folder, "none.safetensors"))),
      /none\.safetensors: cannot be read: got ENOENT\n {2}hint: check the path/,
    );
    if (process.platform === "win32") return;
    // Opening a pipe that nobody writes to would wait for ever.
    execFileSync("mkfifo", [join(folder, "pipe.safetensors")]);
    assert.match(await failure(openSafetensors(join(folder, "pipe.safetensors"))), /is not a regular file/);
  });
});

test("names of the prototype are names like any other", async (context) => {
  const names = ["__proto__", "constructor", "toString"];
  const entries = names.map((name, i) => `"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`);
  const header = `{"__metadata__":{"__proto__":"p","constructor":"c"},${entries.join(",")}}`;
  const path = await writeRaw(await temporaryFolder(context), "x.safetensors", fileBytes(header, 3));
  const file = await openSafetensors(path);
  assert.deepEqual([...file.tensors.keys()], names);
  assert.deepEqual(Object.entries(file.metadata), [
    ["__proto__", "p"],
    ["constructor", "c"],
  ]);
  assert.equal(file.metadata["toString"], undefined);
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
  assert.deepEqual([...(await file.read("__proto__"))], [0]);
  await file.close();
});
