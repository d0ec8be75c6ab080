/**
 * The intrinsic dimension of a task for a model: the least d with which training in a random subspace of d dimensions
 * (adapters/intrinsic-dimension.ts) is 90 percent as good as training every weight.
 *
 * Source: Li et al. 2018, arXiv 1804.08838, §2, d_int90; Aghajanyan et al. 2020, arXiv 2012.13255, §3.1. Their score is an
 * accuracy; of language models it is here the loss on held-out examples, and what counts is its fall: d is good enough if it
 * brings 90 percent of the fall from the base to the fully trained model.
 */
import { ConfigError } from "../../errors.ts";

export interface D90Options {
  /** Mean loss on the held-out set before training, and after training every weight; nats. */
  readonly base: number;
  readonly full: number;
  /** The loss after training d numbers. Called for powers of two, each at most once. */
  measure(d: number): Promise<number>;
  /** Largest d that is tried: a power of two. */
  readonly maxD: number;
  /** Smallest d that is tried: a power of two. Default: 1. */
  readonly minD?: number;
  /** Part of the fall that is enough, in (0, 1]. Default: 0.9. */
  readonly share?: number;
}

export interface D90Result {
  /** Least power of two that was good enough; undefined: not even the largest was. */
  readonly d90: number | undefined;
  /** Whether even the smallest was good enough, so that the dimension may be less. */
  readonly isLowest: boolean;
  /** What was measured, by d. */
  readonly tried: readonly { readonly d: number; readonly loss: number; readonly gain: number }[];
}

/**
 * Looks for the least d by bisection over powers of two, as if more dimensions were never worse: log₂ of their number runs.
 * @throws ConfigError if training every weight does not make the loss less
 */
export async function findD90(options: D90Options): Promise<D90Result> {
  const { base, full, maxD, minD = 1, share = 0.9 } = options;
  if (!(full < base)) {
    throw new ConfigError({
      where: "d90",
      what: "training every weight does not make the loss on the held-out set less, so there is nothing to compare with",
      got: `${base} before, ${full} after`,
      hint: "change learning_rate or num_train_epochs, or take more examples",
    });
  }
  const tried: { d: number; loss: number; gain: number }[] = [];
  const isEnough = async (exponent: number) => {
    const d = 2 ** exponent;
    const loss = await options.measure(d);
    const gain = gainOf(loss, { base, full });
    tried.push({ d, loss, gain });
    return gain >= share;
  };
  const lowest = exponentOf(minD, "the smallest d");
  let [below, enough] = [lowest - 1, exponentOf(maxD, "the largest d")];
  if (enough < lowest)
    throw new ConfigError({ where: "d90", what: "the largest d is less than the smallest", got: maxD });
  if (!(await isEnough(enough))) return { d90: undefined, isLowest: false, tried };
  while (enough - below > 1) {
    const middle = Math.floor((below + enough) / 2);
    if (await isEnough(middle)) enough = middle;
    else below = middle;
  }
  return { d90: 2 ** enough, isLowest: enough === lowest, tried: tried.toSorted((a, b) => a.d - b.d) };
}

/** Part of the fall of the loss from the base to the fully trained model. */
export function gainOf(loss: number, { base, full }: { readonly base: number; readonly full: number }): number {
  return (base - loss) / (base - full);
}

function exponentOf(d: number, what: string): number {
  const exponent = Math.log2(d);
  if (Number.isInteger(exponent) && exponent >= 0) return exponent;
  throw new ConfigError({ where: "d90", what: `${what} is not a power of two`, got: d });
}
