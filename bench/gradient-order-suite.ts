/** The memory claim about LoRA's gradients, with numbers: see gradient-order.ts. */
import { gradientOrder } from "./gradient-order.ts";
import type { Suite } from "./suites.ts";

export const gradientOrderSuite: Suite = {
  name: "gradient-order",
  title: "Memory that LoRA's gradients need besides themselves, by the order of the products",
  async run() {
    const rows = await gradientOrder();
    return {
      header: ["order", "out", "in", "r", "rows", "formula, kB", "counted, kB", "measured, kB", "difference"],
      rows: rows.map((row) => [
        row.order,
        row.out,
        row.in,
        row.r,
        row.b,
        kilobytes(row.formulaBytes),
        kilobytes(row.analyticBytes),
        kilobytes(row.measuredBytes),
        row.difference.toExponential(1),
      ]),
      figures: { rows },
      notes: [
        "naive: (dYᵀ X) Aᵀ; low-rank: dYᵀ (X Aᵀ). Counted on the graph; measured as growth of a process's resident memory.",
        "difference: the largest between the two orders' gradients, as a part of the largest element.",
      ],
    };
  },
};

function kilobytes(bytes: number): string {
  return Math.round(bytes / 1024).toLocaleString("en-US");
}
