/**
 * CIFAR-10 (Krizhevsky 2009) in its binary version: files of records of 3,073 bytes, one byte of label (0..9) and then
 * 1,024 bytes each of red, green and blue, row by row. Any file of such records will do.
 */

import type { Dirent } from "node:fs";
import { open, readFile, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { ConfigError, DataError, FormatError } from "../errors.ts";
import { SYNTHETIC_CLASS_NAMES, syntheticRecords } from "./cifar10-synthetic.ts";
import { IMAGE_BYTES } from "./image-dataset.ts";
import type { ImageDataset } from "./image-dataset.ts";

/** The ten classes, in the order of their labels. */
export const CIFAR10_CLASS_NAMES: readonly string[] = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

/** Bytes of a record: the label and the image. */
export const RECORD_BYTES = 1 + IMAGE_BYTES;
/** Name of the folder inside the official archive. */
export const CIFAR10_FOLDER = "cifar-10-batches-bin";

const CLASS_COUNT = 10;
/** Records of the coarser CIFAR-100, told apart so that the error can say so: two label bytes. */
const CIFAR100_RECORD_BYTES = RECORD_BYTES + 1;
/** Records read at a time: about 3 MB beside the images themselves. */
const RECORDS_PER_READ = 1024;
/** Faults listed in one message; the rest is counted. */
const FAULTS_SHOWN = 10;
const META_FILE = "batches.meta.txt";
const LOOKED_FOR = {
  train: "data_batch_*.bin or train*.bin",
  test: "test_batch.bin or test*.bin",
} as const;

export interface Cifar10Options {
  /** Keep the first so many training images only; a whole number above 0. Default: all. */
  limitTrain?: number;
  /** Keep the first so many test images only; a whole number above 0. Default: all. */
  limitTest?: number;
  /** Training images made for "synthetic". Default 5,000. */
  syntheticTrain?: number;
  /** Test images made for "synthetic". Default 1,000. */
  syntheticTest?: number;
  /** Which images "synthetic" makes. Default 0. */
  seed?: number;
}

export interface Cifar10 {
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  /** The files that were read, in order; none for "synthetic". */
  readonly files: { readonly train: readonly string[]; readonly test: readonly string[] };
}

/**
 * Reads the training and the test set.
 * @param source `"synthetic"` for generated images (a folder of that name is `"./synthetic"`), or a folder with
 *   `data_batch_*.bin` (else `train*.bin`) and `test_batch.bin` (else `test*.bin`), there or in its subfolder
 *   `cifar-10-batches-bin`. Several files are read in the order of the numbers in their names. Class names come from
 *   `batches.meta.txt` beside them, if there is one.
 * @throws ConfigError when a limit or size is not a whole number above 0
 * @throws DataError when the folder or one of the two sets is missing or cannot be read
 * @throws FormatError when a file is empty, is not made of whole records, or holds a label above 9
 */
export async function loadCifar10(source: string, options: Cifar10Options = {}): Promise<Cifar10> {
  for (const [name, value] of Object.entries(options)) {
    if (name !== "seed" && value !== undefined) requireCount(name, value as number);
  }
  const { limitTrain = Infinity, limitTest = Infinity } = options;
  if (source === "synthetic") {
    const { syntheticTrain = 5000, syntheticTest = 1000, seed = 0 } = options;
    return {
      train: synthetic(Math.min(syntheticTrain, limitTrain), seed, "train"),
      test: synthetic(Math.min(syntheticTest, limitTest), seed, "test"),
      files: { train: [], test: [] },
    };
  }
  const { folder, trainFiles, testFiles } = await findFiles(source);
  const classNames = await readClassNames(folder);
  const sizes = await checkedSizes([...trainFiles, ...testFiles]);
  return {
    train: await readRecords(trainFiles, sizes, limitTrain, classNames),
    test: await readRecords(testFiles, sizes, limitTest, classNames),
    files: { train: trainFiles, test: testFiles },
  };
}

function requireCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new ConfigError({
      where: name,
      what: "bad number of images",
      got: value,
      expected: "a whole number above 0",
    });
  }
}

function synthetic(count: number, seed: number, split: "train" | "test"): ImageDataset {
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  splitRecords(syntheticRecords(count, { seed, split }), count, images, labels, 0);
  return { images, labels, count, classNames: SYNTHETIC_CLASS_NAMES };
}

/** Takes the labels and the images of `count` records apart; the first becomes image number `start`. */
function splitRecords(records: Uint8Array, count: number, images: Uint8Array, labels: Uint8Array, start: number): void {
  for (let i = 0; i < count; i++) {
    labels[start + i] = records[i * RECORD_BYTES] ?? 0;
    images.set(records.subarray(i * RECORD_BYTES + 1, (i + 1) * RECORD_BYTES), (start + i) * IMAGE_BYTES);
  }
}

interface Found {
  folder: string;
  trainFiles: string[];
  testFiles: string[];
}

async function findFiles(source: string): Promise<Found> {
  const entries = await listFolder(source);
  const here = pickFiles(source, entries);
  if (here.trainFiles.length > 0 && here.testFiles.length > 0) return here;
  const nothingHere = here.trainFiles.length === 0 && here.testFiles.length === 0;
  if (nothingHere && entries.some((entry) => entry.name === CIFAR10_FOLDER && !entry.isFile())) {
    const folder = join(source, CIFAR10_FOLDER);
    const inside = await listFolder(folder);
    const found = pickFiles(folder, inside);
    if (found.trainFiles.length > 0 && found.testFiles.length > 0) return found;
    throw missingFiles(found, inside);
  }
  throw missingFiles(here, entries);
}

async function listFolder(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const unpack = /\.(tar|gz|tgz|zip)$/.test(folder)
      ? "unpack it, and name the folder"
      : "name the folder with the files";
    throw new DataError({
      where: folder,
      what:
        code === "ENOENT"
          ? "there is no such folder"
          : code === "ENOTDIR"
            ? "this is a file"
            : `cannot read the folder (${code})`,
      expected: `a folder with ${LOOKED_FOR.train}, and ${LOOKED_FOR.test}`,
      hint: `${unpack}, or use "synthetic" for generated images`,
      cause,
    });
  }
}

function pickFiles(folder: string, entries: readonly Dirent[]): Found {
  const byNumber = new Intl.Collator("en", { numeric: true });
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name)
    .sort(byNumber.compare);
  const pick = (...patterns: RegExp[]) => {
    const matches = patterns.map((pattern) => names.filter((name) => pattern.test(name)));
    return (matches.find((found) => found.length > 0) ?? []).map((name) => join(folder, name));
  };
  return {
    folder,
    trainFiles: pick(/^data_batch_.+\.bin$/, /^train.*\.bin$/),
    testFiles: pick(/^test_batch\.bin$/, /^test.*\.bin$/),
  };
}

function missingFiles({ folder, trainFiles, testFiles }: Found, entries: readonly Dirent[]): DataError {
  const missing = [
    ...(trainFiles.length === 0 ? ["train" as const] : []),
    ...(testFiles.length === 0 ? ["test" as const] : []),
  ];
  const pythonVersion = entries.some((entry) => /^data_batch_\d$/.test(entry.name));
  const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
  const shown =
    names.slice(0, FAULTS_SHOWN).join(", ") + (names.length > FAULTS_SHOWN ? `, ${names.length - 10} more` : "");
  return new DataError({
    where: folder,
    what: `no ${missing.map((set) => (set === "train" ? "training" : "test")).join(" and no ")} images`,
    got: names.length === 0 ? "an empty folder" : shown,
    expected: missing.map((set) => LOOKED_FOR[set]).join(", and "),
    hint: pythonVersion
      ? 'this is the Python version of the data; the "binary version" is needed: cifar-10-binary.tar.gz'
      : 'name a folder with these files, or use "synthetic" for generated images',
  });
}

async function readClassNames(folder: string): Promise<readonly string[]> {
  const file = join(folder, META_FILE);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return CIFAR10_CLASS_NAMES;
    throw unreadable(file, cause);
  }
  const names = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (names.length !== CLASS_COUNT) {
    throw new FormatError({
      where: file,
      what: "wrong number of class names",
      got: `${names.length} lines with text`,
      expected: `${CLASS_COUNT}, one name a line`,
      hint: "correct the file, or remove it to use the standard names",
    });
  }
  return names;
}

/** Sizes in bytes by file, after checking that each file is made of whole records. */
async function checkedSizes(files: readonly string[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const file of files) {
    try {
      const about = await stat(file);
      if (!about.isFile()) throw new Error("not a regular file");
      sizes.set(file, about.size);
    } catch (cause) {
      throw unreadable(file, cause);
    }
  }
  const wrong = [...sizes].filter(([, bytes]) => bytes === 0 || bytes % RECORD_BYTES !== 0);
  const [first, ...others] = wrong;
  if (first === undefined) return sizes;
  const [file, bytes] = first;
  const rest = bytes % RECORD_BYTES;
  const also = others.map(([name, size]) => `${basename(name)} (${size} bytes)`);
  throw new FormatError({
    where: file,
    what: bytes === 0 ? "empty file" : "not made of whole CIFAR-10 records",
    got: `${bytes} bytes` + (bytes === 0 ? "" : ` = ${Math.floor(bytes / RECORD_BYTES)} records and ${rest} bytes`),
    expected: `a multiple of ${RECORD_BYTES} bytes, above 0`,
    hint:
      (bytes > 0 && bytes % CIFAR100_RECORD_BYTES === 0
        ? `records of ${CIFAR100_RECORD_BYTES} bytes are CIFAR-100; this needs the binary version of CIFAR-10`
        : "the file may be cut short or in another format; copy it again") +
      (also.length === 0 ? "" : `; also wrong: ${also.slice(0, FAULTS_SHOWN).join(", ")}`),
  });
}

/** Reads the first `limit` records of the files, taken one after the other. */
async function readRecords(
  files: readonly string[],
  sizes: ReadonlyMap<string, number>,
  limit: number,
  classNames: readonly string[],
): Promise<ImageDataset> {
  const records = files.map((file) => (sizes.get(file) ?? 0) / RECORD_BYTES);
  const count = Math.min(
    limit,
    records.reduce((sum, n) => sum + n, 0),
  );
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  let start = 0;
  for (const [i, file] of files.entries()) {
    const take = Math.min(records[i] ?? 0, count - start);
    if (take === 0) break;
    await readFileRecords(file, take, images, labels, start);
    checkLabels(file, labels.subarray(start, start + take));
    start += take;
  }
  return { images, labels, count, classNames };
}

async function readFileRecords(
  file: string,
  take: number,
  images: Uint8Array,
  labels: Uint8Array,
  start: number,
): Promise<void> {
  const chunk = new Uint8Array(Math.min(take, RECORDS_PER_READ) * RECORD_BYTES);
  let handle;
  try {
    handle = await open(file, "r");
    for (let done = 0; done < take;) {
      const wanted = Math.min(RECORDS_PER_READ, take - done);
      let filled = 0;
      while (filled < wanted * RECORD_BYTES) {
        const { bytesRead } = await handle.read(chunk, filled, wanted * RECORD_BYTES - filled);
        if (bytesRead === 0) throw new Error("the file became shorter while it was read");
        filled += bytesRead;
      }
      splitRecords(chunk, wanted, images, labels, start + done);
      done += wanted;
    }
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    await handle?.close();
  }
}

function checkLabels(file: string, labels: Uint8Array): void {
  const faults: string[] = [];
  let total = 0;
  for (const [record, label] of labels.entries()) {
    if (label < CLASS_COUNT) continue;
    total++;
    if (faults.length < FAULTS_SHOWN) faults.push(`record ${record} has ${label}`);
  }
  if (total === 0) return;
  throw new FormatError({
    where: file,
    what: `${total} of ${labels.length} labels out of range`,
    got: faults.join(", ") + (total > faults.length ? `, and ${total - faults.length} more` : ""),
    expected: `labels 0..${CLASS_COUNT - 1} (records are counted from 0, the label is their first byte)`,
    hint: "the file is damaged, or is not the binary version of CIFAR-10",
  });
}

function unreadable(file: string, cause: unknown): DataError {
  return new DataError({
    where: file,
    what: `cannot read the file: ${(cause as Error).message}`,
    hint: "check that the file exists and that you may read it",
    cause,
  });
}
