import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { findReader, readerOf } from "../../../src/data/datasets/readers/index.ts";
import type { NumberedRecord } from "../../../src/data/datasets/readers/reader.ts";
import { all, complaint, jsonLines, temporaryFolder } from "../../support/dataset-files.ts";

const { write } = await temporaryFolder();
const golden = (name: string) => new URL(`../../../../golden/datasets/${name}`, import.meta.url).pathname;

/** All records, after checking that counting agrees. */
async function read(path: string): Promise<NumberedRecord[]> {
  const reader = readerOf(path);
  const records = await all(reader.records(path));
  assert.equal(await reader.count(path, Infinity), records.length);
  assert.equal(await reader.count(path, 1), Math.min(1, records.length));
  return records;
}

async function readText(name: string, content: string | Uint8Array): Promise<NumberedRecord[]> {
  return read(await write(name, content));
}

async function refusal(name: string, content: string | Uint8Array): Promise<string> {
  const path = await write(name, content);
  return (await complaint(all(readerOf(path).records(path)))).replaceAll(path, name);
}

suite(".jsonl", () => {
  test("skips blank lines, keeps line numbers, and takes a mark, CRLF and a last line without end", async () => {
    const records = await readText("a.jsonl", '\uFEFF{"a":"é"}\r\n\r\n  \n{"a":2}\n{"a":"\\n"}');
    assert.deepEqual(records, [
      { record: { a: "é" }, line: 1 },
      { record: { a: 2 }, line: 4 },
      { record: { a: "\n" }, line: 5 },
    ]);
  });

  test("an empty file has no records", async () => {
    for (const content of ["", "\n\n", "\uFEFF"]) assert.deepEqual(await readText("empty.jsonl", content), []);
  });

  test("lines longer than what is read at once stay whole", async () => {
    const rows = [1, 300_000, 3, 700_000, 262_144].map((length, i) => ({ i, text: "é".repeat(length) }));
    const records = await readText("long.ndjson", jsonLines(rows));
    assert.deepEqual(
      records.map(({ record }) => record),
      rows,
    );
  });

  test("is unpacked where it ends in .gz", async () => {
    assert.deepEqual(await readText("a.jsonl.gz", gzipSync('{"a":1}\n{"a":2}')), [
      { record: { a: 1 }, line: 1 },
      { record: { a: 2 }, line: 2 },
    ]);
    const cut = gzipSync('{"a":1}\n'.repeat(1000)).subarray(0, 30);
    assert.match(await refusal("cut.jsonl.gz", cut), /^cut\.jsonl\.gz: damaged gzip: /);
  });

  test("what is no JSON object is refused with its line", async () => {
    assert.match(
      await refusal("b.jsonl", '{"a":1}\n\n{"a":}\n'),
      /^b\.jsonl:3: not JSON: Unexpected token.*\n {2}hint: /,
    );
    assert.match(
      await refusal("b.jsonl", '{"a":1}\n["a"]\n'),
      /^b\.jsonl:2: not a record: got a list, expected an object/,
    );
    assert.match(await refusal("b.jsonl", "[\n"), /^b\.jsonl:1: not JSON/);
  });

  test("what is not UTF-8 is refused with its line", async () => {
    const latin1 = Buffer.concat([Buffer.from('{"a":"é"}\n{"a":"'), Buffer.from([0xe9]), Buffer.from('"}\n')]);
    assert.match(await refusal("c.jsonl", latin1), /^c\.jsonl:2: not UTF-8 text\n {2}hint: .*iconv/);
    const utf16 = Buffer.from('\uFEFF{"a":1}\n', "utf16le");
    assert.match(await refusal("d.jsonl", utf16), /^d\.jsonl: the text is UTF-16: expected UTF-8\n {2}hint: .*iconv/);
  });

  test("nothing is read after the consumer stops", async () => {
    const path = await write("stop.jsonl", `${'{"a":1}\n'.repeat(100_000)}not JSON\n`);
    let count = 0;
    for await (const { line } of readerOf(path).records(path)) {
      count++;
      if (line === 3) break;
    }
    assert.equal(count, 3);
  });
});

suite(".json", () => {
  test("a list of objects, however it is laid out", async () => {
    const rows = [{ a: '}{][",\\' }, { b: [{ c: "\\" }, []] }, {}, { "d\n": "中" }];
    for (const content of [
      JSON.stringify(rows),
      JSON.stringify(rows, null, 2),
      `\uFEFF \r\n${JSON.stringify(rows)} \n`,
    ]) {
      assert.deepEqual(
        await readText("a.json", content),
        rows.map((record, i) => ({ record, line: i + 1 })),
      );
    }
    assert.deepEqual(await readText("a.json", "[ ]"), []);
    assert.deepEqual(await readText("a.json", ""), []);
  });

  test("objects one after the other", async () => {
    const rows = [{ a: 1 }, { a: { b: 2 } }];
    assert.equal((await readText("b.json", jsonLines(rows))).length, 2);
    assert.equal((await readText("b.json", JSON.stringify(rows[1], null, 2))).length, 1);
  });

  test("strings, escapes and characters may lie across what is read at once", async () => {
    // 65,537 is prime to the size of a piece, so that the seams fall on all kinds of bytes.
    const rows = Array.from({ length: 40 }, (_, i) => ({ i, a: '\\"}é{'.repeat(13_107), b: "x".repeat(i) }));
    const records = await readText("long.json", JSON.stringify(rows));
    assert.deepEqual(
      records.map(({ record }) => record),
      rows,
    );
  });

  test("mistakes are refused with their line", async () => {
    assert.match(
      await refusal("c.json", '[\n{"a":1},\n{"a":\n oops}]'),
      /^c\.json:3: not JSON: Unexpected token 'o'\n/,
    );
    // Where the engine says how far it came, the line is the one of the mistake, not that of the record.
    assert.match(await refusal("c.json", '[{"a":1,\n"b":2\n"c":3}]'), /^c\.json:3: not JSON: Expected ',' or '}'/);
    assert.match(await refusal("c.json", '[{"a":1},\n]'), /^c\.json:2: unexpected text: got \], expected an object/);
    assert.match(
      await refusal("c.json", '[{"a":1}\n{"a":2}]'),
      /^c\.json:2: unexpected text: got \{"a":2\}\], expected , or \]/,
    );
    assert.match(
      await refusal("c.json", '["a", "b"]'),
      /^c\.json:1: unexpected text: got "a", "b"\], expected an object/,
    );
    assert.match(await refusal("c.json", '[{"a":1}]\n{}'), /^c\.json:2: .*expected the end of the file/);
    assert.match(
      await refusal("c.json", '[\n{"a":1},\n{"b":'),
      /^c\.json:3: the file ends inside the object that starts on line 3/,
    );
    assert.match(await refusal("c.json", '[{"a":1}'), /^c\.json:1: the file ends inside its list/);
    assert.match(await refusal("c.json", "hello"), /^c\.json:1: unexpected text: got hello/);
  });
});

suite(".csv and .tsv", () => {
  test("quotes, line ends in fields, blank lines; the line is the one that a record starts on", async () => {
    const content = '\uFEFFinstruction,output\r\n"a, ""b""",c\r\n\r\n"two\r\nlines",d\r\ne,f';
    assert.deepEqual(await readText("a.csv", content), [
      { record: { instruction: 'a, "b"', output: "c" }, line: 2 },
      { record: { instruction: "two\r\nlines", output: "d" }, line: 4 },
      { record: { instruction: "e", output: "f" }, line: 6 },
    ]);
    assert.deepEqual(await readText("a.tsv", "text\tid\na, b\t1\n"), [{ record: { text: "a, b", id: "1" }, line: 2 }]);
  });

  test("characters may lie across what is read at once", async () => {
    const text = "é中".repeat(200_001);
    assert.deepEqual(await readText("long.csv", `text\n${text}\n`), [{ record: { text }, line: 2 }]);
  });

  test("mistakes are refused with their line", async () => {
    assert.match(
      await refusal("b.csv", "a,b\n1,2\n1,2,3\n"),
      /^b\.csv:3: Invalid Record Length.*\n {2}hint: .*double quotes/,
    );
    assert.match(await refusal("b.csv", 'a,b\n"1,2\n'), /^b\.csv:\d: Quote Not Closed/);
    assert.match(await refusal("b.csv", "a,a\n1,2\n"), /^b\.csv:1: two columns have one name: got a/);
    const latin1 = Buffer.concat([Buffer.from("a\né\n"), Buffer.from([0xe9]), Buffer.from("\nb\n")]);
    assert.match(await refusal("c.csv", latin1), /^c\.csv:3: not UTF-8 text/);
  });

  test("nothing is read after the consumer stops", async () => {
    const path = await write("stop.csv", `a,b\n${"1,2\n".repeat(300_000)}1,2,3\n`);
    for await (const { line } of readerOf(path).records(path)) if (line === 3) break;
    assert.equal(await readerOf(path).count(path, 5), 5);
  });
});

suite(".parquet", () => {
  test("files of pyarrow: zstd, nulls, 64-bit integers, timestamps", async () => {
    const records = await read(golden("alpaca.parquet"));
    assert.deepEqual(records[0], {
      record: { id: 1, instruction: "Say hi.", input: "", output: "Hi!", score: 0.5, made: "2024-06-01T12:00:00.000Z" },
      line: 1,
    });
    assert.equal(records[1]!.record["score"] ?? null, null);
    // Beyond what a number holds, the digits are kept.
    assert.equal(records[2]!.record["id"], String(2n ** 60n));
    assert.equal(records[2]!.record["output"], "你好");
  });

  test("lists of objects, over two row groups", async () => {
    const records = await read(golden("messages.parquet"));
    assert.deepEqual(
      records.map(({ line }) => line),
      [1, 2, 3],
    );
    const [, call] = records[1]!.record["messages"] as { tool_calls?: unknown }[];
    const weather = { name: "weather", arguments: '{"city": "Rome"}' };
    assert.deepEqual(call!.tool_calls, [{ type: "function", function: weather }]);
  });

  test("a damaged file is refused", async () => {
    const whole = await readFile(golden("messages.parquet"));
    assert.match(await refusal("cut.parquet", whole.subarray(0, 900)), /^cut\.parquet: not a sound Parquet file: /);
    const broken = Buffer.from(whole).fill(0xff, 4, 200);
    assert.match(await refusal("broken.parquet", broken), /^broken\.parquet: not a sound Parquet file: /);
    assert.match(
      await complaint(all(readerOf("no.parquet").records("no.parquet"))),
      /no\.parquet: there is no such file/,
    );
  });
});

test(".txt: a record for each line that is not blank", async () => {
  assert.deepEqual(await readText("a.txt", "one\n\n  two \r\n\t\nthree"), [
    { record: { text: "one" }, line: 1 },
    { record: { text: "  two " }, line: 3 },
    { record: { text: "three" }, line: 5 },
  ]);
});

test("other kinds of files are refused with what can be read", () => {
  assert.equal(findReader("a.JSONL.GZ"), findReader("a.jsonl"));
  assert.equal(findReader("a.parquet.gz"), undefined);
  assert.throws(
    () => readerOf("data/a.arrow"),
    /data\/a\.arrow: .*expected \.json .*\.parquet .*\n {2}hint: .*Parquet/,
  );
  assert.throws(() => readerOf("Makefile"), /cannot be read/);
});
