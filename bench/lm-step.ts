/**
 * A LoRA step of a 0.5B language model, with and without gradient checkpointing, against PEFT's. Every run is a process of
 * its own, for its peak of memory; ours and the peer's alternate.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { BenchTrainReport } from "../src/cli/bench/train.ts";
import { peerVersion, runPython } from "./peer.ts";
import { summarize } from "./statistics.ts";
import type { Suite } from "./suites.ts";

const SHAPE = "qwen2.5-0.5b";
const TOKENS = 512;
const SUPERVISED = 0.25;
const STORAGE = "float32";
const ROUNDS = 2;
const STEPS = 3;

/** In the folder beside the repository, where there is one. */
const PEER = fileURLToPath(new URL("../../../shared/bench/peft_train_step.py", import.meta.url));
const CLI = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));

type Measured = Pick<BenchTrainReport, "step_s" | "tokens_per_s" | "peak_rss_gb">;
type Kind = "lowrank" | "lowrank, checkpointing" | "PEFT";

/** What ours has to reach: its tokens/s, and its memory, as multiples of PEFT's. */
const GOALS: Record<Kind, string> = {
  lowrank: "1.6×, 0.55×",
  "lowrank, checkpointing": "-, 0.40×",
  PEFT: "-",
};

export const lmStep: Suite = {
  name: "lm-step",
  title: `LoRA step of ${SHAPE}, r 8, ${TOKENS} tokens, ${100 * SUPERVISED} % supervised, ${STORAGE}`,
  async run(threads) {
    const torch = existsSync(PEER) ? peerVersion() : undefined;
    const runs: Record<Kind, (() => Measured) | undefined> = {
      lowrank: () => runOurs(threads, []),
      PEFT: torch === undefined ? undefined : () => runPeft(threads),
      "lowrank, checkpointing": () => runOurs(threads, ["--gradient-checkpointing"]),
    };
    const measured = new Map<Kind, Measured[]>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [kind, run] of Object.entries(runs) as [Kind, (() => Measured) | undefined][]) {
        if (run !== undefined) measured.set(kind, [...(measured.get(kind) ?? []), run()]);
      }
    }
    const median = (kind: Kind, key: keyof Measured) => {
      const all = measured.get(kind);
      return all === undefined ? undefined : summarize(all.map((each) => each[key])).median;
    };
    const ratio = (kind: Kind, key: keyof Measured) => {
      const peer = median("PEFT", key);
      return peer === undefined ? undefined : median(kind, key)! / peer;
    };
    const times = (x: number | undefined) => (x === undefined ? "-" : `${x.toFixed(2)}×`);
    const kinds = [...measured.keys()];
    return {
      header: ["", "step s", "tokens/s", "of PEFT", "peak GB", "of PEFT", "goals"],
      rows: kinds.map((kind) => [
        kind,
        median(kind, "step_s")!.toFixed(2),
        median(kind, "tokens_per_s")!.toFixed(1),
        times(ratio(kind, "tokens_per_s")),
        median(kind, "peak_rss_gb")!.toFixed(2),
        times(ratio(kind, "peak_rss_gb")),
        GOALS[kind],
      ]),
      figures: {
        shape: SHAPE,
        tokens: TOKENS,
        supervised: SUPERVISED,
        storage: STORAGE,
        torch: torch ?? null,
        rounds: ROUNDS,
        runs: kinds.map((kind) => ({
          kind,
          measured: measured.get(kind),
          speedup: ratio(kind, "tokens_per_s") ?? null,
          of_memory: ratio(kind, "peak_rss_gb") ?? null,
        })),
      },
      notes: [
        torch === undefined
          ? "no peer: it needs ../shared/bench, and a Python with torch and peft (LOWRANK_PYTHON names one)"
          : `peer: PyTorch ${torch} and PEFT, ${threads} threads`,
      ],
    };
  },
};

function runOurs(threads: number, more: readonly string[]): Measured {
  const args = [
    "--shape",
    SHAPE,
    "--tokens",
    TOKENS,
    "--supervised",
    SUPERVISED,
    "--storage",
    STORAGE,
    "--steps",
    STEPS,
  ];
  const all = [CLI, "bench", "train", ...args, "--threads", threads, "--keep", "--json", ...more].map(String);
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: "utf8" });
  if (status !== 0) throw new Error(`lowrank bench train failed: ${stderr}`);
  return JSON.parse(stdout) as Measured;
}

function runPeft(threads: number): Measured {
  const args = [
    "--dtype",
    STORAGE,
    "--tokens",
    TOKENS,
    "--supervised",
    SUPERVISED,
    "--steps",
    STEPS,
    "--threads",
    threads,
  ];
  return runPython(PEER, args) as Measured;
}
