/** `kill -9` at any moment: nothing is lost but the steps since the last checkpoint, and the run ends as if never killed. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Random } from "../../src/random.ts";
import { findCheckpoints, lastCheckpoint, verifyCheckpoint } from "../../src/train/run/checkpoint-store.ts";

const CHILD = fileURLToPath(new URL("./train-child.js", import.meta.url));
const KILLS = 6;

suite("kill -9 while training", () => {
  let dir: string;
  before(async () => void (dir = await mkdtemp(join(tmpdir(), "lowrank-kill-"))));
  after(() => rm(dir, { recursive: true, force: true }));

  test("killed again and again, and resumed, a run gives the weights and the log of one that was left alone", async () => {
    const whole = join(dir, "whole");
    assert.equal(await run(whole), 0);
    const killed = join(dir, "killed");
    const random = new Random(11);
    let reached = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      // Between 1 and 4 checkpoints further, and then some way into whatever comes next.
      await run(killed, 1 + random.integer(4), random.uniform() * 40);
      const last = await lastCheckpoint(killed);
      if (last === undefined) continue;
      assert.equal(await verifyCheckpoint(last.path), last.step);
      assert.ok(last.step >= reached, `went back from step ${reached} to ${last.step}`);
      reached = last.step;
    }
    assert.ok(reached > 0, "no kill came after a checkpoint");
    assert.equal(await run(killed), 0);
    for (const file of ["adapter_model.safetensors", "adapter_config.json"]) {
      const [a, b] = [await readFile(join(whole, "final", file)), await readFile(join(killed, "final", file))];
      assert.ok(a.equals(b), `${file} differs`);
    }
    const losses = async (folder: string) =>
      (await readFile(join(folder, "trainer_log.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { current_steps: number; loss?: number })
        .flatMap(({ current_steps, loss }) => (loss === undefined ? [] : [[current_steps, loss]]));
    assert.deepEqual(await losses(killed), await losses(whole));
    assert.equal((await findCheckpoints(killed)).length, 2, "save_total_limit");
  });
});

/** @param saves kill after so many checkpoints, and @param ms later; absent: let it end. @returns the exit status */
function run(outputDir: string, saves?: number, ms = 0): Promise<number | null> {
  const child = spawn(process.execPath, [CHILD, outputDir], { stdio: ["ignore", "pipe", "inherit"] });
  let seen = 0;
  child.stdout.on("data", (data: Buffer) => {
    seen += data.toString().split("\n").length - 1;
    if (saves !== undefined && seen >= saves) setTimeout(() => child.kill("SIGKILL"), ms);
  });
  return new Promise((resolve) => child.on("exit", resolve));
}
