/** Started by lm-checkpoint.test.ts in a process of its own: prints by how many bytes a step raises the peak. */
import { peakBytes, resetPeak } from "../../src/runtime/node/process-memory-node.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { smallDecoder } from "../support/small-decoder.ts";

const checkpoint = process.argv[2] === "checkpoint";
const { createStepper, batch } = smallDecoder({ blocks: 12, width: 128, tokens: 512, checkpoint });
const device = await ortDevice({ threads: 2 });
const stepper = await createStepper(device);
await resetPeak();
const before = process.memoryUsage().rss;
await stepper.step([batch], 1e-3);
console.log((await peakBytes()) - before);
await device.dispose();
