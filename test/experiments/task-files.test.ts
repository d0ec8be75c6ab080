/** Tasks from files, and the O-LoRA benchmark where it is. */
import assert from "node:assert/strict";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { DataError } from "../../src/errors.ts";
import { OLORA_TASKS, oloraFolder } from "../../src/experiments/tasks/olora-cl.ts";
import { loadTaskFiles } from "../../src/experiments/tasks/task-files.ts";
import { sharedData } from "../support/shared-data.ts";

let dir = "";
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "lowrank-tasks-"));
  await mkdir(join(dir, "named"));
  const rows = Array.from({ length: 40 }, (_, i) => ({
    a: `text ${i}`,
    b: `pair ${i}`,
    n: i,
    said: i % 2 === 0 ? "yes" : "no",
  }));
  await writeFile(join(dir, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  await writeFile(
    join(dir, "test.jsonl"),
    rows
      .slice(0, 3)
      .concat({ a: "text of its own", b: "", n: -1, said: "no" })
      .map((row) => JSON.stringify(row))
      .join("\n"),
  );
  await writeFile(
    join(dir, "named", "train.json"),
    JSON.stringify(rows.map(({ a, said }) => ({ text: a, label: said }))),
  );
  await writeFile(join(dir, "named", "labels.json"), JSON.stringify(["yes", "no"]));
});
after(() => rm(dir, { recursive: true, force: true }));

const ALL = { seed: 0, train: 1000, test: 1000 };

suite("a file of texts", () => {
  test("columns, templates and a test part that is never trained on", async () => {
    const files = { name: "t", train: "rows.jsonl", text: "{a} / {n}", pair: "b", label: "said" };
    const task = await loadTaskFiles(dir, files, ALL);
    assert.deepEqual(task.labels, ["no", "yes"]);
    assert.equal(task.train.length + task.test.length, 40);
    assert.ok(task.test.length >= 5 && task.test.length <= 20, String(task.test.length));
    const [first] = task.train;
    const [, i] = /text (\d+)/.exec(first!.text)!;
    assert.deepEqual(first, { text: `text ${i} / ${i}`, pair: `pair ${i}`, label: Number(i) % 2 === 0 ? 1 : 0 });
    const trained = new Set(task.train.map(({ text }) => text));
    assert.deepEqual(
      task.test.filter(({ text }) => trained.has(text)),
      [],
    );
    const another = await loadTaskFiles(dir, files, { ...ALL, seed: 1 });
    assert.deepEqual(another.test, task.test);
    assert.notDeepEqual(another.train, task.train);
    assert.deepEqual((await loadTaskFiles(dir, files, { ...ALL, train: 4 })).train, task.train.slice(0, 4));
  });

  test("labels.json says the order of the classes; test texts that are trained on are left out", async () => {
    const task = await loadTaskFiles(dir, { name: "t", train: "named/train.json", text: "text" }, ALL);
    assert.deepEqual(task.labels, ["yes", "no"]);
    const overlapping = { name: "t", train: "rows.jsonl", test: "test.jsonl", text: "a", label: "said" };
    assert.deepEqual((await loadTaskFiles(dir, overlapping, ALL)).test, [{ text: "text of its own", label: 0 }]);
  });

  test("a task whose tests are all trained on, or without a text, is none", async () => {
    const same = { name: "t", train: "rows.jsonl", test: "rows.jsonl", text: "a", label: "said" };
    await assert.rejects(
      loadTaskFiles(dir, same, ALL),
      /task t: there is no text to test with.*40 records in .*rows.jsonl, 40 of them different/s,
    );
    await writeFile(join(dir, "unknown.jsonl"), JSON.stringify({ a: "text", said: "-" }));
    const unknown = { name: "t", train: "unknown.jsonl", text: "a", label: "said" };
    await assert.rejects(loadTaskFiles(dir, unknown, ALL), /there is no text to train on/);
  });

  test("a column that is missing, and a label that is no class, are named with their record", async () => {
    const missing = loadTaskFiles(dir, { name: "t", train: "rows.jsonl", text: "c", label: "said" }, ALL);
    await assert.rejects(
      missing,
      (error: Error) => error instanceof DataError && /record 1.*"c".*a, b, n, said/s.test(error.message),
    );
    const wrong = { name: "t", train: "rows.jsonl", text: "a", label: "said", labels: ["yes", "maybe"] };
    await assert.rejects(loadTaskFiles(dir, wrong, ALL), /record 2.*"said".*none of the classes.*no/s);
  });
});

test("the six tasks of the O-LoRA benchmark", async (t) => {
  const folder = await oloraFolder(sharedData("."));
  if (folder === undefined) return t.skip("olora-cl is not here");
  for (const files of OLORA_TASKS) {
    const { name, labels, train, test: tests } = await loadTaskFiles(folder, files, { seed: 0, train: 200, test: 100 });
    assert.ok(train.length === 200 && tests.length === 100, `${name}: ${train.length}, ${tests.length}`);
    const known = new Set(train.map(({ text }) => text));
    assert.deepEqual(
      tests.filter(({ text }) => known.has(text)),
      [],
    );
    const seen = new Set(train.map(({ label }) => label));
    assert.equal(seen.size, labels.length, name);
  }
  assert.equal(await oloraFolder(dir), undefined);
});
