import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CIFAR10_CLASS_NAMES, RECORD_BYTES, loadCifar10 } from "../../src/data/cifar10.ts";
import { SYNTHETIC_CLASS_NAMES, syntheticRecords } from "../../src/data/cifar10-synthetic.ts";
import { IMAGE_BYTES, imageAt, labelsInto, normalizeInto } from "../../src/data/image-dataset.ts";
import { ConfigError, DataError, FormatError, ShapeError } from "../../src/errors.ts";
import type { LowrankError } from "../../src/errors.ts";

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-cifar10-"));
});
after(() => rm(root, { recursive: true }));

/** A record with the label, and with image byte i = (label · 20 + i) mod 256. */
function record(label: number): Uint8Array {
  return Uint8Array.from({ length: RECORD_BYTES }, (_, i) => (i === 0 ? label : (label * 20 + i - 1) % 256));
}

function records(...labels: number[]): Uint8Array {
  return Buffer.concat(labels.map(record));
}

async function folder(name: string, files: Record<string, Uint8Array | string>): Promise<string> {
  const path = join(root, name);
  for (const [file, content] of Object.entries(files)) {
    await mkdir(join(path, file, ".."), { recursive: true });
    await writeFile(join(path, file), content);
  }
  await mkdir(path, { recursive: true });
  return path;
}

/** The error of loading, after checking its class; its message is what a user reads. */
async function failure(source: string, kind: new (...args: never[]) => LowrankError): Promise<string> {
  const error = await loadCifar10(source).then(
    () => assert.fail("loading succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, String(error));
  assert.match(error.message, /\n {2}hint: /);
  return error.message;
}

describe("loadCifar10 on a folder", () => {
  test("takes labels and images apart, files in the order of their numbers", async () => {
    const source = await folder("official", {
      "data_batch_10.bin": records(9),
      "data_batch_2.bin": records(2, 3),
      "data_batch_1.bin": records(1),
      "train_extra.bin": records(7),
      "test_batch.bin": records(5, 6),
      "test_more.bin": records(7),
      "readme.html": "not data",
    });
    const { train, test, files } = await loadCifar10(source);
    assert.deepEqual([...train.labels], [1, 2, 3, 9]);
    assert.equal(train.count, 4);
    assert.deepEqual([...test.labels], [5, 6]);
    assert.deepEqual(
      files.train,
      ["data_batch_1.bin", "data_batch_2.bin", "data_batch_10.bin"].map((name) => join(source, name)),
    );
    assert.deepEqual(imageAt(train, 2), record(3).subarray(1));
    assert.equal(train.classNames, CIFAR10_CLASS_NAMES);
  });

  test("accepts train*.bin and test*.bin, in the subfolder of the official archive too", async () => {
    const source = await folder("nested", {
      "cifar-10-batches-bin/train_a.bin": records(4),
      "cifar-10-batches-bin/testing.bin": records(8),
    });
    const { train, test } = await loadCifar10(source);
    assert.deepEqual([[...train.labels], [...test.labels]], [[4], [8]]);
  });

  test("limits keep the first records, across files", async () => {
    const source = await folder("limits", {
      "train1.bin": records(0, 1),
      "train2.bin": records(2, 3),
      "test.bin": records(4, 5, 6),
    });
    const { train, test } = await loadCifar10(source, { limitTrain: 3, limitTest: 1 });
    assert.deepEqual([[...train.labels], [...test.labels]], [[0, 1, 2], [4]]);
    assert.deepEqual(imageAt(train, 2), record(2).subarray(1));
    assert.equal(train.images.length, 3 * IMAGE_BYTES);
    assert.equal((await loadCifar10(source, { limitTrain: 100 })).train.count, 4);
    await assert.rejects(loadCifar10(source, { limitTrain: 0 }), /limitTrain: bad number of images: got 0/);
    await assert.rejects(loadCifar10(source, { limitTest: 1.5 }), ConfigError);
  });

  test("reads more records than fit into one read, unchanged", async () => {
    const labels = Array.from({ length: 2500 }, (_, i) => i % 10);
    const source = await folder("large", { "train.bin": records(...labels), "test.bin": records(1) });
    const { train } = await loadCifar10(source);
    assert.deepEqual([...train.labels], labels);
    assert.deepEqual(Buffer.compare(train.images, Buffer.concat(labels.map((label) => record(label).subarray(1)))), 0);
  });

  test("takes class names from batches.meta.txt, whatever its line ends, and refuses a wrong number of them", async () => {
    const names = Array.from({ length: 10 }, (_, i) => `thing ${i}`);
    const files = { "train.bin": records(1), "test.bin": records(1) };
    const named = await folder("named", { ...files, "batches.meta.txt": names.join("\r\n") + "\r\n\r\n" });
    assert.deepEqual((await loadCifar10(named)).test.classNames, names);
    const short = await folder("short-names", { ...files, "batches.meta.txt": "cat\ndog\n" });
    assert.match(await failure(short, FormatError), /batches\.meta\.txt: .*got 2 lines with text, expected 10/);
  });

  test("names every file whose size is not a whole number of records", async () => {
    const source = await folder("cut", {
      "train1.bin": records(1, 2).subarray(0, 4000),
      "train2.bin": records(3),
      "test.bin": records(1).subarray(1),
    });
    const message = await failure(source, FormatError);
    assert.match(message, /train1\.bin: .*got 4000 bytes = 1 records and 927 bytes, expected a multiple of 3073/);
    assert.match(message, /also wrong: test\.bin \(3072 bytes\)/);
  });

  test("says that a file is empty, and recognises CIFAR-100", async () => {
    const empty = await folder("empty-file", { "train.bin": new Uint8Array(0), "test.bin": records(1) });
    assert.match(await failure(empty, FormatError), /train\.bin: empty file: got 0 bytes/);
    const hundred = await folder("hundred", {
      "train.bin": new Uint8Array(2 * 3074),
      "test.bin": new Uint8Array(3074),
    });
    assert.match(await failure(hundred, FormatError), /CIFAR-100/);
  });

  test("says which records have a label above 9, the first ten and a count", async () => {
    const source = await folder("labels", { "train.bin": records(1, 10, 2, 255), "test.bin": records(1) });
    assert.match(
      await failure(source, FormatError),
      /train\.bin: 2 of 4 labels out of range: got record 1 has 10, record 3 has 255, expected labels 0\.\.9/,
    );
    const many = await folder("many-labels", {
      "train.bin": records(1),
      "test.bin": new Uint8Array(25 * 3073).fill(99),
    });
    assert.match(await failure(many, FormatError), /test\.bin: 25 of 25.*record 9 has 99, and 15 more/);
  });

  test("says what was looked for and what is there when a set is missing", async () => {
    const noTest = await folder("no-test", { "train.bin": records(1), "notes.txt": "x" });
    assert.match(
      await failure(noTest, DataError),
      /no test images: got notes\.txt, train\.bin, expected test_batch\.bin or test\*\.bin/,
    );
    const nothing = await folder("nothing", {});
    assert.match(await failure(nothing, DataError), /no training and no test images: got an empty folder/);
    const python = await folder("python", { data_batch_1: "pickle", test_batch: "pickle" });
    assert.match(await failure(python, DataError), /hint: this is the Python version/);
  });

  test("says that the folder is not there, or is a file", async () => {
    assert.match(await failure(join(root, "absent"), DataError), /there is no such folder/);
    const archive = join(await folder("archive", { "cifar-10-binary.tar.gz": "x" }), "cifar-10-binary.tar.gz");
    assert.match(await failure(archive, DataError), /this is a file[^]*hint: unpack it/);
  });
});

const shared = process.env["LOWRANK_TEST_DATA"] ?? "../shared/data";
const real = join(shared, "cifar10");
test(
  "reads the real subset: 5,000 and 1,000 images, classes in balance",
  { skip: existsSync(real) ? false : `there is no ${real}` },
  async () => {
    const { train, test } = await loadCifar10(real);
    for (const [set, count] of [
      [train, 5000],
      [test, 1000],
    ] as const) {
      assert.equal(set.count, count);
      const perClass = Array.from({ length: 10 }, (_, label) => set.labels.filter((seen) => seen === label).length);
      assert.deepEqual(
        perClass,
        Array.from({ length: 10 }, () => count / 10),
      );
      // Photographs are about half bright; a shift by the label byte would not change that, so compare neighbours:
      // pixels beside each other differ little, and the planes start where they should.
      assert.ok(meanNeighbourStep(set.images.subarray(0, 100 * IMAGE_BYTES)) < 16);
    }
    assert.deepEqual(train.classNames, CIFAR10_CLASS_NAMES);
  },
);

/** Mean absolute difference of horizontally neighbouring pixels. */
function meanNeighbourStep(images: Uint8Array): number {
  let sum = 0;
  let pairs = 0;
  for (let i = 0; i + 1 < images.length; i++) {
    if (i % 32 === 31) continue;
    sum += Math.abs((images[i] ?? 0) - (images[i + 1] ?? 0));
    pairs++;
  }
  return sum / pairs;
}

describe("synthetic images", () => {
  test("come in the record format, and load from a file as they load directly", async () => {
    const source = await folder("made", {
      "train.bin": syntheticRecords(30, { seed: 5 }),
      "test.bin": syntheticRecords(20, { seed: 5, split: "test" }),
    });
    const fromFile = await loadCifar10(source);
    const direct = await loadCifar10("synthetic", { syntheticTrain: 30, syntheticTest: 20, seed: 5 });
    assert.deepEqual(direct.train.images, fromFile.train.images);
    assert.deepEqual(direct.test.images, fromFile.test.images);
    assert.deepEqual(direct.train.labels, fromFile.train.labels);
    assert.equal(direct.train.classNames, SYNTHETIC_CLASS_NAMES);
    assert.deepEqual(direct.files, { train: [], test: [] });
  });

  test("follow the seed and the split, and fewer of them are the first of more", () => {
    const few = syntheticRecords(5, { seed: 1 });
    assert.deepEqual(syntheticRecords(9, { seed: 1 }).subarray(0, few.length), few);
    assert.notDeepEqual(syntheticRecords(5, { seed: 2 }), few);
    assert.notDeepEqual(syntheticRecords(5, { seed: 1, split: "test" }), few);
  });

  test("limits hold, and sizes are checked", async () => {
    const { train, test } = await loadCifar10("synthetic", { limitTrain: 12, limitTest: 7 });
    assert.deepEqual([train.count, test.count], [12, 7]);
    await assert.rejects(loadCifar10("synthetic", { syntheticTrain: 0 }), ConfigError);
  });

  test("can be learned: the nearest known image has the right class far more often than chance", async () => {
    const { train, test } = await loadCifar10("synthetic", { syntheticTrain: 1000, syntheticTest: 300 });
    const accuracy = nearestNeighbourAccuracy(train, test);
    assert.ok(accuracy > 0.4, `accuracy ${accuracy}`);
    assert.ok(accuracy < 0.99, `accuracy ${accuracy}: too easy to tell a trained model from a lucky one`);
  });
});

type Images = Awaited<ReturnType<typeof loadCifar10>>["train"];

/** Fraction of test images whose nearest training image (squared distance of 8×8 grey averages) has their label. */
function nearestNeighbourAccuracy(train: Images, test: Images): number {
  const shrink = (set: Images) =>
    Array.from({ length: set.count }, (_, index) => {
      const image = imageAt(set, index);
      const cells = new Float64Array(64);
      for (let i = 0; i < IMAGE_BYTES; i++) {
        const [y, x] = [Math.floor((i % 1024) / 32), i % 32];
        cells[Math.floor(y / 4) * 8 + Math.floor(x / 4)]! += (image[i] ?? 0) / 48;
      }
      return cells;
    });
  const known = shrink(train);
  let right = 0;
  for (const [index, cells] of shrink(test).entries()) {
    let best = Infinity;
    let label = -1;
    for (const [i, other] of known.entries()) {
      let distance = 0;
      for (let c = 0; c < 64; c++) distance += ((cells[c] ?? 0) - (other[c] ?? 0)) ** 2;
      if (distance < best) [best, label] = [distance, train.labels[i] ?? -1];
    }
    if (label === test.labels[index]) right++;
  }
  return right / test.count;
}

describe("normalizeInto and labelsInto", () => {
  const dataset = {
    images: Buffer.concat([record(0).subarray(1), record(3).subarray(1)]),
    labels: Uint8Array.of(0, 3),
    count: 2,
    classNames: CIFAR10_CLASS_NAMES,
  };

  test("gives (x/255 - 0.5)/0.5 in the order of the indices, and leaves the rest of the target alone", () => {
    const target = new Float32Array(4 * IMAGE_BYTES).fill(7);
    normalizeInto(dataset, Uint32Array.of(1, 0, 1), target);
    for (const [row, index] of [1, 0, 1].entries()) {
      for (let i = 0; i < IMAGE_BYTES; i++) {
        const exact = ((dataset.images[index * IMAGE_BYTES + i] ?? 0) / 255 - 0.5) / 0.5;
        // 2^-23: the division and the subtraction each round once to float32, near 0.5, and the result is doubled.
        assert.ok(Math.abs((target[row * IMAGE_BYTES + i] ?? 0) - exact) <= 2 ** -23);
      }
    }
    assert.ok(target.subarray(3 * IMAGE_BYTES).every((value) => value === 7));
    const labels = new Int32Array(4).fill(-1);
    labelsInto(dataset, [1, 0, 1], labels);
    assert.deepEqual([...labels], [3, 0, 3, -1]);
  });

  test("the ends of the range are exactly -1 and 1", () => {
    const images = new Uint8Array(IMAGE_BYTES).fill(255, 0, 1);
    const target = new Float32Array(IMAGE_BYTES);
    normalizeInto({ ...dataset, images, labels: Uint8Array.of(0), count: 1 }, [0], target);
    assert.deepEqual([target[0], target[1]], [1, -1]);
  });

  test("refuses a short target and an index outside of the set", () => {
    assert.throws(() => normalizeInto(dataset, [0, 1], new Float32Array(IMAGE_BYTES)), ShapeError);
    assert.throws(
      () => normalizeInto(dataset, [0, 2], new Float32Array(2 * IMAGE_BYTES)),
      /indices\[1\].*got 2.*0\.\.1/,
    );
    assert.throws(() => labelsInto(dataset, [-1], new Int32Array(1)), DataError);
    assert.throws(() => imageAt(dataset, 0.5), DataError);
  });
});
