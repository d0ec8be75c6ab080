/** An experiment from its jobs to its report, without any training. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { experimentList, runExperiments } from "../../src/cli/experiment/run.ts";
import { EXPERIMENTS } from "../../src/experiments/definitions/index.ts";
import { type Chart, type Experiment, job, type JobKind } from "../../src/experiments/experiment.ts";
import { rankCurve } from "../../src/experiments/frame/charts.ts";
import { isAbove } from "../../src/experiments/frame/verdict.ts";

const NUMBER: JobKind<{ readonly seed: number; readonly add: number }, { readonly value: number }> = {
  name: "number",
  version: 1,
  label: ({ seed, add }) => `${add} of seed ${seed}`,
  async run({ seed, add }) {
    if (add > 100) throw new Error("too large | it is");
    return { value: add + 0.1 * seed };
  },
};

const toy = (add: number): Experiment => ({
  name: "toy",
  title: "A toy",
  about: "Is one number above another?",
  source: "nobody 2024, §1",
  minutes: 1,
  setting: ["two numbers"],
  jobs: ({ seeds }) => seeds.flatMap((seed) => [0, add].map((one) => job(NUMBER, { seed, add: one }))),
  conclude(results, { seeds }) {
    const of = (one: number) => seeds.map((seed) => results.of(job(NUMBER, { seed, add: one }))?.value ?? NaN);
    const verdict = isAbove(of(add), of(0));
    const points = [{ rank: 1, samples: of(add) }];
    return {
      claims: [
        {
          claim: "it is above",
          source: "nobody",
          published: "yes | sure",
          found: verdict.words,
          holds: verdict.holds,
          rule: verdict.rule,
          evidence: verdict.evidence,
        },
      ],
      figures: [
        {
          name: "curve",
          title: "A curve",
          caption: "One point.",
          chart: () => rankCurve([{ name: "a", points }], { title: "A curve", y: { label: "value" } }),
        },
      ],
      tables: [
        { name: "values", title: "Values", columns: ["seed", "value"], rows: seeds.map((seed) => [seed, null]) },
      ],
      measurements: [{ name: "measured", title: "Measured", columns: ["a"], rows: [[1 / 3]] }],
      notes: ["a note"],
    };
  },
});

let root: string;
before(async () => void (root = await mkdtemp(join(tmpdir(), "lowrank-experiment-"))));
after(() => rm(root, { recursive: true, force: true }));

async function run(add: number, flags = {}) {
  const text = { out: "", log: "" };
  const sink = (key: "out" | "log") => ({ write: (part: string) => ((text[key] += part), true) });
  const out = join(root, `toy-${add}`);
  const failures = await runExperiments(
    ["toy"],
    { out, ...flags },
    { out: sink("out"), log: sink("log"), experiments: [toy(add)] },
  );
  return { ...text, failures, dir: out };
}

test("raw data, claims, figures and page", async () => {
  const { out, log, failures, dir } = await run(3);
  assert.equal(failures, 0);
  assert.match(out, /it is above: holds/);
  assert.match(log, /\[6\/6\] 3 of seed 2/);
  const raw = await rawOf(dir);
  assert.equal(raw.jobs.length, 6);
  assert.deepEqual(
    raw.jobs.map((one) => one.result.value),
    [0, 3, 0.1, 3.1, 0.2, 3.2],
  );
  assert.deepEqual(raw.jobs[1]!.settings, { seed: 0, add: 3 });
  assert.equal(raw.claims[0]!.holds, "yes");
  assert.equal(raw.command, "npx lowrank experiment toy");
  const markdown = await readFile(join(dir, "report.md"), "utf8");
  assert.match(markdown, /\| it is above \(nobody\) \| yes \\\| sure \| difference \+3\.00 .* \| \*\*yes\*\* \|/);
  assert.match(markdown, /- a note/);
  assert.match(markdown, /\| 0 \| – \|/);
  const page = await readFile(join(dir, "index.html"), "utf8");
  assert.match(page, /it is above/);
  assert.match(page, /<svg/);
  for (const file of ["figures/curve.svg", "figures/curve.png"]) assert.ok((await stat(join(dir, file))).size > 100);
  // The numbers behind the figure, those that were measured here, and those that decided.
  const head = "series,rank,value: mean,standard deviation,value 1,value 2,value 3";
  const curve = await readFile(join(dir, "data", "curve.csv"), "utf8");
  assert.match(curve, new RegExp(`^${head}\na,1,3\\.1,0\\.1\\d*,3,3\\.1,3\\.2\n$`));
  assert.match(page, /download="curve\.csv"/);
  assert.match(page, /download="measured\.csv"/);
  assert.equal(await readFile(join(dir, "data", "measured.csv"), "utf8"), `a\n${1 / 3}\n`);
  assert.deepEqual(raw.measurements[0]!.rows, [[1 / 3]]);
  assert.deepEqual(raw.figures, [
    {
      name: "curve",
      title: "A curve",
      caption: "One point.",
      files: ["figures/curve.svg", "figures/curve.png"],
      data: "data/curve.csv",
    },
  ]);
  for (const { files, data } of raw.figures) for (const file of [...files, data]) await stat(join(dir, file));
  const { values, against } = raw.claims[0]!.evidence[0]!;
  assert.deepEqual(
    [values, against],
    [
      [3, 3.1, 3.2],
      [0, 0.1, 0.2],
    ],
  );
  // All of it again, from what is there.
  assert.match((await run(3)).log, /6 of 6 jobs are done already/);
});

test("a single seed says nothing, and the report says so", async () => {
  const { dir } = await run(4, { quick: true });
  const raw = await rawOf(dir);
  assert.equal(raw.claims[0]!.holds, "inconclusive");
  assert.equal(raw.command, "npx lowrank experiment toy --quick");
  assert.match(await readFile(join(dir, "index.html"), "utf8"), /single seed/);
});

test("jobs that fail are counted and named", async () => {
  const { failures, log, dir } = await run(101);
  assert.equal(failures, 3);
  assert.match(log, /3 jobs failed/);
  assert.match(
    await readFile(join(dir, "report.md"), "utf8"),
    /## Failed\n\n- 101 of seed 0: a bug in lowrank: Error: too large/,
  );
});

test("a name that is none", async () => {
  await assert.rejects(runExperiments(["intruder"], {}), /"intruder".*\n.*nearest to "intruders"/s);
  await assert.rejects(runExperiments(["nosuch"], {}), ({ message }: Error) => {
    assert.match(message, /subspace, amplification/);
    assert.doesNotMatch(message, /nearest/);
    return true;
  });
});

test("the list has a line for each, and no two have one name", () => {
  const text = experimentList();
  for (const { name, minutes, source } of EXPERIMENTS) {
    assert.ok(text.includes(`\n${name} `), name);
    assert.ok(minutes > 0 && source !== "", name);
  }
  assert.equal(new Set(EXPERIMENTS.map(({ name }) => name)).size, EXPERIMENTS.length);
});

test("every experiment concludes from nothing: no data is no verdict, and no error", async () => {
  const nothing = {
    of: () => undefined,
    folder: () => {
      throw new Error("nothing has finished");
    },
  };
  for (const experiment of EXPERIMENTS) {
    for (const scale of [
      { seeds: [0, 1, 2], quick: false },
      { seeds: [0], quick: true },
    ]) {
      assert.ok(experiment.jobs(scale).length > 0, experiment.name);
      const { claims, figures } = await experiment.conclude(nothing, scale);
      for (const { name, chart } of figures) {
        // Random subspaces can be drawn without any data.
        const made = typeof chart === "function" ? drawn(chart) : chart;
        if (made !== undefined) assertNumbers(made, `${experiment.name}: ${name}`);
      }
      assert.ok(claims.length > 0, experiment.name);
      for (const { claim, holds } of claims) assert.equal(holds, "inconclusive", `${experiment.name}: ${claim}`);
    }
  }
});

interface Raw {
  readonly command: string;
  readonly claims: readonly {
    readonly holds: string;
    readonly evidence: readonly { readonly values: readonly number[]; readonly against: readonly number[] }[];
  }[];
  readonly measurements: readonly { readonly rows: unknown }[];
  readonly figures: readonly { readonly files: readonly string[]; readonly data: string }[];
  readonly jobs: readonly { readonly settings: unknown; readonly result: { readonly value: number } }[];
}

async function rawOf(dir: string): Promise<Raw> {
  return JSON.parse(await readFile(join(dir, "results.json"), "utf8")) as Raw;
}

function drawn(chart: () => Chart): Chart | undefined {
  try {
    return chart();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return undefined;
  }
}

function assertNumbers({ data: { columns, rows } }: Chart, name: string): void {
  assert.ok(rows.length > 0, name);
  for (const row of rows) assert.equal(row.length, columns.length, name);
}
