/** Data sets of texts with classes: columns, labels and their order, and records that have none. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { openDatasets, type OpenDatasetsOptions } from "../../../src/data/datasets/open.ts";
import { all, complaint, jsonLines, temporaryFolder } from "../../support/dataset-files.ts";

const { root, write } = await temporaryFolder();

const open = (dataset: string, options: Partial<OpenDatasetsOptions> = {}) =>
  openDatasets({ dataset, datasetDir: root, stage: "cls", ...options });

/** `text | pair -> index`, or what is wrong. */
async function rows(dataset: string, options: Partial<OpenDatasetsOptions> = {}): Promise<string[]> {
  const { train } = await open(dataset, options);
  return (await all(train)).map((row) => {
    if (row.kind === "bad") return `${row.source.line}: ${row.reason}`;
    if (row.kind !== "class") return row.kind;
    return `${row.text}${row.pair === undefined ? "" : ` | ${row.pair}`} -> ${row.label}`;
  });
}

const labelsOf = async (dataset: string, options: Partial<OpenDatasetsOptions> = {}) =>
  (await open(dataset, options)).classes;

suite("records with a class", () => {
  test("one text or two, by the names of their columns, in every kind of file", async () => {
    await write(
      "one.jsonl",
      jsonLines([
        { sentence: "x", label: "b" },
        { sentence: "y", label: "a" },
      ]),
    );
    assert.deepEqual(await rows("one.jsonl"), ["x -> 1", "y -> 0"]);
    await write(
      "two.json",
      JSON.stringify([
        { premise: "p", hypothesis: "h", label: 0, idx: 1 },
        { premise: "q", hypothesis: "i", label: 1, idx: 2 },
      ]),
    );
    assert.deepEqual(await rows("two.json"), ["p | h -> 0", "q | i -> 1"]);
    const { sources } = await open("two.json");
    assert.match(sources[0]!.why, /text "premise" and "hypothesis", class "label"; not used: "idx"/);
    await write("three.csv", "question1,question2,label\nis it?,was it?,1\nwhy?,who?,0\n");
    assert.deepEqual(await rows("three.csv"), ["is it? | was it? -> 1", "why? | who? -> 0"]);
    await write("four.tsv", "text\tlabel\ngood one\tpos\nbad one\tneg\n");
    assert.deepEqual(await rows("four.tsv"), ["good one -> 1", "bad one -> 0"]);
  });

  test("other columns are named in the configuration, or in dataset_info.json", async () => {
    const records = [
      { title: "t", body: "x", kind: "b" },
      { title: "u", body: "y", kind: "a" },
    ];
    await write("other.jsonl", jsonLines(records));
    assert.match(
      await complaint(open("other.jsonl")),
      /not clear what is to be classified: no column for the label, and no column for the text.*text_column_names/s,
    );
    assert.deepEqual(await rows("other.jsonl", { classColumns: { text: ["body"], label: "kind" } }), [
      "x -> 1",
      "y -> 0",
    ]);
    assert.deepEqual(await rows("other.jsonl", { classColumns: { text: ["title", "body"], label: "kind" } }), [
      "t | x -> 1",
      "u | y -> 0",
    ]);
    assert.match(
      await complaint(open("other.jsonl", { classColumns: { text: ["bodi"], label: "kind" } })),
      /text_column_names: no record has the column "bodi".*nearest one is "body"/s,
    );
    const entry = (columns: object) => ({ file_name: "other.jsonl", columns });
    await write(
      "info/dataset_info.json",
      JSON.stringify({
        mapped: { ...entry({ text: "title", text_pair: "body", label: "kind" }), file_name: "../other.jsonl" },
        alpaca: { ...entry({ prompt: "title", response: "body" }), file_name: "../other.jsonl" },
        written: { ...entry({ text: "{title}: {body}!", label: "kind" }), file_name: "../other.jsonl" },
        plain: { file_name: "../one.jsonl" },
      }),
    );
    const datasetDir = `${root}/info`;
    assert.deepEqual(await rows("mapped", { datasetDir }), ["t | x -> 1", "u | y -> 0"]);
    assert.deepEqual(await rows("written", { datasetDir }), ["t: x! -> 1", "u: y! -> 0"]);
    assert.deepEqual(await rows("plain", { datasetDir }), ["x -> 1", "y -> 0"]);
    assert.match(
      await complaint(open("alpaca", { datasetDir })),
      /maps no column of classes.*"columns": \{"text": COLUMN, "label": COLUMN\}/s,
    );
    assert.match(
      await complaint(open("mapped", { datasetDir, stage: "sft" })),
      /stage sft does not learn those.*stage: cls/s,
    );
    assert.match(await complaint(open("one.jsonl", { stage: "sft" })), /stage: cls trains a classifier/);
  });

  test("what has no text or no class is counted with its place and the reason", async () => {
    const path = await write(
      "bad.jsonl",
      jsonLines([
        { text: "x", label: "yes" },
        { text: "", label: "yes" },
        { text: "y" },
        { text: "z", label: null },
        { text: "v", label: -1 },
        { text: "w", label: 0.5 },
        { text: "u", label: ["no"] },
        { text: "t", label: " no " },
        { label: "no" },
      ]),
    );
    assert.deepEqual(await rows("bad.jsonl"), [
      "x -> 1",
      '2: column "text" is empty',
      '3: column "label" is missing',
      '4: column "label" is missing',
      '5: column "label" is below 0: no class',
      '6: column "label" is a number that is no class: values are not learnt, only classes',
      '7: column "label" is a list, not a class',
      "t -> 0",
      '9: column "text" is missing',
    ]);
    assert.deepEqual(await rows("bad.jsonl", { classes: { labels: ["yes", "maybe"] }, maxSamples: 8 }), [
      "x -> 0",
      '2: column "text" is empty',
      '3: column "label" is missing',
      '4: column "label" is missing',
      '5: column "label" is below 0: no class',
      '6: column "label" is a number that is no class: values are not learnt, only classes',
      '7: column "label" is a list, not a class',
      '8: label "no" is none of "yes", "maybe"',
    ]);
    const all = await complaint(rows("bad.jsonl", { classes: { labels: ["a", "b"] } }));
    assert.match(all, /no record can be trained on/);
    assert.ok(all.includes(`${path}:1: label "yes" is none of "a", "b"`));
  });
});

suite("the classes of a run", () => {
  test("the configuration's order, else the model's, else labels.json, else sorted", async () => {
    const records = ["b", "a", "c"].map((label) => ({ text: label, label }));
    await write("set/train.jsonl", jsonLines(records));
    assert.deepEqual(await labelsOf("set"), { names: ["a", "b", "c"], why: "from the data, sorted" });
    const path = await write("set/labels.json", '["c", "b", "a"]');
    assert.deepEqual(await labelsOf("set"), { names: ["c", "b", "a"], why: path });
    const known = { names: ["b", "c", "a"], why: "config.json" };
    assert.deepEqual(await labelsOf("set", { classes: { known } }), known);
    assert.deepEqual((await labelsOf("set", { classes: { known, labels: ["a", "c", "b"] } }))!.names, ["a", "c", "b"]);
    // labels.json is no data, whatever the folder is taken for.
    assert.deepEqual(await rows("set"), ["b -> 1", "a -> 2", "c -> 0"]);
    await write("odd/train.jsonl", jsonLines(records));
    await write("odd/labels.json", '{"a": 1}');
    assert.match(await complaint(open("odd")), /labels\.json: not a list of labels/);
  });

  test("numbers from 0 on are indices; others are names, sorted by size", async () => {
    const write3 = async (name: string, labels: readonly unknown[]) =>
      write(name, jsonLines(labels.map((label) => ({ text: "x", label }))));
    await write3("indices.jsonl", [2, 0, 1]);
    assert.deepEqual((await labelsOf("indices.jsonl"))!.names, ["LABEL_0", "LABEL_1", "LABEL_2"]);
    assert.deepEqual(await rows("indices.jsonl"), ["x -> 2", "x -> 0", "x -> 1"]);
    assert.deepEqual(await rows("indices.jsonl", { classes: { labels: ["no", "perhaps", "yes"] } }), [
      "x -> 2",
      "x -> 0",
      "x -> 1",
    ]);
    assert.equal((await labelsOf("indices.jsonl", { classes: { numLabels: 5 } }))!.names.length, 5);
    await write3("from-one.jsonl", ["10", "2", "1"]);
    assert.deepEqual((await labelsOf("from-one.jsonl"))!.names, ["1", "2", "10"]);
    assert.deepEqual(await rows("from-one.jsonl"), ["x -> 2", "x -> 1", "x -> 0"]);
    await write3("booleans.jsonl", [true, false]);
    assert.deepEqual((await labelsOf("booleans.jsonl"))!.names, ["false", "true"]);
    assert.deepEqual(await rows("booleans.jsonl", { classes: { labels: ["True", "False"] } }), ["x -> 0", "x -> 1"]);
  });

  test("what are no classes, and counts that do not fit, are errors", async () => {
    await write("ids.jsonl", jsonLines(Array.from({ length: 60 }, (_, i) => ({ text: "x", label: `id-${i}` }))));
    assert.match(
      await complaint(open("ids.jsonl")),
      /60 different labels in 60 records are no classes.*label_column_name/s,
    );
    await write(
      "single.jsonl",
      jsonLines([
        { text: "x", label: "a" },
        { text: "y", label: "a" },
      ]),
    );
    assert.match(await complaint(open("single.jsonl")), /all records have one and the same label: got "a"/);
    await write("none.jsonl", jsonLines([{ text: "x", label: null }]));
    assert.match(await complaint(open("none.jsonl")), /no record has a label/);
    assert.match(
      await complaint(open("one.jsonl", { classes: { numLabels: 3 } })),
      /num_labels: the data has another number of labels: got 2: "a", "b", expected 3/,
    );
    assert.match(
      await complaint(open("one.jsonl", { classes: { labels: ["a", "a"] } })),
      /labels: a label is there twice: got a/,
    );
  });

  test("a part to validate on has the classes of what is trained on", async () => {
    await write("val/train.jsonl", jsonLines(["x", "y", "x", "y"].map((label, i) => ({ text: `t${i}`, label }))));
    await write(
      "val/valid.jsonl",
      jsonLines([
        { text: "v", label: "y" },
        { text: "w", label: "z" },
      ]),
    );
    const { validation, classes } = await open("val");
    assert.deepEqual(classes!.names, ["x", "y"]);
    const found = (await all(validation!)).map((row) =>
      row.kind === "bad" ? row.reason : row.kind === "class" ? row.label : "",
    );
    assert.deepEqual(found, [1, 'label "z" is none of "x", "y"']);
  });
});
