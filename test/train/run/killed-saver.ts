/**
 * `node killed-saver.js FOLDER N`: saves checkpoints and kills itself with SIGKILL just before its N-th operation on the
 * disk; exits with 0 if there are fewer. Steps that are safe are printed, one a line.
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { writeSync } from "node:fs";

const [folder = "", last = ""] = process.argv.slice(2);
let operations = 0;

function counted<Args extends unknown[], R>(operation: (...args: Args) => Promise<R>): (...args: Args) => Promise<R> {
  return async (...args) => {
    if (++operations === Number(last)) process.kill(process.pid, "SIGKILL");
    return operation(...args);
  };
}

fs.rename = counted(fs.rename);
fs.rm = counted(fs.rm);
fs.mkdir = counted(fs.mkdir as (path: string) => Promise<undefined>) as typeof fs.mkdir;
fs.open = counted(fs.open);
fs.writeFile = counted(fs.writeFile);
syncBuiltinESMExports();

// After the change above, or it would have the functions of before.
const { saveCheckpoint } = await import("../../../src/train/run/checkpoint-store.ts");

// Step 2 twice: a run that was resumed comes by it again.
for (const step of [1, 2, 2]) {
  const write = async (dir: string) => {
    await fs.writeFile(join(dir, "weights"), String(step).repeat(100_000));
    await fs.writeFile(join(dir, "trainer_state.json"), "{}");
  };
  await saveCheckpoint(folder, step, write, { saveTotalLimit: 1 });
  writeSync(1, `${step}\n`);
}
