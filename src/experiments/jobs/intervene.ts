/**
 * λ intervention (Shuttleworth et al. 2024, §5 and appendix G): in every matrix with an intruder the highest-ranking one is scaled,
 * W(λ) = W + (λ − 1) uᵢ σᵢ vᵢᵀ, and the model is tested; as a baseline the same is done to the vector next to it, which comes
 * from pretraining.
 */
import { intrudersAmong } from "../../analysis/measures/intruders.ts";
import { neighbour, scaled } from "../../analysis/measures/intervention.ts";
import { cosines, maxCosines } from "../../analysis/measures/similarity.ts";
import { type Matrix, type Svd, svd } from "../../linear-algebra/svd.ts";
import { job, type JobKind } from "../experiment.ts";
import { bundledIdentity } from "../rig/bundled.ts";
import { HEAD, readTuned } from "../rig/weights-file.ts";
import { openWorkbench, type Workbench } from "../rig/workbench.ts";
import type { Example } from "../tasks/index.ts";
import { baseSvds, eachMatrix } from "./spectra.ts";
import { taskNamed, testTexts, TRAIN, type TrainSettings } from "./train.ts";

export interface InterveneSettings {
  readonly of: TrainSettings;
  readonly k: number;
  readonly epsilon: number;
  /** 1 is the model as it is. */
  readonly lambdas: readonly number[];
}

export interface InterveneResult {
  /** Matrices with an intruder: the others are left alone. */
  readonly matrices: readonly { readonly name: string; readonly intruder: number; readonly neighbour: number }[];
  readonly intruder: readonly Intervened[];
  readonly neighbour: readonly Intervened[];
}

export interface Intervened {
  readonly lambda: number;
  /** On the test texts of the task, 0 to 1. */
  readonly accuracy: number;
  readonly testLoss: number;
  /** In nats per token. */
  readonly pretrainingLoss: number;
}

export const INTERVENE: JobKind<InterveneSettings, InterveneResult> = {
  name: "intervene",
  version: 1,
  label: ({ of, lambdas }) => `${lambdas.length} λ on ${TRAIN.label(of)}`,
  seconds: ({ lambdas }) => 3 + 4 * lambdas.length,
  depends: async () => [await bundledIdentity()],
  needs: ({ of }) => [job(TRAIN, of)],
  async run({ of, k, epsilon, lambdas }, context) {
    const { matrices, head } = await readTuned(context.done(job(TRAIN, of)).folder);
    const base = await baseSvds();
    const places = await eachMatrix(matrices, { ...context, progress: () => {} }, ({ name, tuned }) => {
      const after = svd(tuned);
      return { name, tuned, after, ...placesOf(base.get(name)!, after, { k, epsilon }) };
    });
    const chosen = places.filter((one) => one.intruder !== undefined && one.neighbour !== undefined);
    const bench = await openWorkbench({
      classes: taskNamed(of.task).labels.length,
      headSeed: of.seed,
      threads: context.threads,
    });
    try {
      const { shape } = bench.head;
      await bench.device.write(HEAD, { dtype: "float32", shape, data: head });
      for (const { name, tuned } of matrices) await write(bench, name, tuned);
      const texts = testTexts(of.task);
      const measured: Record<"intruder" | "neighbour", Intervened[]> = { intruder: [], neighbour: [] };
      const whole = await test(bench, texts, of.documents);
      let done = 0;
      for (const which of ["intruder", "neighbour"] as const) {
        for (const lambda of lambdas) {
          context.signal?.throwIfAborted();
          if (lambda === 1 || chosen.length === 0) {
            measured[which].push({ lambda, ...whole });
          } else {
            for (const one of chosen) await write(bench, one.name, scaled(one.tuned, one.after, [one[which]!], lambda));
            measured[which].push({ lambda, ...(await test(bench, texts, of.documents)) });
          }
          context.progress(++done / (2 * lambdas.length));
        }
        for (const { name, tuned } of chosen) await write(bench, name, tuned);
      }
      return {
        matrices: chosen.map((one) => ({ name: one.name, intruder: one.intruder! + 1, neighbour: one.neighbour! + 1 })),
        ...measured,
      };
    } finally {
      await bench.dispose();
    }
  },
};

/** The highest-ranking intruder and its neighbour, from 0. */
function placesOf(
  base: Svd,
  after: Svd,
  { k, epsilon }: { readonly k: number; readonly epsilon: number },
): { readonly intruder: number | undefined; readonly neighbour: number | undefined } {
  const { found } = intrudersAmong(maxCosines(cosines(base.left, after.left)), {
    values: after.values,
    baseVectors: base.left.length,
    width: after.left[0]!.length,
    k,
    epsilon,
    side: "left",
  });
  const [first] = found;
  if (first === undefined) return { intruder: undefined, neighbour: undefined };
  const intruders = found.map(({ rank }) => rank - 1);
  return { intruder: first.rank - 1, neighbour: neighbour(first.rank - 1, intruders, after.values.length) };
}

async function write({ device }: Workbench, name: string, { rows, columns, data }: Matrix): Promise<void> {
  await device.write(name, { dtype: "float32", shape: [rows, columns], data: Float32Array.from(data) });
}

async function test(
  bench: Workbench,
  texts: readonly Example[],
  documents: number | undefined,
): Promise<Omit<Intervened, "lambda">> {
  await bench.changed();
  const { accuracy, loss } = await bench.test(texts);
  return { accuracy, testLoss: loss, pretrainingLoss: await bench.pretrainingLoss(documents) };
}
