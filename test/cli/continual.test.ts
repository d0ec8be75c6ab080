/** `lowrank continual`: from a recipe and files to a report. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runContinual } from "../../src/cli/continual/run.ts";
import { ConfigError } from "../../src/errors.ts";
import { TASKS } from "../../src/experiments/tasks/index.ts";
import { writeTinyModel } from "../support/tiny-model.ts";

let dir = "";
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "lowrank-continual-"));
  await writeTinyModel(join(dir, "model"));
  for (const { name, labels, generate } of TASKS.slice(0, 2)) {
    const rows = generate(0, 60).map(({ text, label }) => JSON.stringify({ text, label: labels[label] }));
    await writeFile(join(dir, `${name}.jsonl`), rows.join("\n"));
  }
});
after(() => rm(dir, { recursive: true, force: true }));

function sink(): { write(text: string): boolean; text: string } {
  return {
    text: "",
    write(text) {
      this.text += text;
      return true;
    },
  };
}

test("a recipe on a model and files of one's own", async () => {
  const recipe = join(dir, "mine.yaml");
  await writeFile(
    recipe,
    `tasks:
  - { name: taken, train: taken.jsonl, text: text }
  - { name: order, train: acceptability.jsonl, text: text, labels: [wrong, right] }
methods:
  - { method: full, learning_rate: 1.0e-3 }
  - { method: lora, r: 2, alpha: 5, learning_rate: 1.0e-2 }
seeds: [3]
epochs: 1
max_length: 9
pictured_layers: [q_proj]
`,
  );
  const [out, log] = [sink(), sink()];
  const flags = { model: join(dir, "model"), data: dir, out: join(dir, "report"), threads: 1 };
  assert.equal(await runContinual(recipe, flags, { out, log }), 0);
  const report = await readFile(join(dir, "report", "report.md"), "utf8");
  for (const part of ["full", "lora r=2", "taken, order", "lost their ends", "Intruders accumulate"]) {
    assert.ok(report.includes(part), `${part} is not in the report`);
  }
  const { jobs } = JSON.parse(await readFile(join(dir, "report", "results.json"), "utf8")) as {
    jobs: { result: { stages: { accuracies: number[] }[] } }[];
  };
  assert.deepEqual(
    jobs.map(({ result }) => result.stages.map(({ accuracies }) => accuracies.length)),
    [
      [2, 2],
      [2, 2],
    ],
  );
  // Everything is there: nothing is trained again.
  const again = sink();
  await runContinual(recipe, flags, { out: sink(), log: again });
  assert.ok(!again.text.includes("seed 3:"), again.text);
});

test("a folder without the benchmark is an error if it was named", async () => {
  const recipe = join(dir, "olora.yaml");
  await writeFile(recipe, "tasks: olora-cl\nmethods: [{ method: full, learning_rate: 1.0e-3 }]\n");
  const before = process.env["LOWRANK_TEST_DATA"];
  delete process.env["LOWRANK_TEST_DATA"];
  try {
    await assert.rejects(
      runContinual(recipe, { data: dir }, { out: sink(), log: sink() }),
      (error: unknown) => error instanceof ConfigError && /--data.*benchmark is not there/s.test(error.message),
    );
  } finally {
    if (before !== undefined) process.env["LOWRANK_TEST_DATA"] = before;
  }
});
