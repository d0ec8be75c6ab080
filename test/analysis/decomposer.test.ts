/** Threads that decompose, and their cache: what is kept, what is trusted, how it ends. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { type DecomposerOptions, type DecomposerProgress, openDecomposer } from "../../src/analysis/open-decomposer.ts";
import { ConfigError, EngineError, NumericError, ShapeError } from "../../src/errors.ts";
import { type Matrix, singularValues, type Svd, svd } from "../../src/linear-algebra/svd.ts";
import { Random } from "../../src/random.ts";

const root = await mkdtemp(join(tmpdir(), "lowrank-decomposer-"));
after(() => rm(root, { recursive: true, force: true }));
let folders = 0;
const freshFolder = (): string => join(root, String(folders++));

function random(rows: number, columns: number, seed: number): Matrix {
  const draw = new Random(seed);
  return { rows, columns, data: Float32Array.from({ length: rows * columns }, () => draw.normal()) };
}

async function using<T>(
  options: DecomposerOptions,
  use: (decomposer: Awaited<ReturnType<typeof openDecomposer>>) => Promise<T>,
): Promise<T> {
  const decomposer = await openDecomposer(options);
  try {
    return await use(decomposer);
  } finally {
    await decomposer.dispose();
  }
}

/** Threads that keep the process alive. */
const busyThreads = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "MessagePort").length;

/** To the last bit. */
function same(got: Svd, want: Svd): void {
  assert.deepEqual(got.values, want.values);
  assert.deepEqual(got.left, want.left);
  assert.deepEqual(got.right, want.right);
}

describe("openDecomposer", () => {
  it("says what svd says, for many matrices at a time, in whatever order they are done", async () => {
    const matrices = Array.from({ length: 7 }, (_, i) => random(20 + 11 * i, 70 - 9 * i, i));
    const seen: DecomposerProgress[] = [];
    await using({ threads: 2, cacheDir: false, onProgress: (progress) => seen.push(progress) }, async (decomposer) => {
      const found = await Promise.all(matrices.map((matrix, i) => decomposer.svd(matrix, i === 0 ? undefined : i)));
      for (const [i, matrix] of matrices.entries()) same(found[i]!, svd(matrix, i === 0 ? undefined : i));
      for (const matrix of matrices) assert.deepEqual(await decomposer.singularValues(matrix), singularValues(matrix));
    });
    assert.deepEqual(seen.at(-1), { done: 14, asked: 14, fromCache: 0 });
    assert.deepEqual(
      seen.map(({ done }) => done),
      Array.from({ length: 14 }, (_, i) => i + 1),
    );
  });

  it("takes a view as what it shows, and leaves the matrix as it was", async () => {
    const whole = random(9, 8, 1);
    const view: Matrix = { rows: 4, columns: 8, data: whole.data.subarray(8, 40) };
    const before = Float32Array.from(whole.data);
    await using({ cacheDir: false }, async (decomposer) => same(await decomposer.svd(view), svd(view)));
    assert.deepEqual(whole.data, before);
  });

  it("refuses numbers that are not finite, and goes on", async () => {
    const bad: Matrix = { rows: 2, columns: 2, data: Float64Array.of(1, Number.NaN, 0, 1) };
    const short: Matrix = { rows: 2, columns: 2, data: Float64Array.of(1, 2, 0) };
    await using({ cacheDir: freshFolder() }, async (decomposer) => {
      await assert.rejects(decomposer.svd(bad), NumericError);
      await assert.rejects(decomposer.singularValues(bad), NumericError);
      await assert.rejects(decomposer.svd(short), ShapeError);
      const matrix = random(5, 3, 2);
      same(await decomposer.svd(matrix), svd(matrix));
      assert.deepEqual(await decomposer.svd({ rows: 0, columns: 3, data: new Float32Array() }), {
        values: new Float64Array(),
        left: [],
        right: [],
      });
    });
    await assert.rejects(openDecomposer({ threads: 0 }), ConfigError);
  });

  it("ends what waits and what runs when its signal says so", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const before = busyThreads();
    const decomposer = await openDecomposer({ threads: 1, cacheDir: false, signal: controller.signal });
    const asked = [0, 1, 2].map((seed) => decomposer.svd(random(700, 600, seed)));
    const ends = Promise.all(asked.map((one) => assert.rejects(one, reason)));
    assert.equal(busyThreads(), before + 1);
    controller.abort(reason);
    await ends;
    await assert.rejects(decomposer.singularValues(random(2, 2, 0)), reason);
    await decomposer.dispose();
    assert.equal(busyThreads(), before);
    await assert.rejects(openDecomposer({ signal: controller.signal }), reason);
  });

  it("answers nothing once it is disposed", async () => {
    const decomposer = await openDecomposer({ cacheDir: false });
    const running = assert.rejects(decomposer.svd(random(300, 300, 1)), EngineError);
    await decomposer.dispose();
    await running;
    await assert.rejects(decomposer.svd(random(3, 3, 1)), /disposed/);
  });
});

describe("the cache of decompositions", () => {
  /** Decomposes in a decomposer of its own. @returns what it says, and what came from the cache */
  async function ask(cacheDir: string, matrix: Matrix, rank?: number, options: Partial<DecomposerOptions> = {}) {
    let fromCache = 0;
    const onProgress = (progress: DecomposerProgress): void => void (fromCache = progress.fromCache);
    const found = await using({ threads: 1, cacheDir, onProgress, ...options }, (decomposer) =>
      decomposer.svd(matrix, rank),
    );
    return { found, fromCache };
  }
  const files = (cacheDir: string): Promise<string[]> => readdir(join(cacheDir, "decompositions"));

  it("gives the same numbers, to the last bit, and parts of what is there", async () => {
    const cacheDir = freshFolder();
    const matrix = random(31, 47, 3);
    const first = await ask(cacheDir, matrix);
    assert.equal(first.fromCache, 0);
    const second = await ask(cacheDir, matrix);
    assert.equal(second.fromCache, 1);
    same(second.found, first.found);
    const part = await ask(cacheDir, matrix, 5);
    assert.equal(part.fromCache, 1);
    same(part.found, {
      values: first.found.values.slice(0, 5),
      left: first.found.left.slice(0, 5),
      right: first.found.right.slice(0, 5),
    });
    await using({ cacheDir }, async (decomposer) => {
      assert.deepEqual(await decomposer.singularValues(matrix), first.found.values);
    });
    assert.equal((await files(cacheDir)).length, 1);
  });

  it("knows numbers, shapes, types and counts apart", async () => {
    const cacheDir = freshFolder();
    const matrix = random(6, 4, 4);
    await ask(cacheDir, matrix, 2);
    const others: [Matrix, number][] = [
      [matrix, 3],
      [{ ...matrix, rows: 4, columns: 6 }, 2],
      [{ ...matrix, data: Float64Array.from(matrix.data) }, 2],
      [{ ...matrix, data: matrix.data.map((value, i) => (i === 23 ? value + 1e-6 : value)) }, 2],
    ];
    for (const [other, rank] of others) {
      const { found, fromCache } = await ask(cacheDir, other, rank);
      assert.equal(fromCache, 0);
      same(found, svd(other, rank));
    }
  });

  it("keeps nothing that is not to be kept, and uses it if it is there", async () => {
    const cacheDir = freshFolder();
    const matrix = random(6, 4, 5);
    const asked = () =>
      using({ cacheDir }, async (decomposer) => {
        await decomposer.svd(matrix, undefined, { keep: false });
        await decomposer.singularValues(matrix, { keep: false });
      });
    await asked();
    await assert.rejects(files(cacheDir), { code: "ENOENT" });
    await ask(cacheDir, matrix);
    await asked();
    assert.equal((await files(cacheDir)).length, 1);
  });

  it("computes anew what has been damaged, wherever the damage is", async () => {
    const cacheDir = freshFolder();
    const matrix = random(5, 7, 6);
    const { found } = await ask(cacheDir, matrix);
    const [name] = await files(cacheDir);
    const path = join(cacheDir, "decompositions", name!);
    const good = await readFile(path);
    const damaged: Buffer[] = [Buffer.alloc(0), good.subarray(0, 17), good.subarray(0, good.length - 8)];
    damaged.push(Buffer.concat([good, Buffer.alloc(8)]));
    // Each byte of the head, some of the numbers; the four that pad the head say nothing.
    for (let at = 0; at < good.length; at += at < 64 ? 1 : 101) {
      if (at >= 12 && at < 16) continue;
      const copy = Buffer.from(good);
      copy[at]! ^= 1;
      damaged.push(copy);
    }
    let fromCache = 0;
    const onProgress = (progress: DecomposerProgress): void => void (fromCache = progress.fromCache);
    await using({ threads: 1, cacheDir, onProgress }, async (decomposer) => {
      for (const bytes of damaged) {
        await writeFile(path, bytes);
        same(await decomposer.svd(matrix), found);
        assert.equal(fromCache, 0);
        assert.deepEqual(await readFile(path), good);
      }
    });
  });

  it("stays below its bound: what was used longest ago goes, what this run has used stays", async () => {
    const cacheDir = freshFolder();
    const matrices = [7, 8, 9].map((seed) => random(16, 16, seed));
    for (const matrix of matrices) await ask(cacheDir, matrix);
    const dir = join(cacheDir, "decompositions");
    const names = await files(cacheDir);
    const bytes = (await stat(join(dir, names[0]!))).size;
    for (const name of names) await utimes(join(dir, name), 1000, 1000);
    // Used now, so that the two others are the oldest.
    assert.equal((await ask(cacheDir, matrices[1]!)).fromCache, 1);
    const cacheBytes = 2 * bytes + 8;
    await ask(cacheDir, random(16, 16, 10), undefined, { cacheBytes });
    assert.equal((await files(cacheDir)).length, 2);
    assert.equal((await ask(cacheDir, matrices[1]!)).fromCache, 1);
    await using({ threads: 1, cacheDir, cacheBytes }, async (decomposer) => {
      for (const seed of [11, 12, 13, 14]) await decomposer.svd(random(16, 16, seed));
    });
    // The first two of that run took the places; the others found none.
    for (const [seed, hits] of [
      [11, 1],
      [12, 1],
      [13, 0],
    ] as const) {
      const asked = await ask(cacheDir, random(16, 16, seed), undefined, { cacheBytes: 0 });
      assert.equal(asked.fromCache, hits, `${seed}`);
    }
    assert.equal((await files(cacheDir)).length, 2);
  });

  it("does without a folder that cannot be written", async () => {
    const cacheDir = freshFolder();
    await mkdir(cacheDir);
    await writeFile(join(cacheDir, "decompositions"), "a file is in the way");
    const matrix = random(4, 4, 8);
    same((await ask(cacheDir, matrix)).found, svd(matrix));
  });
});
