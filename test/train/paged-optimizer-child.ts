/**
 * Started by paged-optimizer.test.ts in a process of its own, with a folder: makes paged states, says so, and waits. With
 * `broken` the file is cut in the middle of a run.
 */
import { readdirSync, readlinkSync, truncateSync } from "node:fs";
import { LowrankError } from "../../src/errors.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { smallDecoder } from "../support/small-decoder.ts";

const [folder = "", broken] = process.argv.slice(2);
const { createStepper, batch } = smallDecoder({ blocks: 2, width: 64, tokens: 16, checkpoint: false, budget: 0 });
const device = await ortDevice({ threads: 1 });

function failed(error: unknown): void {
  if (!(error instanceof LowrankError)) throw error;
  console.log(`${error.name} ${error.message.split("\n")[0]}`);
}

try {
  const stepper = await createStepper(device, {}, folder);
  await stepper.step([batch], 1e-3);
  if (broken === undefined) {
    console.log("ready");
    setInterval(() => undefined, 1000);
  } else {
    // The file has no name any more; the descriptor leads to it.
    const descriptor = readdirSync("/proc/self/fd").find((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).includes(".optimizer-pages-");
      } catch {
        return false;
      }
    });
    truncateSync(`/proc/self/fd/${descriptor!}`, 40_000);
    await stepper.step([batch], 1e-3).catch(failed);
    await stepper.step([batch], 1e-3).catch(failed);
    try {
      stepper.state();
    } catch (error) {
      failed(error);
    }
    await device.dispose();
  }
} catch (error) {
  failed(error);
  process.exitCode = 1;
  await device.dispose();
}
