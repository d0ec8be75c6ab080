/** Jobs are kept, resumed and isolated from each other. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { job, type Job, type JobKind } from "../../src/experiments/experiment.ts";
import { keyOf, planJobs } from "../../src/experiments/frame/job-identity.ts";
import { Pool } from "../../src/experiments/frame/pool.ts";
import { runJobs } from "../../src/experiments/frame/run-jobs.ts";

interface Settings {
  readonly x: number;
  readonly fails?: boolean;
  readonly more?: { readonly b?: number; readonly a?: number };
}

/** x², and which jobs were run. */
function squares(ran: number[], { version = 1, hash = "data" } = {}): JobKind<Settings, { readonly square: number }> {
  return {
    name: "square",
    version,
    label: ({ x }) => `square of ${x}`,
    seconds: () => 1,
    depends: async () => [hash],
    async run({ x, fails }, { folder }) {
      ran.push(x);
      if (fails === true) throw new Error(`cannot square ${x}`);
      await writeFile(join(folder, "kept.txt"), String(x * x));
      return { square: x * x };
    },
  };
}

/** Sum of what other jobs gave, and of what they kept. */
function sums(of: readonly Job<Settings, { readonly square: number }>[]): JobKind<object, number> {
  return {
    name: "sum",
    version: 1,
    label: () => "sum",
    needs: () => of,
    async run(_settings, context) {
      let sum = 0;
      for (const one of of) {
        const { result, folder } = context.done(one);
        assert.equal(await readFile(join(folder, "kept.txt"), "utf8"), String(result.square));
        sum += result.square;
      }
      return sum;
    },
  };
}

let root: string;
before(async () => void (root = await mkdtemp(join(tmpdir(), "lowrank-jobs-"))));
after(() => rm(root, { recursive: true, force: true }));
let pools = 0;
const newPool = (code = "c0de", dir = join(root, String(pools++))) => new Pool(dir, code);

describe("resume", () => {
  test("what is done is not run again, by another experiment either", async () => {
    const ran: number[] = [];
    const kind = squares(ran);
    const pool = newPool();
    const first = await runJobs(
      [1, 2].map((x) => job(kind, { x })),
      pool,
    );
    assert.deepEqual(ran, [1, 2]);
    assert.equal(first.results.of(job(kind, { x: 2 }))?.square, 4);
    const again = await runJobs(
      [2, 3].map((x) => job(kind, { x })),
      pool,
    );
    assert.deepEqual(ran, [1, 2, 3]);
    assert.equal(again.results.of(job(kind, { x: 2 }))?.square, 4);
    assert.equal(readFileSync(join(again.results.folder(job(kind, { x: 2 })), "kept.txt"), "utf8"), "4");
    assert.equal(again.results.of(job(kind, { x: 1 })), undefined, "not one of its jobs");
  });

  test("stopped in the middle: what is done stays, the job at hand leaves nothing", async () => {
    const ran: number[] = [];
    const controller = new AbortController();
    const kind = squares(ran);
    const stopping: typeof kind = {
      ...kind,
      async run(settings, context) {
        if (settings.x === 2) controller.abort(new Error("stop"));
        const result = await kind.run(settings, context);
        context.signal?.throwIfAborted();
        return result;
      },
    };
    const pool = newPool();
    const jobs = [1, 2, 3].map((x) => job(stopping, { x }));
    const stopped = await runJobs(jobs, pool, { signal: controller.signal });
    assert.deepEqual([stopped.left, stopped.kept.length, stopped.failed.length], [2, 1, 0]);
    assert.equal(readdirSync(join(pool.dir, "square")).filter((name) => name.endsWith(".part")).length, 0);
    const resumed = await runJobs(
      [1, 2, 3].map((x) => job(kind, { x })),
      pool,
    );
    assert.deepEqual(ran, [1, 2, 2, 3]);
    assert.equal(resumed.left, 0);
  });

  test("a damaged result is made again", async () => {
    const ran: number[] = [];
    const pool = newPool();
    const one = job(squares(ran), { x: 5 });
    await runJobs([one], pool);
    const file = readdirSync(join(pool.dir, "square")).find((name) => name.endsWith(".json"))!;
    writeFileSync(join(pool.dir, "square", file), '{"format":1,"status":"finished"');
    const { results } = await runJobs([one], pool);
    assert.deepEqual(ran, [5, 5]);
    assert.equal(results.of(one)?.square, 25);
  });

  test("other code makes them again, unless any will do", async () => {
    const ran: number[] = [];
    const pool = newPool("aaaa");
    const one = job(squares(ran), { x: 1 });
    await runJobs([one], pool);
    const other = newPool("bbbb", pool.dir);
    await runJobs([one], other, { anyCode: true });
    assert.deepEqual(ran, [1]);
    await runJobs([one], other);
    assert.deepEqual(ran, [1, 1]);
  });
});

describe("failure", () => {
  test("of a job: the others run, those that need it say so, and it is tried again", async () => {
    const ran: number[] = [];
    const kind = squares(ran);
    const [good, bad] = [job(kind, { x: 2 }), job(kind, { x: 3, fails: true })];
    const [fine, broken] = [job(sums([good]), {}), job(sums([good, bad]), { of: "both" })];
    const pool = newPool();
    const { results, failed, left } = await runJobs([bad, broken, fine], pool);
    assert.equal(left, 0);
    assert.equal(results.of(fine), 4);
    assert.equal(results.of(broken), undefined);
    assert.throws(() => results.folder(bad), /has not finished/);
    assert.deepEqual(failed.map(({ label }) => label).toSorted(), ["square of 3", "sum"]);
    assert.match(failed.find(({ label }) => label === "sum")!.reason, /needs square of 3/);
    assert.match(failed.find(({ label }) => label !== "sum")!.reason, /cannot square 3/);
    ran.length = 0;
    await runJobs([bad, fine], pool);
    assert.deepEqual(ran, [3], "only what failed");
  });

  test("numbers that are not finite are kept as null", async () => {
    const kind: JobKind<object, { readonly value: number }> = {
      name: "nan",
      version: 1,
      label: () => "nan",
      run: async () => ({ value: NaN }),
    };
    const { results } = await runJobs([job(kind, {})], newPool());
    assert.equal(results.of(job(kind, {}))?.value, null);
  });
});

describe("identity", () => {
  const identityOf = async (one: Job) => (await planJobs([one])).get(keyOf(one))!.identity;

  test("the order of keys and what is undefined do not matter; everything else does", async () => {
    const kind = squares([]);
    const of = (settings: Settings) => identityOf(job(kind, settings));
    const same = await of({ x: 1, more: { a: 1, b: 2 } });
    assert.equal(await of({ more: { b: 2, a: 1 }, x: 1 }), same);
    // As an optional setting that was not chosen.
    assert.equal(await of({ x: 1, more: { a: 1, b: 2 }, fails: undefined } as unknown as Settings), same);
    assert.notEqual(await of({ x: 2, more: { a: 1, b: 2 } }), same);
    assert.notEqual(await of({ x: 1, more: { a: 1, b: 3 } }), same);
    assert.notEqual(await identityOf(job(squares([], { version: 2 }), { x: 1, more: { a: 1, b: 2 } })), same);
    assert.notEqual(await identityOf(job(squares([], { hash: "other" }), { x: 1, more: { a: 1, b: 2 } })), same);
  });

  test("it depends on what is needed", async () => {
    const of = (hash: string) => identityOf(job(sums([job(squares([], { hash }), { x: 1 })]), {}));
    assert.notEqual(await of("a"), await of("b"));
  });

  test("a job that several want is planned once, before those that need it", async () => {
    const kind = squares([]);
    const one = job(kind, { x: 1 });
    const plan = [...(await planJobs([job(sums([one]), {}), one, job(kind, { x: 1 })])).values()];
    assert.deepEqual(
      plan.map(({ label }) => label),
      ["square of 1", "sum"],
    );
  });
});

test("a watcher is told what is done, and how long the rest takes as it goes here", async () => {
  const kind = squares([]);
  const pool = newPool();
  await runJobs([job(kind, { x: 1 })], pool);
  const told: string[] = [];
  const left: number[] = [];
  await runJobs(
    [1, 2, 3].map((x) => job(kind, { x })),
    pool,
    {
      watch: {
        plan: (jobs, known) => void told.push(`plan ${jobs.length}, ${known} known`),
        start: ({ label }) => void told.push(`start ${label}`),
        end: ({ label }, { status }, seconds) => {
          told.push(`${status} ${label}`);
          left.push(seconds);
        },
      },
    },
  );
  assert.deepEqual(told, [
    "plan 3, 1 known",
    "start square of 2",
    "finished square of 2",
    "start square of 3",
    "finished square of 3",
  ]);
  assert.ok(left[0]! >= 0 && left[0]! < 1, "one job of the same length, and the first took no time");
  assert.equal(left[1], 0);
});
