/** The demonstration's steps at batch 8: LoRA against full training, and both against PyTorch eager. */
import { type StepKind, timeSteps } from "./mlp-step.ts";
import { peerVersion, runPeer } from "./peer.ts";
import { summarize } from "./statistics.ts";
import type { Suite } from "./suites.ts";

const BATCH = 8;
const ROUNDS = 3;
const STEPS: Record<StepKind, number> = { full: 40, "lora-activation": 150, "lora-weight": 40 };
/** Published epoch times: 31.896 s full, 16.6226 s LoRA in weight form. */
const PUBLISHED_RATIO = 0.521;

export const mlpSteps: Suite = {
  name: "mlp-steps",
  title: `Training steps of the CIFAR-10 demonstration, batch ${BATCH}, float32, Adam`,
  async run(threads) {
    const kinds = Object.keys(STEPS) as StepKind[];
    const torch = peerVersion();
    const ours = new Map<StepKind, number[]>(kinds.map((kind) => [kind, []]));
    const peers = new Map<StepKind, number[]>(kinds.map((kind) => [kind, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of kinds) {
        ours.get(kind)!.push(...(await timeSteps(kind, BATCH, STEPS[kind], threads)).times);
        if (torch === undefined) continue;
        const peer = runPeer("mlp_step.py", [kind, BATCH, STEPS[kind], threads]) as { times: number[] };
        peers.get(kind)!.push(...peer.times);
      }
    }
    const median = (times: Map<StepKind, number[]>, kind: StepKind) => summarize(times.get(kind)!).median;
    const full = median(ours, "full");
    const rows = kinds.map((kind) => {
      const own = median(ours, kind);
      const other = torch === undefined ? undefined : median(peers, kind);
      return [
        kind,
        own.toFixed(2),
        (1000 / own).toFixed(1),
        (own / full).toFixed(3),
        other === undefined ? "-" : other.toFixed(2),
        other === undefined ? "-" : `${(other / own).toFixed(2)}×`,
      ];
    });
    return {
      header: ["step", "ms", "steps/s", "of full", "PyTorch ms", "faster by"],
      rows,
      figures: {
        batch: BATCH,
        torch: torch ?? null,
        rounds: ROUNDS,
        published_ratio: PUBLISHED_RATIO,
        steps: kinds.map((kind) => ({
          kind,
          ms: summarize(ours.get(kind)!),
          of_full: median(ours, kind) / full,
          peer_ms: torch === undefined ? null : summarize(peers.get(kind)!),
          speedup: torch === undefined ? null : median(peers, kind) / median(ours, kind),
        })),
      },
      notes: [
        `published LoRA epoch / full epoch: ${PUBLISHED_RATIO}`,
        torch === undefined
          ? "no peer: python3 has no torch (LOWRANK_PYTHON names another Python)"
          : `peer: PyTorch ${torch} eager, ${threads} threads`,
      ],
    };
  },
};
