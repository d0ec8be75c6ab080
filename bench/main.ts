import { timeSteps } from "./mlp-step.ts";
const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;
for (const batch of [8, 64, 512]) {
  for (const kind of ["full", "lora-activation", "lora-weight"] as const) {
    console.log(kind, batch, median(await timeSteps(kind, batch, batch > 100 ? 8 : 25)).toFixed(2), "ms");
  }
}
