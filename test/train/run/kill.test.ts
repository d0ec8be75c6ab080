import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { lastCheckpoint, verifyCheckpoint } from "../../../src/train/run/checkpoint-store.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const SAVER = fileURLToPath(new URL("./killed-saver.js", import.meta.url));

/** Runs the saver up to its n-th operation. @returns the last step that it called safe, and whether it was killed */
async function runSaver(folder: string, operation: number): Promise<{ safe: number; killed: boolean }> {
  const child = spawn(process.execPath, [SAVER, folder, String(operation)], { stdio: ["ignore", "pipe", "inherit"] });
  const text: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => text.push(chunk));
  const killed = await new Promise<boolean>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal === "SIGKILL" || code === 0) resolve(signal === "SIGKILL");
      else reject(new Error(`the saver ended with ${code}`));
    });
  });
  return { safe: Number(Buffer.concat(text).toString().trim().split("\n").at(-1)), killed };
}

suite("kill -9 while checkpoints are saved", () => {
  test("before any operation on the disk: the last checkpoint is whole, and not older than the last safe step", async (context) => {
    let operation = 1;
    for (; ; operation++) {
      const folder = await temporaryFolder(context);
      const { safe, killed } = await runSaver(folder, operation);
      const last = await lastCheckpoint(folder);
      if (safe > 0) assert.ok(last !== undefined, `nothing is left after operation ${operation}`);
      if (last !== undefined) {
        assert.ok(last.step >= safe, `step ${last.step} after ${safe} was safe, operation ${operation}`);
        assert.equal(await verifyCheckpoint(last.path), last.step);
        assert.equal(await readFile(join(last.path, "weights"), "utf8"), String(last.step).repeat(100_000));
      }
      // Whatever the dead process left is gone.
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.startsWith(".")),
        [],
      );
      if (!killed) break;
    }
    // Three checkpoints of at least ten operations each.
    assert.ok(operation > 30, `the saver came to its end at operation ${operation}`);
  });
});
