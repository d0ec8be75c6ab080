/** Samples to rows: the same ones however they are made, kept and read. */
import assert from "node:assert/strict";
import { copyFile, readdir, readFile, rename, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { openDatasets } from "../../../src/data/datasets/open.ts";
import type { Row, RowSource } from "../../../src/data/row-source.ts";
import { type PreparedRows, type PrepareOptions, prepareRows } from "../../../src/data/rows/prepare.ts";
import type { RowSettings } from "../../../src/data/rows/settings.ts";
import { resolveTemplate } from "../../../src/data/text/templates.ts";
import type { Tokenizer } from "../../../src/data/text/tokenizer.ts";
import { all, complaint, jsonLines, temporaryFolder } from "../../support/dataset-files.ts";
import { ROW_SETTINGS } from "../../support/row-settings.ts";
import { byteTokenizer } from "../text/fixtures.ts";

const { root, write } = await temporaryFolder();

const SETTINGS: RowSettings = { ...ROW_SETTINGS, cutoffLen: 96 };

/** Questions and answers of various lengths; every hundredth record is bad. */
function pairs(n: number): string {
  return jsonLines(
    Array.from({ length: n }, (_, i) => ({
      prompt: `q${i}`,
      completion: i % 100 === 50 ? "" : `answer ${i} ${"x".repeat(i % 40)}`,
    })),
  );
}

await write("few.jsonl", pairs(150));
await write("many.jsonl", pairs(2600));
await write("text.txt", Array.from({ length: 40 }, (_, i) => `${"word ".repeat(i % 30)}end\n`).join(""));

async function prepare(
  tokenizer: Tokenizer,
  dataset: string,
  settings: Partial<RowSettings> = {},
  options: PrepareOptions & { valSize?: number } = {},
): Promise<PreparedRows> {
  const { valSize = 0 } = options;
  const stage = settings.stage ?? "sft";
  const opened = await openDatasets({ dataset, datasetDir: root, valSize, stage });
  const template = stage === "pt" ? undefined : resolveTemplate(tokenizer, "default");
  return prepareRows(
    opened,
    tokenizer,
    template,
    { ...SETTINGS, ...settings },
    { cacheDir: join(root, "cache"), ...options },
  );
}

/** Rows of an epoch as plain values, to be compared. */
async function epoch(source: RowSource, number = 0, from = 0): Promise<unknown[]> {
  return (await all(source.rows(number, from))).map(({ inputIds, labels, lengths, sources }: Row) => ({
    ids: [...inputIds],
    labels: [...labels],
    lengths,
    sources,
  }));
}

const ofOrder = (rows: readonly unknown[]): string[] => rows.map((row) => JSON.stringify(row));

/** The one cache in a folder. */
async function onlyCache(dir: string): Promise<string> {
  const names = await readdir(dir);
  assert.equal(names.length, 1, names.join(" "));
  return join(dir, names[0]!);
}

async function tokenizerOf(t: TestContext): Promise<Tokenizer> {
  return byteTokenizer(t);
}

suite("small sets", () => {
  test("are in memory, in an order for each epoch, from any row on", async (t) => {
    const { train, validation } = await prepare(await tokenizerOf(t), "few.jsonl", {}, { valSize: 0.1 });
    const first = await epoch(train.rows);
    assert.equal(first.length, train.rows.length);
    assert.deepEqual(await epoch(train.rows), first);
    assert.deepEqual(await epoch(train.rows, 0, 100), first.slice(100));
    const second = await epoch(train.rows, 1);
    assert.notDeepEqual(second, first);
    assert.deepEqual(ofOrder(second).toSorted(), ofOrder(first).toSorted());
    // Validation stays in order, and has other records.
    const lines = (await all(validation!.rows.rows(3, 0))).map(({ sources }) => sources![0]!.line);
    assert.deepEqual(
      lines,
      lines.toSorted((a, b) => a - b),
    );
    assert.equal(train.report.read + validation!.report.read, 150);
    await assert.rejects(readdir(join(root, "cache")), /ENOENT/);
  });

  test("are in the order of the file without shuffle", async (t) => {
    const { train } = await prepare(await tokenizerOf(t), "few.jsonl", { shuffle: false });
    const lines = (await all(train.rows.rows(1, 0))).map(({ sources }) => sources![0]!.line);
    assert.deepEqual(
      lines,
      lines.toSorted((a, b) => a - b),
    );
    assert.equal(lines.length, 149);
  });
});

suite("the token cache", () => {
  const settings = { packing: true } as const;

  test("has the rows that memory has, whoever tokenises", async (t) => {
    const tokenizer = await tokenizerOf(t);
    const dir = join(root, "compared");
    const inMemory = await prepare(tokenizer, "few.jsonl", settings);
    const onDisk = await prepare(tokenizer, "few.jsonl", { ...settings, tokenizedPath: dir });
    assert.deepEqual(await epoch(onDisk.train.rows, 2), await epoch(inMemory.train.rows, 2));
    assert.deepEqual(onDisk.train.report, inMemory.train.report);
    assert.equal(onDisk.train.rows.maxSupervised, inMemory.train.rows.maxSupervised);

    const [here, threads] = [join(root, "here"), join(root, "threads")];
    const one = await prepare(tokenizer, "many.jsonl", settings, { cacheDir: here });
    const two = await prepare(
      tokenizer,
      "many.jsonl",
      { ...settings, preprocessingNumWorkers: 2 },
      { cacheDir: threads },
    );
    const rows = await epoch(one.train.rows);
    assert.deepEqual(await epoch(two.train.rows), rows);
    assert.deepEqual(two.train.report, one.train.report);
    assert.deepEqual(
      await readFile(join(await onlyCache(here), "rows.bin")),
      await readFile(join(await onlyCache(threads), "rows.bin")),
    );
    assert.deepEqual(await epoch(one.train.rows, 0, rows.length - 2), rows.slice(-2));
  });

  test("is used again, and made again when it is damaged or not wanted", async (t) => {
    const tokenizer = await tokenizerOf(t);
    const cacheDir = join(root, "damaged");
    const activities = async (more: Partial<RowSettings> = {}) => {
      const [seen, notices] = [new Set<string>(), [] as string[]];
      const { train } = await prepare(
        tokenizer,
        "many.jsonl",
        { ...settings, ...more },
        {
          cacheDir,
          onProgress: ({ activity }) => seen.add(activity),
          onNotice: (notice) => notices.push(notice),
        },
      );
      return { seen: [...seen].toSorted(), notices, rows: await epoch(train.rows), report: train.report };
    };
    const first = await activities();
    assert.deepEqual(first.seen, ["tokenising", "verifying"]);
    const again = await activities();
    assert.deepEqual(again, { ...first, seen: ["verifying"] });
    assert.deepEqual((await activities({ overwriteCache: true })).seen, first.seen);

    const cache = await onlyCache(cacheDir);
    const flip = async (name: string, at: number) => {
      const bytes = await readFile(join(cache, name));
      bytes[at]! ^= 1;
      await writeFile(join(cache, name), bytes);
    };
    const damages: Record<string, () => Promise<void>> = {
      "rows.bin": () => flip("rows.bin", 1000),
      "index.bin": () => truncate(join(cache, "index.bin"), 64),
      "manifest.json": () => flip("manifest.json", 200),
    };
    for (const [name, damage] of Object.entries(damages)) {
      await damage();
      const { notices, ...repaired } = await activities();
      assert.match(notices.join("\n"), new RegExp(`damaged \\(${name}`), name);
      assert.deepEqual(repaired, { seen: first.seen, rows: first.rows, report: first.report }, name);
    }
    assert.deepEqual((await readdir(cacheDir)).length, 1);
  });

  test("is another one for other data, settings or tokenizer", async (t) => {
    const tokenizer = await tokenizerOf(t);
    const dir = join(root, "keys");
    await copyFile(join(root, "few.jsonl"), join(root, "changing.jsonl"));
    const made = async (more: Partial<RowSettings> = {}, using = tokenizer) => {
      await prepare(using, "changing.jsonl", { tokenizedPath: dir, ...more });
      return (await readdir(dir)).length;
    };
    assert.equal(await made(), 1);
    assert.equal(await made({ dataSeed: 8, preprocessingNumWorkers: 2 }), 1);
    assert.equal(await made({ cutoffLen: 64 }), 2);
    assert.equal(await made({ packing: true }), 3);
    assert.equal(await made({}, await byteTokenizer(t, { eos_token: "</s>" })), 4);
    await utimes(join(root, "changing.jsonl"), 1, 1);
    assert.equal(await made(), 5);
  });

  test("that is gone in the middle of a run is a mistake with a way out", async (t) => {
    const cacheDir = join(root, "gone");
    const { train } = await prepare(await tokenizerOf(t), "many.jsonl", {}, { cacheDir });
    await rename(await onlyCache(cacheDir), join(cacheDir, "moved"));
    assert.match(await complaint(all(train.rows.rows(0, 0))), /token cache was removed or changed.*\n.*start again/);
  });

  test("leaves nothing behind when it is stopped", async (t) => {
    const cacheDir = join(root, "stopped");
    const controller = new AbortController();
    const work = prepare(
      await tokenizerOf(t),
      "many.jsonl",
      {},
      {
        cacheDir,
        signal: controller.signal,
        onProgress: ({ done }) => done === 500 && controller.abort(new RangeError("enough")),
      },
    );
    await assert.rejects(work, /enough/);
    assert.deepEqual(await readdir(cacheDir), []);
  });
});

suite("streaming", () => {
  test("gives every sample once in an epoch, the same way again, and goes on from any row", async (t) => {
    const tokenizer = await tokenizerOf(t);
    const { train } = await prepare(tokenizer, "many.jsonl", { streaming: true });
    assert.equal(train.rows.length, undefined);
    const first = await epoch(train.rows);
    assert.deepEqual(await epoch(train.rows), first);
    assert.deepEqual(await epoch(train.rows, 0, 2000), first.slice(2000));
    assert.notDeepEqual(await epoch(train.rows, 1), first);
    const whole = await prepare(tokenizer, "many.jsonl", {});
    assert.deepEqual(ofOrder(first).toSorted(), ofOrder(await epoch(whole.train.rows)).toSorted());
    assert.ok(train.rows.maxSupervised >= whole.train.rows.maxSupervised);
    assert.equal(train.report.firstRecords, 1000);
    assert.equal(train.report.read, 1000);
  });
});

suite("what cannot be used", () => {
  test("is counted with its places, and the first that is too long is named where that is an error", async (t) => {
    const tokenizer = await tokenizerOf(t);
    const { train } = await prepare(tokenizer, "few.jsonl", { cutoffLen: 50, overLength: "drop" });
    const { read, examples, bad, dropped } = train.report;
    assert.equal(read, 150);
    assert.deepEqual(bad, [
      { reason: 'column "completion" is empty', count: 1, places: [`${join(root, "few.jsonl")}:51`] },
    ]);
    assert.equal(examples + dropped[0]!.count + 1, 150);
    assert.match(dropped[0]!.reason, /longer than cutoff_len 50/);
    for (const workers of [1, 2]) {
      const settings = { cutoffLen: 60, overLength: "error", preprocessingNumWorkers: workers } as const;
      const message = await complaint(prepare(tokenizer, "many.jsonl", settings));
      assert.match(message, /many\.jsonl:\d+: longer than cutoff_len.*\n.*hint: raise cutoff_len/);
    }
  });

  test("texts to pretrain on lose nothing when they are packed", async (t) => {
    const tokenizer = await tokenizerOf(t);
    const { train } = await prepare(tokenizer, "text.txt", {
      stage: "pt",
      packing: true,
      cutoffLen: 32,
      shuffle: false,
    });
    const ids = (await all(train.rows.rows(0, 0))).flatMap(({ inputIds }) => [...inputIds]);
    const text = (await readFile(join(root, "text.txt"), "utf8")).split("\n").filter((line) => line !== "");
    assert.equal(tokenizer.decode(ids), text.map((line) => `${line}<|endoftext|>`).join(""));
    assert.equal(train.report.truncated.count, 0);
    assert.ok(train.report.rows.fill > 0.98);
  });
});
