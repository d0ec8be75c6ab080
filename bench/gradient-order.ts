/**
 * What LoRA's gradients cost in memory, by the order of their products. The notes on LoRA say that the gradient of B
 * needs an intermediate as large as the gradient of W. It does in one order only:
 *
 *     naive      dB = s (dYᵀ X) Aᵀ      dA = s Bᵀ (dYᵀ X)      through a matrix [out, in]: 4 · out · in bytes
 *     low-rank   dB = s dYᵀ (X Aᵀ)      dA = s (dY B)ᵀ X       through matrices [b, r]:    4 · r · b bytes
 *
 * Both are run as they are written, without the pass that would turn the first into the second.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Graph } from "../src/ir/graph.ts";
import { peakMemory } from "../src/ir/memory.ts";
import { scalar } from "../src/ir/ops/constant.ts";
import { matmul } from "../src/ir/ops/matmul.ts";
import { mul } from "../src/ir/ops/mul.ts";
import { shapeOf } from "../src/ir/shape.ts";
import { Random } from "../src/random.ts";
import { ortDevice } from "../src/runtime/node/device-node.ts";
import type { Device, Results } from "../src/runtime/runtime.ts";

export type GradientOrder = "naive" | "low-rank";

/** A linear layer [out, in] with LoRA of rank r, and b rows. */
export interface LoraSizes {
  readonly out: number;
  readonly in: number;
  readonly r: number;
  readonly b: number;
}

export interface GradientOrderRow extends LoraSizes {
  readonly order: GradientOrder;
  /** Bytes that the order needs besides the gradients themselves, after the formula above. */
  readonly formulaBytes: number;
  /** The same, counted from the graph. */
  readonly analyticBytes: number;
  /** By how much the peak of a process's resident memory grows when the graph runs. */
  readonly measuredBytes: number;
  /** Largest difference between the gradients of the two orders, as a part of the largest element. */
  readonly difference: number;
}

const SIZES: readonly LoraSizes[] = [
  { out: 4096, in: 4096, r: 8, b: 16 },
  { out: 4864, in: 896, r: 8, b: 512 },
];

/** alpha / r of the example; not 1, so that it is multiplied. */
const SCALING = 2.5;

/** dB and dA from x [b, in] and dY [b, out], in one order. */
export function gradientGraph(order: GradientOrder, sizes: LoraSizes): Graph {
  const { out, in: width, r, b } = sizes;
  const graph = new Graph();
  // States, and not feeds: they are on the device before the run that is measured.
  const state = (name: string, ...shape: number[]) => graph.state(name, { dtype: "float32", shape: shapeOf(shape) });
  const [x, dY, A, B] = [state("x", b, width), state("dY", b, out), state("A", r, width), state("B", out, r)];
  const s = scalar(graph, SCALING);
  if (order === "naive") {
    const G = matmul(dY, x, { transA: true }); // [out, in]
    graph.output("dB", mul(matmul(G, A, { transB: true }), s));
    graph.output("dA", mul(matmul(B, G, { transA: true }), s));
  } else {
    const Ax = matmul(x, A, { transB: true }); // [b, r]
    graph.output("dB", mul(matmul(dY, Ax, { transA: true }), s));
    const dAx = matmul(dY, B); // [b, r]
    graph.output("dA", mul(matmul(dAx, x, { transA: true }), s));
  }
  return graph;
}

export function formulaBytes(order: GradientOrder, { out, in: width, r, b }: LoraSizes): number {
  return order === "naive" ? 4 * out * width : 4 * r * b;
}

/** Counted peak, less the gradients, which every order has to have. */
export function analyticBytes(order: GradientOrder, sizes: LoraSizes): number {
  return peakMemory(gradientGraph(order, sizes)).bytes - 4 * sizes.r * (sizes.out + sizes.in);
}

/** Puts the inputs of the graph on a device, the same for both orders. */
export async function writeInputs(device: Device, { out, in: width, r, b }: LoraSizes): Promise<void> {
  const random = new Random(1);
  const shapes = { x: [b, width], dY: [b, out], A: [r, width], B: [out, r] } as const;
  for (const [name, shape] of Object.entries(shapes)) {
    const data = Float32Array.from({ length: shape[0] * shape[1] }, () => random.normal());
    await device.write(name, { dtype: "float32", shape, data });
  }
}

/** Both orders for every size: bytes by formula, by count and by measurement, and how far the gradients differ. */
export async function gradientOrder(sizes: readonly LoraSizes[] = SIZES): Promise<GradientOrderRow[]> {
  const rows: GradientOrderRow[] = [];
  const device = await ortDevice();
  try {
    for (const size of sizes) {
      const difference = await compareOrders(device, size);
      for (const order of ["naive", "low-rank"] as const) {
        rows.push({
          ...size,
          order,
          formulaBytes: formulaBytes(order, size),
          analyticBytes: analyticBytes(order, size),
          measuredBytes: await measureBytes(order, size),
          difference,
        });
      }
    }
  } finally {
    await device.dispose();
  }
  return rows;
}

/** Largest difference between the gradients of the two orders, as a part of the largest element. */
export async function compareOrders(device: Device, sizes: LoraSizes): Promise<number> {
  const naive = await runOrder(device, "naive", sizes);
  const lowRank = await runOrder(device, "low-rank", sizes);
  let worst = 0;
  for (const name of ["dA", "dB"]) {
    const [a, b] = [naive[name]!.data as Float32Array, lowRank[name]!.data as Float32Array];
    let largest = 0;
    let difference = 0;
    for (let i = 0; i < a.length; i++) {
      largest = Math.max(largest, Math.abs(a[i]!));
      difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    }
    worst = Math.max(worst, difference / largest);
  }
  return worst;
}

async function runOrder(device: Device, order: GradientOrder, sizes: LoraSizes): Promise<Results> {
  await writeInputs(device, sizes);
  const executable = await device.compile(gradientGraph(order, sizes), { reassociate: false });
  try {
    return await executable.run({});
  } finally {
    await executable.dispose();
  }
}

/** Runs one order in a process of its own: the peak of a process never falls. */
async function measureBytes(order: GradientOrder, sizes: LoraSizes): Promise<number> {
  const script = fileURLToPath(new URL("./gradient-order-child.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, order, JSON.stringify(sizes)]);
  return Number(stdout);
}
