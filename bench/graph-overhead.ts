/**
 * What running a step as one graph costs over its products of matrices: time of a step against the time that its
 * floating-point operations would take at the machine's own GEMM rate.
 */
import { gemmRate, type StepKind, timeSteps } from "./mlp-step.ts";
import { summarize } from "./statistics.ts";
import type { Suite } from "./suites.ts";

const KINDS: readonly StepKind[] = ["full", "lora-activation"];
const BATCHES = [8, 64, 512];

export const graphOverhead: Suite = {
  name: "graph-overhead",
  title: "One session run against its GEMM operations at the machine's GEMM rate",
  async run(threads) {
    const rate = await gemmRate(threads);
    const cases: { kind: StepKind; batch: number; ms: number; gflop: number; gemm_ms: number; ratio: number }[] = [];
    for (const kind of KINDS) {
      for (const batch of BATCHES) {
        const { times, flops } = await timeSteps(kind, batch, batch > 100 ? 8 : 40, threads);
        const ms = summarize(times).median;
        const gemmMs = flops / rate / 1e6;
        cases.push({ kind, batch, ms, gflop: flops / 1e9, gemm_ms: gemmMs, ratio: ms / gemmMs });
      }
    }
    return {
      header: ["step", "batch", "ms", "GFLOP", "at GEMM rate, ms", "ratio"],
      rows: cases.map((c) => [
        c.kind,
        c.batch,
        c.ms.toFixed(1),
        c.gflop.toFixed(2),
        c.gemm_ms.toFixed(1),
        c.ratio.toFixed(2),
      ]),
      figures: { gemm_gflops: rate, cases },
      notes: [
        `GEMM rate: ${rate.toFixed(0)} GFLOPS (2048³, float32, ${threads} threads)`,
        "At batch 8 a step is bound by reading the weights (and writing them, when all are trained), not by arithmetic.",
      ],
    };
  },
};
