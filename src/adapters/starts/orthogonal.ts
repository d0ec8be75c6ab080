/**
 * B A = 0 with neither of them zero: of a random orthogonal Q [r, r], A is made of the odd rows and B of the even ones,
 * A = (X Q_odd)ᵀ / 10 and B = Y Q_even / 10 with normal X [in, r/2] and Y [out, r/2]. As PEFT's `orthogonal`
 * (datta0.github.io/posts/rethink-lora-init). Zero but for rounding. On embeddings it is the default start, as in PEFT.
 */
import { combine, qr } from "../../linear-algebra/columns.ts";
import type { Random } from "../../random.ts";
import { DEFAULT_DRAWS, type LoraStart } from "./start.ts";

export const orthogonal: LoraStart = {
  ...DEFAULT_DRAWS,
  name: "orthogonal",
  about: "A and B random with B A = 0; the rank is even",
  factors(call) {
    const { layer, config } = call;
    const { inFeatures, outFeatures } = layer;
    const { r } = config;
    const draw = call.random("lora_A.weight");
    const normals = (length: number, from: Random) => Float64Array.from({ length }, () => from.normal());
    const { Q } = qr(Array.from({ length: r }, () => normals(r, draw)));
    const [odd, even] = [Q.filter((_, i) => i % 2 === 0), Q.filter((_, i) => i % 2 === 1)];
    const drawB = call.random("lora_B.weight");
    const A = new Float32Array(r * inFeatures);
    for (let i = 0; i < inFeatures; i++) {
      const column = combine(odd, normals(r / 2, draw));
      for (let j = 0; j < r; j++) A[j * inFeatures + i] = column[j]! / 10;
    }
    const B = new Float32Array(outFeatures * r);
    for (let i = 0; i < outFeatures; i++) {
      const row = combine(even, normals(r / 2, drawB));
      for (let j = 0; j < r; j++) B[i * r + j] = row[j]! / 10;
    }
    return { A, B };
  },
  check({ r, rankPattern }) {
    const odd = [r, ...Object.values(rankPattern)].filter((rank) => rank % 2 !== 0);
    return odd.length === 0 ? [] : [`the orthogonal start needs an even rank, and r is ${odd[0]}`];
  },
};
