/**
 * How well texts are classified: the mean loss, the share that is right, and F1 of all classes alike (macro F1: the mean
 * over classes of 2·TP / (2·TP + FP + FN)). As in scikit-learn a class that neither occurs nor is said does not count, and
 * among equal logits the first is what is said.
 */

export interface ClassMetrics {
  /** Mean of −ln p(class), in nats. */
  readonly loss: number;
  readonly accuracy: number;
  readonly f1: number;
}

/** Counts texts as they come. */
export class ClassCounter {
  /** [classes · classes] Texts of a class (row) that another was said of (column). */
  readonly confusion: Float64Array;
  readonly #classes: number;
  #lossSum = 0;
  #count = 0;

  constructor(classes: number) {
    this.#classes = classes;
    this.confusion = new Float64Array(classes * classes);
  }

  /** @param logits [classes] @param label index of the right class */
  add(logits: ArrayLike<number>, label: number): void {
    this.#lossSum += crossEntropy(logits, label);
    this.#count++;
    this.confusion[label * this.#classes + argMax(logits)]!++;
  }

  /** Texts so far. */
  get count(): number {
    return this.#count;
  }

  metrics(): ClassMetrics {
    const classes = this.#classes;
    let right = 0;
    const f1s: number[] = [];
    for (let c = 0; c < classes; c++) {
      let [are, said] = [0, 0];
      for (let other = 0; other < classes; other++) {
        are += this.confusion[c * classes + other]!;
        said += this.confusion[other * classes + c]!;
      }
      const hits = this.confusion[c * classes + c]!;
      right += hits;
      if (are + said > 0) f1s.push((2 * hits) / (are + said));
    }
    return {
      loss: this.#lossSum / this.#count,
      accuracy: right / this.#count,
      f1: f1s.reduce((sum, f1) => sum + f1, 0) / f1s.length,
    };
  }
}

/** Index of the largest number, the first among equals; -1 of none. */
export function argMax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return values.length === 0 ? -1 : best;
}

/** −ln softmax(logits)[label], in nats. */
function crossEntropy(logits: ArrayLike<number>, label: number): number {
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) largest = Math.max(largest, logits[i]!);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - largest);
  return largest + Math.log(sum) - logits[label]!;
}
