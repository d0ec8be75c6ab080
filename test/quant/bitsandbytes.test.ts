/** Codes, constants and values of bitsandbytes, and checkpoints that it quantised: golden/make/bitsandbytes_files.py. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ConfigError, FormatError } from "../../src/errors.ts";
import { openCheckpoint, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { dynamicMap } from "../../src/quant/dynamic-map.ts";
import { storageOf } from "../../src/quant/index.ts";
import { nf4, NF4_LEVELS } from "../../src/quant/nf4.ts";
import { assertClose } from "../support/close.ts";
import { sharedData } from "../support/shared-data.ts";

interface Case {
  readonly codes: string;
  readonly absmax: readonly number[];
  readonly scales?: readonly number[];
  readonly offset?: number;
  readonly values_head: readonly number[];
  readonly sum: number;
}

const golden = JSON.parse(readFileSync("golden/bitsandbytes/codes.json", "utf8")) as {
  readonly map: readonly number[];
  readonly weight: string;
  readonly cases: Readonly<Record<string, Case>>;
};
const bytes = Buffer.from(golden.weight, "base64");
const weight = new Float32Array(Uint8Array.from(bytes).buffer);
const PLAIN = { doubleQuantization: false };

const hex = (codes: Uint8Array) => Buffer.from(codes).toString("hex");

suite("codes of bitsandbytes", () => {
  test("64 numbers from -2 to 2, and the eight of the paper's notes", () => {
    const line = Float32Array.from({ length: 64 }, (_, i) => -2 + (4 * i) / 63);
    const { codes, absmax } = nf4.encode(line, [64], PLAIN) as { codes: Uint8Array; absmax: Float32Array };
    assert.deepEqual([...absmax], [2]);
    assert.equal(hex(codes), "00000111111112222233344445556667788899aaabbbccccddddeeeeeeefffff");

    const eight = Float32Array.of(0.5, -1.5, 0.01, 2, -0.2, 0.9, -2, 0);
    const encoded = nf4.encode(eight, [8], PLAIN);
    assert.equal(hex(encoded["codes"] as Uint8Array), "a17f6c07");
    assert.deepEqual(
      [...nf4.decode(encoded, [8], PLAIN)],
      [0.4922246, -1.3923856, 0, 2, -0.18210007, 0.88141966, -2, 0].map(Math.fround),
    );
  });

  test("a code changes half way between two levels", () => {
    const thresholds = [
      -0.8480964, -0.6106329, -0.4599953, -0.3396794, -0.2346074, -0.1379117, -0.045525, 0.0397902, 0.1202553,
      0.2035213, 0.2920138, 0.3893125, 0.5016634, 0.6427869, 0.8614784,
    ];
    thresholds.forEach((threshold, i) => {
      for (const [side, expected] of [
        [-1, i],
        [1, i + 1],
      ] as const) {
        // The thresholds are given with seven digits.
        const { codes } = nf4.encode(Float32Array.of(1, threshold + side * 2e-7), [2], PLAIN);
        assert.equal(Number(codes![0]) & 15, expected, `${threshold} ${side}`);
      }
    });
  });

  test("the map of double quantisation, bit for bit", () => {
    assert.deepEqual([...dynamicMap()], golden.map);
  });

  for (const [name, expected] of Object.entries(golden.cases)) {
    test(`${name}: codes, constants and values`, () => {
      const [kind, double] = name.split("-") as [string, string?];
      const storage = storageOf(kind);
      const options = { doubleQuantization: double !== undefined };
      const tensors = storage.encode(weight, [weight.length], options);
      const codes = hex(tensors["codes"] as Uint8Array);
      // FP4 has two zeros: its CPU library takes the one where its GPU kernel takes the other.
      const zeros = (text: string) => (kind === "fp4" ? text.replaceAll("8", "0") : text);
      assert.ok(zeros(codes) === zeros(expected.codes), "codes");
      if (!options.doubleQuantization) {
        assertClose(tensors["absmax"]!, expected.absmax, {}, "constants");
      } else {
        assertClose(tensors["scales"]!, expected.scales!, {}, "constants of constants");
        assert.deepEqual([...tensors["offset"]!], [expected.offset]);
        // Its CPU library looks codes up in a coarse table: very near to a threshold it can take the neighbour.
        const map = dynamicMap();
        [...tensors["absmax"]!].forEach((code, i) => {
          const other = expected.absmax[i]!;
          if (code === other) return;
          const centred = largest(i) - expected.offset!;
          const x = centred / expected.scales![Math.floor(i / 256)]!;
          const [near, far] = [Math.abs(map[Number(code)]! - x), Math.abs(map[other]! - x)];
          assert.ok(near <= far && far - near < 1e-3, `constant ${i}: ${String(code)}, not ${other}`);
        });
      }
      const decoded = storage.decode(
        options.doubleQuantization ? { ...tensors, absmax: Uint8Array.from(expected.absmax) } : tensors,
        [weight.length],
        options,
      );
      assertClose(decoded.subarray(0, 300), expected.values_head, {}, "values");
      const sum = decoded.reduce((total, value) => total + value, 0);
      assert.ok(Math.abs(sum - expected.sum) < 1e-9, `${sum}, not ${expected.sum}`);
    });
  }

  test("errors on normally distributed weights are those of bitsandbytes' own test", (t) => {
    const path = sharedData("nf4/nf4_golden.json");
    if (path === undefined) return t.skip("no shared data");
    const shared = JSON.parse(readFileSync(path, "utf8")) as {
      codebook: number[];
      randn_1024x1024_error_by_blocksize: { err: Record<string, [number, number]> };
    };
    assert.deepEqual(NF4_LEVELS, shared.codebook);
    const next = new Normal(7);
    const values = Float32Array.from({ length: 1 << 20 }, () => next.draw());
    const back = nf4.decode(nf4.encode(values, [1024, 1024], PLAIN), [1024, 1024], PLAIN);
    const mean = values.reduce((sum, value, i) => sum + Math.abs(value - back[i]!), 0) / values.length;
    const [expected, deviation] = shared.randn_1024x1024_error_by_blocksize.err["64"]!;
    assert.ok(Math.abs(mean - expected) < 5 * deviation, `${mean}, not ${expected}`);
  });
});

function largest(block: number): number {
  return weight.subarray(64 * block, 64 * block + 64).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
}

/** Box and Muller's. */
class Normal {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  #uniform(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return (this.#state + 0.5) / 2 ** 32;
  }
  draw(): number {
    return Math.sqrt(-2 * Math.log(this.#uniform())) * Math.cos(2 * Math.PI * this.#uniform());
  }
}

suite("checkpoints of bitsandbytes", () => {
  let dir: string;
  before(async () => void (dir = await mkdtemp(join(tmpdir(), "lowrank-bnb-"))));
  after(() => rm(dir, { recursive: true }));

  for (const [name, storage, tolerance] of [
    ["nf4-double", "nf4", 2e-5],
    ["fp4", "fp4", 2e-5],
    // Activations are rounded to 8 bits as well, which the reference does not do; the weights are compared below.
    ["int8", "int8", 0.1],
  ] as const) {
    test(`${name}: logits of transformers with the values that bitsandbytes decodes`, async () => {
      const folder = `golden/bitsandbytes/${name}`;
      const { tokens, logits } = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as {
        tokens: number[][];
        logits: number[];
      };
      const model = await AutoModelForCausalLM.fromPretrained(folder, { threads: 1 });
      try {
        assert.equal(model.language.storages.size, 21);
        for (const weight of model.language.storages.values()) assert.equal(weight.storage.name, storage);
        const got = (await model.forward({ inputIds: tokens })).logits;
        assertClose(got, logits, { ofLargest: tolerance }, "logits");
      } finally {
        await model.dispose();
      }
    });
  }

  test("int8: the weights are the codes times the largest of the row / 127", async () => {
    const folder = "golden/bitsandbytes/int8";
    const name = "model.layers.1.mlp.down_proj";
    const checkpoint = await openCheckpoint(folder);
    const codes = new Int8Array((await checkpoint.read(`${name}.weight`)).buffer);
    const largest = await checkpoint.readFloat32(`${name}.SCB`);
    await checkpoint.close();
    const model = await AutoModelForCausalLM.fromPretrained(folder, { threads: 1 });
    const { data, shape } = await model.language.device.read(`${name}.weight`);
    await model.dispose();
    assert.deepEqual(shape, [20, 28]);
    assertClose(
      data,
      Array.from(codes, (code, i) => (code * largest[Math.floor(i / 28)]!) / 127),
      { relative: 2e-7 },
    );
  });

  test("another storage than the files' is refused", async () => {
    await assert.rejects(
      AutoModelForCausalLM.fromPretrained("golden/bitsandbytes/fp4", { threads: 1, storage: "nf4" }),
      (error) => error instanceof ConfigError && /quantised already/.test(error.message),
    );
  });

  test("what is not as bitsandbytes writes it is refused, all of it in one message", async () => {
    const folder = join(dir, "broken");
    await cp("golden/bitsandbytes/nf4-double", folder, { recursive: true });
    const checkpoint = await openCheckpoint(folder);
    const [first, second] = ["q", "k"].map((part) => `model.layers.0.self_attn.${part}_proj.weight`);
    const state = JSON.stringify({ blocksize: 128, shape: [24, 20], nested_blocksize: 256, nested_offset: 0.1 });
    const tensors = await Promise.all(
      [...checkpoint.tensors.values()].map(async ({ name, dtype, shape }) => ({
        name,
        dtype,
        shape,
        data: await checkpoint.read(name),
      })),
    );
    await checkpoint.close();
    const broken = tensors.flatMap((tensor) => {
      if (tensor.name === `${second}.nested_quant_map`) return [];
      if (!tensor.name.startsWith(`${first}.quant_state`)) return [tensor];
      const data = new TextEncoder().encode(state);
      return [{ ...tensor, shape: [data.length], data }];
    });
    await writeSafetensors(join(folder, "model.safetensors"), broken);
    await assert.rejects(AutoModelForCausalLM.fromPretrained(folder, { threads: 1 }), (error) => {
      assert.ok(error instanceof FormatError);
      assert.match(error.message, /q_proj\.weight: blocks of 128/);
      assert.match(error.message, /k_proj\.weight: .*nested_quant_map is missing/);
      return true;
    });
  });

  test("weights of other quantisers are refused by name", async () => {
    const folder = join(dir, "gptq");
    await cp("golden/bitsandbytes/fp4", folder, { recursive: true });
    const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8")) as Record<string, unknown>;
    await writeFile(
      join(folder, "config.json"),
      JSON.stringify({ ...config, quantization_config: { quant_method: "gptq" } }),
    );
    await assert.rejects(AutoModelForCausalLM.fromPretrained(folder, { threads: 1 }), /quantised by "gptq"/);
  });

  test("saved again, a quantised model has the values that its codes stand for", async () => {
    const folder = "golden/bitsandbytes/fp4";
    const model = await AutoModelForCausalLM.fromPretrained(folder, { threads: 1 });
    const saved = join(dir, "saved");
    const ids = { inputIds: [[5, 1, 9]] };
    const { logits } = await model.forward(ids);
    const kept = Float32Array.from(logits);
    await model.savePretrained(saved);
    await model.dispose();
    const again = await AutoModelForCausalLM.fromPretrained(saved, { threads: 1 });
    assert.equal(again.language.storages.size, 0);
    assertClose((await again.forward(ids)).logits, kept, { ofLargest: 1e-5 }, "logits");
    await again.dispose();
  });
});
