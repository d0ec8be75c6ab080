import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { checkpointToResume, prepareOutputDir } from "../../../src/cli/train/output-dir.ts";
import { parseRunConfig, type RunConfig } from "../../../src/config/read.ts";
import { ConfigError } from "../../../src/errors.ts";
import { saveCheckpoint } from "../../../src/train/run/checkpoint-store.ts";

suite("the output folder of a run", () => {
  let dir: string;
  before(async () => void (dir = await mkdtemp(join(tmpdir(), "lowrank-output-"))));
  after(() => rm(dir, { recursive: true, force: true }));

  const configOf = (outputDir: string, ...more: string[]): RunConfig =>
    parseRunConfig("", undefined, ["model_name_or_path=m", "dataset=d.txt", `output_dir=${outputDir}`, ...more]).config;
  const quiet = () => undefined;
  const checkpoint = (outputDir: string, step: number) =>
    saveCheckpoint(outputDir, step, async (draft) => {
      for (const file of ["trainer_state.json", "resume.json"]) await writeFile(join(draft, file), "{}");
    });

  test("overwriting takes old checkpoints away when the run starts, not before, and says so", async () => {
    const out = join(dir, "old");
    const { path } = await checkpoint(out, 4);
    const config = configOf(out, "overwrite_output_dir=true");
    assert.equal(await checkpointToResume(config), undefined);
    assert.deepEqual(
      await readdir(out),
      ["checkpoint-4"],
      "a run that fails from here on must not cost the one before",
    );
    const said: string[] = [];
    await prepareOutputDir(config, (line) => said.push(line));
    assert.deepEqual(await readdir(out), []);
    assert.match(said.join(), /overwrite_output_dir: removed a checkpoint/);
    await checkpoint(out, 4);
    const resumed = configOf(out, "overwrite_output_dir=true", "resume_from_checkpoint=true");
    assert.equal(await checkpointToResume(resumed), path);
    await prepareOutputDir(resumed, quiet);
    assert.deepEqual(await readdir(out), ["checkpoint-4"]);
  });

  test("a checkpoint that is not there is refused at once, with those that are", async () => {
    const out = join(dir, "named");
    const { path } = await checkpoint(out, 4);
    const asked = (wanted: string) => checkpointToResume(configOf(out, `resume_from_checkpoint=${wanted}`));
    assert.equal(await asked(path), path);
    await assert.rejects(
      asked(join(out, "checkpoint-5")),
      /no such folder: got .*checkpoint-5[^]*there are .*checkpoint-4/,
    );
    await assert.rejects(asked(out), /is not a complete checkpoint/);
  });

  test("a path that cannot be a folder is refused with the key's name", async () => {
    const file = join(dir, "file");
    await writeFile(file, "");
    for (const out of [file, join(file, "below")]) {
      const refused = (error: unknown) =>
        error instanceof ConfigError && /output_dir: is, or is in, something that is no folder/.test(error.message);
      await assert.rejects(prepareOutputDir(configOf(out), quiet), refused);
    }
  });
});
