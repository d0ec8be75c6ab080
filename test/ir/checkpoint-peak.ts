/** Started by checkpoint.test.ts in a process of its own: prints by how many bytes a training step raises the peak. */
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { peakBytes, resetPeak } from "../../src/runtime/node/process-memory-node.ts";
import { deepMlp, deepMlpStates } from "../support/deep-mlp.ts";
import { noise } from "../support/run.ts";

const [batch, width, layers, region] = process.argv.slice(2).map(Number);
const options = { width: width!, layers: layers!, ...(region === 0 ? {} : { region: region! }) };
const device = await ortDevice({ threads: 2 });
for (const [name, tensor] of Object.entries(deepMlpStates(options))) await device.write(name, tensor);
const x = noise([batch!, width!], 7);
const executable = await device.compile(deepMlp(options), { typicalSizes: { B: batch! } });
await resetPeak();
const before = process.memoryUsage().rss;
await executable.run({ x });
console.log((await peakBytes()) - before);
await device.dispose();
