/**
 * Adapters as microsoft/LoRA (loralib) saves them, such as those of the LoRA paper: pairs `NAME.lora_A` [r, in] and
 * `NAME.lora_B` [out, r] in a file of PyTorch, and what was trained besides (`classifier.dense.weight`). The update of a layer
 * is alpha / r · B A.
 *
 * The file does not say alpha. A layer whose weight stands for several (`MergedLinear`, such as the query and value parts of
 * GPT-2's c_attn) has g parts: A [g·r, in] and B [g·out, r]; part i is B's i-th block times A's, and which parts of the
 * output they are the file does not say either.
 */
import { FormatError, listed } from "../../errors.ts";
import type { Matrix } from "../../linear-algebra/svd.ts";
import type { TorchFile } from "./open.ts";
import { openTorch } from "./open.ts";

export interface LoralibLayer {
  /** Of the layer: `roberta.encoder.layer.0.attention.self.query`; `NAME[1]` for the second part of several. */
  readonly name: string;
  /** [out, in] */
  readonly shape: readonly [outputs: number, inputs: number];
  readonly r: number;
  /** alpha / r */
  readonly scaling: number;
  /** [r, in] */
  readonly A: Matrix & { readonly data: Float32Array };
  /** [out, r] */
  readonly B: Matrix & { readonly data: Float32Array };
}

export interface LoralibAdapter {
  readonly path: string;
  /** In the order of the file. */
  readonly layers: readonly LoralibLayer[];
  /** Names of the tensors that belong to no pair. */
  readonly others: readonly string[];
}

export interface LoralibOptions {
  /** Default: r of each layer, so that the scaling is 1; then updates are known up to a factor. */
  readonly alpha?: number;
}

/** @throws FormatError as `openTorch`; naming each layer of which a half is missing or does not fit the other */
export async function openLoralib(path: string, { alpha }: LoralibOptions = {}): Promise<LoralibAdapter> {
  const file = await openTorch(path);
  try {
    const { pairs, others } = pairsOf(file);
    const layers: LoralibLayer[] = [];
    for (const name of pairs) layers.push(...(await readLayer(file, name, alpha)));
    return { path: file.path, layers, others };
  } finally {
    await file.close();
  }
}

/** s · B A, [out, in] row-major. */
export function loralibUpdate({ A, B, scaling, r, shape: [rows, columns] }: LoralibLayer): Matrix {
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < r; k++) {
      const b = scaling * B.data[i * r + k]!;
      for (let j = 0, at = i * columns; j < columns; j++, at++) data[at]! += b * A.data[k * columns + j]!;
    }
  }
  return { rows, columns, data };
}

function pairsOf(file: TorchFile): { pairs: string[]; others: string[] } {
  const pairs: string[] = [];
  const others: string[] = [];
  const wrong: string[] = [];
  for (const name of file.tensors.keys()) {
    const [, layer, half] = /^(.*)\.lora_([AB])$/.exec(name) ?? [];
    if (layer === undefined) others.push(name);
    else {
      const other = `${layer}.lora_${half === "A" ? "B" : "A"}`;
      const problem = file.tensors.has(other) ? misfit(file, layer) : `${name} without ${other}`;
      if (problem !== undefined) wrong.push(problem);
      else if (half === "A") pairs.push(layer);
    }
  }
  if (wrong.length > 0) {
    throw new FormatError({
      where: file.path,
      what: listed([...new Set(wrong)]),
      expected: "A [r, in] and B [out, r]",
    });
  }
  if (pairs.length === 0) {
    throw new FormatError({
      where: file.path,
      what: "has no adapter of loralib",
      got: `${file.tensors.size} tensors, none of which is called lora_A`,
      expected: "pairs NAME.lora_A, NAME.lora_B",
    });
  }
  return { pairs, others };
}

function misfit(file: TorchFile, layer: string): string | undefined {
  const [A, B] = [file.tensors.get(`${layer}.lora_A`)!.shape, file.tensors.get(`${layer}.lora_B`)!.shape];
  const parts = A[0]! / B[1]!;
  const fits = A.length === 2 && B.length === 2 && Number.isInteger(parts) && parts > 0 && B[0]! % parts === 0;
  return fits ? undefined : `${layer}: lora_A [${A.join(", ")}] does not fit lora_B [${B.join(", ")}]`;
}

async function readLayer(file: TorchFile, layer: string, alpha: number | undefined): Promise<LoralibLayer[]> {
  const [nameA, nameB] = [`${layer}.lora_A`, `${layer}.lora_B`];
  const [rows, inputs] = file.tensors.get(nameA)!.shape as readonly [number, number];
  const [allOutputs, r] = file.tensors.get(nameB)!.shape as readonly [number, number];
  const [A, B] = [await file.readFloat32(nameA), await file.readFloat32(nameB)];
  const parts = rows / r;
  const outputs = allOutputs / parts;
  return Array.from({ length: parts }, (_, i) => ({
    name: parts === 1 ? layer : `${layer}[${i}]`,
    shape: [outputs, inputs],
    r,
    scaling: (alpha ?? r) / r,
    A: { rows: r, columns: inputs, data: A.slice(i * r * inputs, (i + 1) * r * inputs) },
    B: { rows: outputs, columns: r, data: B.slice(i * outputs * r, (i + 1) * outputs * r) },
  }));
}
