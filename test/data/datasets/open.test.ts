import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, test } from "node:test";
import { openDatasets } from "../../../src/data/datasets/index.ts";
import type { DatasetStream, HubDatasetRequest, OpenDatasetsOptions } from "../../../src/data/datasets/index.ts";
import { all, complaint, jsonLines, temporaryFolder } from "../../support/dataset-files.ts";

const { root, write } = await temporaryFolder();

/** n rows of prompt/completion; the question is `<name><i>`. */
function pairs(name: string, n: number): string {
  return jsonLines(Array.from({ length: n }, (_, i) => ({ prompt: `${name}${i}`, completion: "x" })));
}

/** The questions (or texts) of a stream, after checking `count` and that a second iteration gives the same. */
async function questions(stream: DatasetStream | undefined): Promise<string[]> {
  assert.ok(stream !== undefined);
  const rows = await all(stream);
  assert.deepEqual(await all(stream), rows);
  assert.equal(await stream.count(), rows.length);
  return rows.map((row) => {
    if (row.kind === "bad") return `bad ${row.source.line}: ${row.reason}`;
    if (row.kind === "text" || row.kind === "class") return row.text;
    return row.messages.find(({ role }) => role === "user")!.content;
  });
}

async function trained(options: OpenDatasetsOptions): Promise<string[]> {
  return questions((await openDatasets({ datasetDir: root, ...options })).train);
}

const refusal = (options: OpenDatasetsOptions) =>
  complaint(openDatasets({ datasetDir: root, ...options })).then((message) => message.replaceAll(root, "DIR"));

await write("a.jsonl", pairs("a", 10));
await write("b.jsonl", pairs("b", 4));
await write("poems.txt", "one\n\ntwo\n");
await write("qa.csv", "q,a,note\nhi,hello,n\nbye,,n\n");
await write(
  "talk.json",
  JSON.stringify([
    {
      chat: [
        { who: "Q", says: "hi" },
        { who: "A", says: "yo" },
      ],
      extra: 1,
    },
  ]),
);
await write("some.json", JSON.stringify([{ instruction: "i", input: "j", output: "o", system: "s" }]));
await write(
  "dataset_info.json",
  `\uFEFF${JSON.stringify({
    a: { file_name: "a.jsonl" },
    sampled: { file_name: "a.jsonl", num_samples: 4 },
    oversampled: { file_name: "a.jsonl", num_samples: 23 },
    mapped: { file_name: "qa.csv", columns: { prompt: "q", response: "a" } },
    text: { file_name: "poems.txt", columns: { prompt: "text" } },
    talk: {
      file_name: "talk.json",
      formatting: "sharegpt",
      columns: { messages: "chat" },
      tags: { role_tag: "who", content_tag: "says", user_tag: "Q", assistant_tag: "A" },
    },
    some: { file_name: "some.json", columns: { prompt: "instruction", response: "output" } },
    hub: { hf_hub_url: "me/data", ms_hub_url: "x", subset: "en", split: "validation", folder: "f", revision: "v1" },
    script: { script_url: "load.py" },
    modelscope: { ms_hub_url: "me/data" },
    cloud: { cloud_file_name: "s3://a" },
    nowhere: { formatting: "alpaca" },
    typo: { file_nam: "a.jsonl", columns: { instruction: "q", respons: "a" }, formatting: "shareGPT", num_samples: 0 },
    wrong: { file_name: "qa.csv", columns: { prompt: "query", response: "a" } },
    preference: { file_name: "a.jsonl", ranking: true },
    kto: { file_name: "a.jsonl", columns: { prompt: "prompt", response: "completion", kto_tag: "label" } },
    pictures: { file_name: "a.jsonl", columns: { messages: "m", images: "pictures" } },
    part: { file_name: "a.jsonl", split: "train[:10%]" },
  })}`,
);

suite("names", () => {
  test("dataset_info.json first, then paths from here and from its folder; a list or commas", async () => {
    const { train, validation, sources } = await openDatasets({ dataset: "a, b.jsonl", datasetDir: root });
    assert.deepEqual((await questions(train)).slice(8, 12), ["a8", "a9", "b0", "b1"]);
    assert.equal(validation, undefined);
    const why = 'columns "prompt" and "completion"';
    assert.deepEqual(sources, [
      { name: "a", path: join(root, "a.jsonl"), format: "prompt/completion", why, part: "train" },
      { name: "b.jsonl", path: join(root, "b.jsonl"), format: "prompt/completion", why, part: "train" },
    ]);
    assert.equal((await trained({ dataset: [join(root, "b.jsonl")], datasetDir: "nowhere" })).length, 4);
  });

  test("what is not found is refused with the nearest name", async () => {
    assert.match(
      await refusal({ dataset: "oversampld" }),
      /dataset oversampld: there is no data set.*\n {2}hint: the closest name is "oversampled"/,
    );
    assert.match(
      await refusal({ dataset: "x", datasetDir: join(root, "no") }),
      /dataset_info\.json does not exist.*\n {2}hint: give the path/,
    );
    assert.match(await refusal({ dataset: " , " }), /dataset: no data set is named/);
  });

  test("a broken dataset_info.json is refused with its line", async () => {
    await write("broken/dataset_info.json", '{"a": {},\n oops}');
    assert.match(
      await refusal({ dataset: "a", datasetDir: join(root, "broken") }),
      /DIR\/broken\/dataset_info\.json:2: not JSON/,
    );
  });
});

suite("dataset_info.json", () => {
  test("columns and tags", async () => {
    const { train, sources } = await openDatasets({ dataset: "mapped", datasetDir: root });
    assert.deepEqual(await questions(train), ["hi", 'bad 3: column "a" is empty']);
    assert.equal(sources[0]!.why, 'as dataset_info.json has it; not used: "note"');
    assert.deepEqual(await trained({ dataset: "talk" }), ["hi"]);
  });

  test("columns that are not named are not read", async () => {
    const [row] = await all((await openDatasets({ dataset: "some", datasetDir: root })).train);
    assert.ok(row?.kind === "chat");
    assert.deepEqual(
      row.messages.map(({ content }) => content),
      ["i", "o"],
    );
  });

  test("only a prompt is plain text, for stage pt", async () => {
    assert.deepEqual(await trained({ dataset: "text", stage: "pt" }), ["one", "two"]);
    assert.match(
      await refusal({ dataset: "text" }),
      /text: dataset_info\.json maps no column of answers.*\n {2}hint: .*stage: pt/,
    );
    assert.deepEqual(await trained({ dataset: "poems.txt" }), ["one", "two"]);
    assert.match(
      await refusal({ dataset: "a", stage: "pt" }),
      /a: stage pt trains on plain text.*\n {2}hint: set stage: sft/,
    );
    assert.match(await refusal({ dataset: "mapped", stage: "pt" }), /stage pt trains on plain text/);
  });

  test("num_samples draws at random, and repeats when there are fewer", async () => {
    const four = await trained({ dataset: "sampled" });
    assert.equal(new Set(four).size, 4);
    assert.notDeepEqual(await trained({ dataset: "sampled", seed: 7 }), four);
    assert.deepEqual(await trained({ dataset: "sampled", maxSamples: 2 }), four.slice(0, 2));
    const many = await trained({ dataset: "oversampled" });
    assert.equal(many.length, 23);
    for (let i = 0; i < 10; i++) {
      const times = many.filter((question) => question === `a${i}`).length;
      assert.ok(times === 2 || times === 3);
    }
  });

  test("data on the hub comes from the callback", async () => {
    await write("fetched/f/en/validation-00000-of-00001.jsonl", pairs("v", 2));
    await write("fetched/f/en/train-00000-of-00001.jsonl", pairs("t", 2));
    const asked: [string, HubDatasetRequest][] = [];
    const fetchHubDataset = (repo: string, request: HubDatasetRequest) => {
      asked.push([repo, request]);
      return Promise.resolve(join(root, "fetched"));
    };
    assert.deepEqual(await trained({ dataset: "hub", fetchHubDataset }), ["v0", "v1"]);
    assert.deepEqual(asked, [["me/data", { split: "validation", subset: "en", folder: "f", revision: "v1" }]]);
    const files = () => Promise.resolve([join(root, "b.jsonl")]);
    assert.equal((await trained({ dataset: "any/name", datasetDir: "ONLINE", fetchHubDataset: files })).length, 4);
    assert.match(await refusal({ dataset: "hub" }), /hub: the data set is on the Hugging Face hub.*got me\/data/);
  });

  test("what cannot be honoured is refused by name", async () => {
    assert.match(
      await refusal({ dataset: "script" }),
      /DIR\/dataset_info\.json: "script": script_url is not supported.*\n {2}hint: .*Python/,
    );
    assert.match(await refusal({ dataset: "modelscope" }), /ms_hub_url is not supported/);
    assert.match(await refusal({ dataset: "cloud" }), /cloud_file_name is not supported/);
    assert.match(
      await refusal({ dataset: "nowhere" }),
      /does not say where the data is: expected file_name or hf_hub_url/,
    );
    assert.match(
      await refusal({ dataset: "preference" }),
      /dataset preference: this is preference data .*got ranking: true/,
    );
    assert.match(await refusal({ dataset: "kto" }), /dataset kto: this is KTO data/);
    assert.match(await refusal({ dataset: "pictures" }), /dataset pictures: images.*got columns\.images: pictures/);
    assert.match(await refusal({ dataset: "part" }), /split is "train\[:10%\]".*max_samples/);
    assert.match(await refusal({ dataset: "a", datasetDir: "REMOTE:me/x" }), /dataset_dir: REMOTE: is not supported/);
  });

  test("all mistakes of an entry are named, with the nearest key", async () => {
    const message = await refusal({ dataset: "typo" });
    for (const part of [
      'file_nam is not a key; did you mean "file_name"?',
      'columns.respons is not a key; did you mean "response"?',
      "columns.instruction is not a key",
      'formatting is "shareGPT", not one of alpaca, sharegpt, openai',
      "num_samples is 0, not a positive whole number",
    ]) {
      assert.ok(message.includes(part), `${part} in ${message}`);
    }
  });

  test("a mapped column that no record has is refused", async () => {
    assert.match(
      await refusal({ dataset: "wrong" }),
      /wrong: columns\.prompt: no record has the column "query": got columns "q" \(text\), .*\n {2}hint: .*"q"/,
    );
  });
});

suite("folders", () => {
  test("all files in the order of their names, the ones that are no data left out", async () => {
    await write("folder/2.jsonl", pairs("c", 1));
    await write("folder/1.jsonl", pairs("d", 1));
    await write("folder/deep/0.csv", "prompt,completion\ne0,x\n");
    await write("folder/.hidden.jsonl", "oops");
    await write("folder/README.md", "hi");
    await write("folder/dataset_info.json", "{}");
    assert.deepEqual(await trained({ dataset: "folder" }), ["d0", "c0", "e0"]);
    await write("bare/README.md", "hi");
    assert.match(
      await refusal({ dataset: "bare" }),
      /bare \(DIR\/bare\): the folder has no files that can be read: expected \.json/,
    );
  });

  test("train, valid and test of mlx-lm", async () => {
    await write("mlx/train.jsonl", pairs("t", 3));
    await write("mlx/valid.jsonl", pairs("v", 2));
    await write("mlx/test.jsonl", pairs("u", 1));
    const { train, validation, sources } = await openDatasets({ dataset: "mlx", datasetDir: root });
    assert.deepEqual(await questions(train), ["t0", "t1", "t2"]);
    assert.deepEqual(await questions(validation), ["v0", "v1"]);
    assert.match(sources[0]!.why, /folder: 1 file of the split train; not read: test\.jsonl; valid\.jsonl$/);
    assert.deepEqual(
      sources.map(({ part }) => part),
      ["train", "validation"],
    );
    const own = await openDatasets({ dataset: "mlx", datasetDir: root, evalDataset: "b.jsonl" });
    assert.equal((await questions(own.validation))[0], "b0");
  });
});

suite("max_samples and val_size", () => {
  test("max_samples takes the first of each data set", async () => {
    assert.deepEqual(await trained({ dataset: "a,b.jsonl", maxSamples: 2 }), ["a0", "a1", "b0", "b1"]);
    assert.equal((await trained({ dataset: "b.jsonl", maxSamples: 100 })).length, 4);
  });

  test("val_size takes a share, rounded up, or a number, of all data sets, by the seed", async () => {
    const dataset = "a,b.jsonl";
    const open = (valSize: number, seed?: number) =>
      openDatasets({ dataset, datasetDir: root, valSize, ...(seed !== undefined && { seed }) });
    const tenth = await open(0.1);
    const [train, held] = [await questions(tenth.train), await questions(tenth.validation)];
    assert.equal(held.length, 2);
    assert.deepEqual([...train, ...held].toSorted(), (await trained({ dataset })).toSorted());
    assert.deepEqual(await questions((await open(0.1)).validation), held);
    const others = await Promise.all([1, 2, 3].map(async (seed) => questions((await open(0.1, seed)).validation)));
    assert.ok(others.some((other) => other.join() !== held.join()));
    const five = await open(5);
    assert.equal((await questions(five.validation)).length, 5);
    assert.equal((await questions(five.train)).length, 9);
  });

  test("rows that interleaving repeats are never validated on", async () => {
    const mix = { mixStrategy: "interleave_over", valSize: 4 } as const;
    const { train, validation } = await openDatasets({ dataset: "a,b.jsonl", datasetDir: root, ...mix });
    const held = await questions(validation);
    assert.ok((await questions(train)).every((question) => !held.includes(question)));
    assert.equal(held.length, 4);
  });

  test("eval_dataset", async () => {
    const { train, validation, sources } = await openDatasets({
      dataset: "a",
      evalDataset: ["b.jsonl"],
      datasetDir: root,
    });
    assert.equal((await questions(train)).length, 10);
    assert.equal((await questions(validation)).length, 4);
    assert.equal(sources[1]!.part, "validation");
  });

  test("what does not fit is refused", async () => {
    assert.match(
      await refusal({ dataset: "a", valSize: 10 }),
      /val_size: nothing is left to train on: got 10 of 10 records/,
    );
    assert.match(await refusal({ dataset: "a", valSize: 1.5 }), /val_size: not a size: got 1.5/);
    assert.match(await refusal({ dataset: "a", valSize: -1 }), /val_size: not a size/);
    assert.match(await refusal({ dataset: "a", valSize: 0.1, evalDataset: "b.jsonl" }), /eval_dataset already says/);
    assert.match(await refusal({ dataset: "a", maxSamples: 0 }), /max_samples: not a positive whole number/);
    assert.match(await refusal({ dataset: "a", interleaveProbs: [1] }), /concat does not draw/);
  });
});

suite("bad rows", () => {
  test("are given with file, line and reason", async () => {
    const path = await write("mixed.jsonl", '{"prompt":"a","completion":"b"}\n\n{"prompt":"a"}\n');
    const rows = await all((await openDatasets({ dataset: path })).train);
    assert.deepEqual(rows[1], {
      kind: "bad",
      source: { dataset: path, file: path, line: 3 },
      reason: 'column "completion" is missing',
    });
  });

  test("alone are an error with the first reasons", async () => {
    const path = await write(
      "bad.jsonl",
      jsonLines(Array.from({ length: 9 }, () => ({ prompt: "a", completion: "" }))),
    );
    const split = await openDatasets({ dataset: path, valSize: 2 });
    assert.match(await complaint(all(split.train)), /no record can be trained on/);
    assert.equal((await all(split.validation!)).length, 2);
    const { train } = await openDatasets({ dataset: path });
    const message = (await complaint(all(train))).replaceAll(path, "bad.jsonl");
    assert.match(
      message,
      /no record can be trained on: got bad\.jsonl:1: column "completion" is empty; bad\.jsonl:2: .*; bad\.jsonl:3: [^;]*, expected prompt\/completion: /,
    );
  });

  test("an empty file is an error", async () => {
    const path = await write("empty.jsonl", "\n");
    assert.match(await complaint(openDatasets({ dataset: path })), /the data set is empty/);
  });
});

test("interleaving several data sets", async () => {
  assert.deepEqual(await trained({ dataset: "b.jsonl,a", mixStrategy: "interleave_under", maxSamples: 2 }), [
    "b0",
    "a0",
    "b1",
    "a1",
  ]);
  assert.equal((await trained({ dataset: "a,b.jsonl", mixStrategy: "interleave_over" })).length, 20);
  const drawn = await trained({ dataset: "a,b.jsonl", mixStrategy: "interleave_once", interleaveProbs: [0.5, 0.5] });
  assert.equal(new Set(drawn).size, 14);
});
