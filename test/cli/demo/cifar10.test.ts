/** `lowrank demo cifar10` as a person starts it, on few images. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Cifar10Report } from "../../../src/cli/demo/cifar10.ts";
import { openSafetensors } from "../../../src/formats/safetensors/index.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.js", import.meta.url));
const SHARED =
  process.env["LOWRANK_TEST_DATA"] ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "lowrank-demo-"));

/** @param line words without spaces; what may have some follows */
function lowrank(line: string, ...args: string[]) {
  return spawnSync(process.execPath, [MAIN, ...line.split(" "), ...args], { encoding: "utf8" });
}

describe("lowrank demo cifar10", () => {
  after(() => rmSync(scratch, { recursive: true }));

  test("does every step, and reports it as one JSON object", async () => {
    const out = join(scratch, "synthetic");
    const { status, stdout, stderr } = lowrank(
      "demo cifar10 --data synthetic --limit-train 166 --limit-test 260 --epochs 1 --lora-epochs 2 --seed 5 --json",
      "--out",
      out,
    );
    assert.equal(status, 0, stderr);
    assert.equal(stdout.trimEnd().split("\n").length, 1, "one line on stdout");
    const report = JSON.parse(stdout) as Cifar10Report;
    assert.equal(report.base_params, 20_998_154);
    assert.equal(report.lora_params, 15_370);
    assert.equal(report.total_params, 21_013_524);
    assert.equal(report.lora_percent, 0.073);
    assert.equal(report.accuracy_lora_on_before, report.accuracy_base);
    assert.equal(report.accuracy_lora_off_before, report.accuracy_base);
    assert.equal(report.accuracy_lora_off, report.accuracy_base);
    assert.equal(report.lora_off_equals_base, true);
    assert.ok(report.accuracy_lora_on > report.accuracy_base + 0.02, "LoRA learns");
    assert.ok(report.accuracy_control > report.accuracy_base + 0.02, "the control is what was trained further");
    assert.equal(report.epoch_ratio, report.epoch_seconds_lora / report.epoch_seconds_full);
    // 166 images in batches of 8 are 21 steps an epoch, the last of 6 images.
    assert.deepEqual(
      Object.fromEntries(Object.entries(report.losses).map(([phase, losses]) => [phase, losses.at(-1)?.step])),
      { full: 21, lora: 42, control: 42 },
    );
    assert.equal(report.seed, 5);
    assert.equal(report.out, out);
    assert.deepEqual(JSON.parse(readFileSync(join(out, "report.json"), "utf8")), report);
    for (const name of ["samples.png", "predictions.png"]) {
      assert.equal(readFileSync(join(out, name)).subarray(1, 4).toString(), "PNG", name);
    }
    assert.match(readFileSync(join(out, "loss.svg"), "utf8"), /^<svg/);
    const base = await openSafetensors(join(out, "base.safetensors"));
    assert.deepEqual(base.tensors.get("fc2.weight")?.shape, [2048, 4096]);
    await base.close();
    const adapter = await openSafetensors(join(out, "lora", "adapter_model.safetensors"));
    assert.deepEqual(adapter.tensors.get("base_model.model.fc1.lora_B.weight")?.shape, [4096, 1]);
    assert.equal(adapter.tensors.size, 6);
    await adapter.close();
  });

  test("counts the parameters of other ranks, on real images, in the weight form", (t) => {
    const data = join(SHARED, "cifar10");
    if (!existsSync(data)) return t.skip(`${data} is not there`);
    const { status, stdout, stderr } = lowrank(
      "demo cifar10 --limit-train 80 --limit-test 100 --epochs 1 --lora-epochs 1 --rank 3 --alpha 6 --form weight --json",
      "--data",
      data,
      "--out",
      join(scratch, "real"),
    );
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout) as Cifar10Report;
    assert.equal(report.lora_params, 3 * 15_370);
    assert.equal(report.lora_off_equals_base, true);
  });

  test("says what is wrong, in one line and a hint", () => {
    const missing = lowrank("demo cifar10", "--data", join(scratch, "nowhere"), "--out", join(scratch, "x"));
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /DataError .*nowhere: there is no such folder/);
    assert.doesNotMatch(missing.stderr, /\bat .*\.js/);
    const rank = lowrank("demo cifar10 --rank 0");
    assert.equal(rank.status, 1);
    assert.match(rank.stderr, /--rank.*'0' is invalid\. expected a whole number >= 1/);
    const out = lowrank("demo cifar10 --data synthetic", "--out", join(MAIN, "x"));
    assert.equal(out.status, 1);
    assert.match(out.stderr, /ConfigError --out .*: cannot write there/);
  });

  test("stops after the step at hand when interrupted", async () => {
    const child = spawn(
      process.execPath,
      [MAIN, "demo", "cifar10", "--data", "synthetic", "--out", join(scratch, "stopped")],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      // Training has begun.
      if (stderr.includes("train full") && !child.killed) child.kill("SIGINT");
    });
    const status = await new Promise<number | null>((resolve) => child.on("exit", resolve));
    assert.equal(status, 130, stderr);
    assert.match(stderr, /stopping after this step/);
  });
});
