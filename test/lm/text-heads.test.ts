/** Classifiers and masked models by transformers' names, against transformers: golden/make/text_heads.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { encodeFloat32, openSafetensors, writeSafetensors } from "../../src/formats/safetensors/index.ts";
import { AutoModelForCausalLM } from "../../src/lm/causal-lm-model.ts";
import { AutoModelForSequenceClassification, type ClassificationOptions } from "../../src/lm/classification-model.ts";
import { AutoModelForMaskedLM } from "../../src/lm/masked-lm-model.ts";
import { getPeftModel } from "../../src/lm/peft-model.ts";
import type { PretrainedModel } from "../../src/lm/pretrained-model.ts";
import { pseudoLoss } from "../../src/lm/pseudo-loss.ts";
import { interpDevice } from "../../src/runtime/interp.ts";

interface Batch {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly token_type_ids?: readonly (readonly number[])[];
  readonly labels: readonly number[] | readonly (readonly number[])[];
  readonly loss: number;
}

interface Pseudo {
  readonly mask_token_id: number;
  readonly special_token_ids: readonly number[];
  readonly texts: readonly { readonly input_ids: readonly number[]; readonly tokens: number; readonly pll: number }[];
}

const CLASSIFIERS = ["bert", "roberta", "qwen2", "qwen3", "llama", "mistral", "gpt2"];
const MASKED = ["bert-masked", "bert-masked-untied", "roberta-masked", "xlm-roberta-masked"];
/** float32 rounds each of at most a hundred terms to 2⁻²⁴, in two blocks. */
const ROUNDING = 1e-5;
const THREADS = { threads: 1 };

const GOLDEN = fileURLToPath(new URL("../../../golden", import.meta.url));
const folderOf = (name: string) => join(GOLDEN, "text-heads", name);
const json = <T>(...path: string[]) => JSON.parse(readFileSync(join(GOLDEN, ...path), "utf8")) as T;
const batchOf = (name: string) => json<Batch>("text-heads", name, "batch.json");

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "lowrank-text-heads-"));
});
after(() => rm(scratch, { recursive: true, force: true }));

suite("AutoModelForSequenceClassification", () => {
  for (const family of CLASSIFIERS) {
    const name = `${family}-classes`;
    test(`${name}: transformers' logits and loss, also when it has been saved`, async () => {
      const model = await AutoModelForSequenceClassification.fromPretrained(folderOf(name), THREADS);
      assert.deepEqual(model.labels, ["class 0", "class 1", "class 2"]);
      assert.deepEqual(model.newlyInitialized, []);
      await sameAsGolden(model, name);
      const out = join(scratch, name);
      await model.savePretrained(out);
      await model.dispose();
      const [saved, original] = [await configOf(out), await configOf(folderOf(name))];
      for (const key of ["architectures", "id2label", "label2id", "pad_token_id", "model_type"]) {
        assert.deepEqual(saved[key], original[key], key);
      }
      const again = await AutoModelForSequenceClassification.fromPretrained(out, THREADS);
      await sameAsGolden(again, name);
      await again.dispose();
    });
  }

  test("a decoder without classes gets a head from a seed, and its own is left aside", async () => {
    for (const base of ["qwen2-tied", "gpt2"]) {
      const open = (randomSeed?: number) =>
        AutoModelForSequenceClassification.fromPretrained(join(GOLDEN, "causal-lm", base), {
          ...THREADS,
          labels: ["no", "perhaps", "yes", "never"],
          padTokenId: 3,
          ...(randomSeed === undefined ? {} : { randomSeed }),
        });
      const inputs = {
        inputIds: [
          [1, 2, 4],
          [5, 3, 3],
        ],
        labels: [3, 0],
      };
      const logits: number[][] = [];
      for (const seed of [undefined, 0, 1]) {
        const model = await open(seed);
        assert.deepEqual(model.newlyInitialized, ["score.weight"]);
        logits.push(Array.from((await model.forward(inputs)).logits));
        if (seed === 1) await model.savePretrained(join(scratch, `${base}-head`));
        await model.dispose();
      }
      assert.deepEqual(logits[0], logits[1]);
      assert.notDeepEqual(logits[0], logits[2]);
      const again = await AutoModelForSequenceClassification.fromPretrained(join(scratch, `${base}-head`), THREADS);
      assert.deepEqual(again.labels, ["no", "perhaps", "yes", "never"]);
      assert.deepEqual(Array.from((await again.forward(inputs)).logits), logits[2]);
      await again.dispose();
    }
  });

  test("encoders that predict masked tokens get one too, BERT its pooler with it", async () => {
    const news: Record<string, readonly string[]> = {
      "bert-masked": ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"],
      "roberta-masked": ["dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"].map(
        (x) => `classifier.${x}`,
      ),
    };
    for (const [name, expected] of Object.entries(news)) {
      const model = await AutoModelForSequenceClassification.fromPretrained(folderOf(name), {
        ...THREADS,
        numLabels: 4,
      });
      assert.deepEqual(model.newlyInitialized, expected);
      assert.deepEqual((await model.forward({ inputIds: [[5, 7, 8]] })).dims, [1, 4]);
      await model.dispose();
    }
  });

  test("the last token of a text is the last that is not padding, or of the mask where none is known", async () => {
    const open = (options: ClassificationOptions) =>
      AutoModelForSequenceClassification.fromPretrained(join(GOLDEN, "causal-lm", "qwen2-window"), {
        ...THREADS,
        ...options,
      });
    const known = await open({ padTokenId: 3 });
    const unknown = await open({});
    const inputs = {
      inputIds: [
        [1, 2, 4, 3],
        [1, 2, 4, 6],
      ],
      attentionMask: [
        [1, 1, 1, 0],
        [1, 1, 1, 0],
      ],
    };
    const rows = async (model: typeof known) => {
      const { logits } = await model.forward(inputs);
      return [Array.from(logits.subarray(0, 2)), Array.from(logits.subarray(2))];
    };
    const [padded, other] = await rows(known);
    // The second row has a token that is no padding at its end, whatever the mask says: transformers takes that one.
    assert.notDeepEqual(padded, other);
    const [masked, masked2] = await rows(unknown);
    assert.deepEqual(masked, padded);
    assert.deepEqual(masked2, masked);
    for (const model of [known, unknown]) await model.dispose();
  });

  test("what is not one class for each text is refused by name", async () => {
    const classes = async (changes: object, options: ClassificationOptions = {}) => {
      const dir = await changed("qwen2-classes", changes);
      await assert.rejects(
        AutoModelForSequenceClassification.fromPretrained(dir, { ...THREADS, ...options }),
        (error: Error) => {
          messages.push(error.message);
          return true;
        },
      );
    };
    const messages: string[] = [];
    await classes({ problem_type: "regression" });
    await classes({ problem_type: "multi_label_classification" });
    await classes({}, { numLabels: 1 });
    await classes({}, { numLabels: 3, labels: ["a", "b"] });
    await classes({}, { labels: ["a", "a"] });
    await classes({}, { numLabels: 5 });
    const expected = [
      /problem_type.*regression.*single_label_classification/s,
      /problem_type.*multi_label_classification/s,
      /two classes or more.*regression/s,
      /one name for each class.*2 names.*numLabels, 3/s,
      /two classes have one name.*a/s,
      /score\.weight is \[3, 20\], not \[5, 20\]/,
    ];
    expected.forEach((pattern, i) => assert.match(messages[i]!, pattern));
  });

  test("labels that are no classes are named", async () => {
    const model = await AutoModelForSequenceClassification.fromPretrained(folderOf("bert-classes"), THREADS);
    await assert.rejects(model.forward({ inputIds: [[1, 2]], labels: [3] }), {
      message: /labels has 3, and there are 3/,
    });
    await assert.rejects(model.forward({ inputIds: [[1, 2]], labels: [0, 1] }), {
      message: /2 entries and inputIds 1/,
    });
    await assert.rejects(model.forward({ inputIds: [[1, 2]], tokenTypeIds: [[0, 2]] }), {
      message: /tokenTypeIds has 2/,
    });
    await model.dispose();
  });

  test("anything else that is missing is an error, as ever", async () => {
    const dir = await renamed("bert-classes", (name) =>
      name.includes("layer.1.output.dense.bias") ? undefined : name,
    );
    await assert.rejects(AutoModelForSequenceClassification.fromPretrained(dir, THREADS), {
      message: /1 missing: bert\.encoder\.layer\.1\.output\.dense\.bias/,
    });
  });
});

suite("AutoModelForMaskedLM", () => {
  for (const name of MASKED) {
    test(`${name}: transformers' logits and loss, also when it has been saved`, async () => {
      const model = await AutoModelForMaskedLM.fromPretrained(folderOf(name), THREADS);
      await sameAsGolden(model, name);
      const out = join(scratch, name);
      await model.savePretrained(out);
      await model.dispose();
      assert.deepEqual((await configOf(out))["architectures"], (await configOf(folderOf(name)))["architectures"]);
      const again = await AutoModelForMaskedLM.fromPretrained(out, THREADS);
      await sameAsGolden(again, name);
      await again.dispose();
    });

    test(`${name}: the pseudo-loss, each token masked in turn`, async () => {
      const {
        mask_token_id: maskTokenId,
        special_token_ids: special,
        texts,
      } = json<Pseudo>("text-heads", name, "pseudo.json");
      const { language } = await AutoModelForMaskedLM.fromPretrained(folderOf(name), { device: interpDevice() });
      const isSpecial = (id: number) => special.includes(id);
      const ids = texts.map(({ input_ids: text }) => text);
      const tokens = texts.reduce((sum, text) => sum + text.tokens, 0);
      for (const batchSize of [1, 3, 16]) {
        const found = await pseudoLoss(language, ids, { maskTokenId, isSpecial, batchSize });
        assert.equal(found.tokens, tokens);
        texts.forEach(({ pll }, i) => near([found.pll[i]!], [pll], 2e-6, `PLL of text ${i}`));
        near([found.loss], [-texts.reduce((sum, { pll }) => sum + pll, 0) / tokens], 2e-6, "loss");
      }
      await language.dispose();
    });
  }

  test("position ids are places in the table, as in transformers", async () => {
    const model = await AutoModelForMaskedLM.fromPretrained(folderOf("roberta-masked"), THREADS);
    const inputs = {
      inputIds: [
        [3, 3, 7, 9, 3],
        [5, 6, 7, 9, 8],
      ],
      attentionMask: [
        [0, 0, 1, 1, 0],
        [1, 1, 1, 1, 1],
      ],
    };
    const counted = await model.forward(inputs);
    const given = await model.forward({
      ...inputs,
      positionIds: [
        [3, 3, 4, 5, 3],
        [4, 5, 6, 7, 8],
      ],
    });
    assert.deepEqual(given.logits, counted.logits);
    await assert.rejects(
      model.forward({
        ...inputs,
        positionIds: [
          [2, 3, 4, 5, 3],
          [4, 5, 6, 7, 8],
        ],
      }),
      {
        message: /positionIds has 2, which is before the first position/,
      },
    );
    await assert.rejects(model.forward({ inputIds: [Array.from({ length: 14 }, () => 7)] }), {
      message: /position 13 is asked for, and the model has 13/,
    });
    await model.dispose();
  });

  test("checkpoints of TensorFlow's time: gamma and beta, no prefix, buffers, other heads", async () => {
    const old = (name: string) =>
      name
        .replace(/^bert\./, "")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta");
    const more = {
      "embeddings.position_ids": [1, 13],
      "cls.seq_relationship.weight": [2, 20],
      "pooler.dense.bias": [20],
    };
    const masked = await AutoModelForMaskedLM.fromPretrained(await renamed("bert-masked", old, more), THREADS);
    await sameAsGolden(masked, "bert-masked");
    await masked.dispose();
    const roberta = await renamed("roberta-masked", (name) => name, { "roberta.pooler.dense.weight": [20, 20] });
    const model = await AutoModelForMaskedLM.fromPretrained(roberta, THREADS);
    await sameAsGolden(model, "roberta-masked");
    await model.dispose();
  });

  test("a decoder that is stored beside the table, and is the same, is the same", async () => {
    const dir = await renamed("roberta-masked", (name) => name, {
      "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
      "lm_head.decoder.bias": "lm_head.bias",
    });
    const model = await AutoModelForMaskedLM.fromPretrained(dir, THREADS);
    assert.equal(model.language.model.tied["lm_head.decoder.weight"], "roberta.embeddings.word_embeddings.weight");
    await sameAsGolden(model, "roberta-masked");
    await model.dispose();
  });

  test("models are loaded for what they can do", async () => {
    await assert.rejects(AutoModelForCausalLM.fromPretrained(folderOf("roberta-masked"), THREADS), {
      message: /no roberta model predicts the next token.*AutoModelForMaskedLM or AutoModelForSequenceClassification/s,
    });
    await assert.rejects(AutoModelForMaskedLM.fromPretrained(join(GOLDEN, "causal-lm", "gpt2"), THREADS), {
      message: /no gpt2 model predicts masked tokens.*AutoModelForCausalLM or AutoModelForSequenceClassification/s,
    });
    const model = await AutoModelForSequenceClassification.fromPretrained(folderOf("bert-classes"), THREADS);
    await assert.rejects(pseudoLoss(model.language, [[1]], { maskTokenId: 2, isSpecial: () => false }), {
      message: /a model that predicts masked tokens.*AutoModelForMaskedLM/s,
    });
    await model.dispose();
  });

  test("adapters that are on count in the pseudo-loss", async () => {
    const model = await AutoModelForMaskedLM.fromPretrained(folderOf("roberta-masked"), THREADS);
    getPeftModel(model, { peftType: "LORA", initLoraWeights: false });
    const texts = [[5, 20, 21, 8]];
    const options = { maskTokenId: 11, isSpecial: (id: number) => id < 12 };
    const [off, on] = [
      await pseudoLoss(model.language, texts, options),
      await pseudoLoss(model.language, texts, { ...options, adapters: ["default"] }),
    ];
    assert.notEqual(on.loss, off.loss);
    await model.dispose();
  });
});

/** Logits where there is no padding, and the loss. */
async function sameAsGolden(
  model: PretrainedModel<never, { logits: Float32Array; loss?: number }>,
  name: string,
): Promise<void> {
  const batch = batchOf(name);
  const { logits, loss } = await model.forward({
    inputIds: batch.input_ids,
    attentionMask: batch.attention_mask,
    ...(batch.token_type_ids === undefined ? {} : { tokenTypeIds: batch.token_type_ids }),
    labels: batch.labels,
  } as never);
  const file = await openSafetensors(join(folderOf(name), "expected.safetensors"));
  const expected = await file.readFloat32("logits");
  await file.close();
  const places = batch.attention_mask.flat();
  const width = expected.length / places.length;
  const isToken = (i: number) => typeof batch.labels[0] === "number" || places[Math.floor(i / width)] === 1;
  const counted = (values: Float32Array) => Array.from(values).filter((_, i) => isToken(i));
  near(counted(logits), counted(expected), ROUNDING, `logits of ${name}`);
  near([loss!], [batch.loss], ROUNDING, `loss of ${name}`);
}

async function configOf(dir: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(dir, "config.json"), "utf8")) as Record<string, unknown>;
}

let folders = 0;

/** A copy of a golden folder with other settings. */
async function changed(name: string, settings: object): Promise<string> {
  const dir = join(scratch, `changed-${folders++}`);
  await cp(folderOf(name), dir, { recursive: true });
  await writeFile(join(dir, "config.json"), JSON.stringify({ ...(await configOf(dir)), ...settings }));
  return dir;
}

/**
 * A copy with tensors under other names.
 * @param nameOf undefined leaves one out
 * @param more further ones: shapes of zeros, or names of those that they are like
 */
async function renamed(
  name: string,
  nameOf: (tensor: string) => string | undefined,
  more: Readonly<Record<string, readonly number[] | string>> = {},
): Promise<string> {
  const dir = await changed(name, {});
  const file = await openSafetensors(join(folderOf(name), "model.safetensors"));
  const tensors = [];
  for (const [tensor, { shape }] of file.tensors) {
    const data = encodeFloat32("F32", await file.readFloat32(tensor));
    const renamedTo = nameOf(tensor);
    if (renamedTo !== undefined)
      tensors.push({ name: renamedTo, dtype: "F32" as const, shape, data: async () => data });
  }
  for (const [tensor, like] of Object.entries(more)) {
    const shape = typeof like === "string" ? file.tensors.get(like)!.shape : like;
    const values =
      typeof like === "string" ? await file.readFloat32(like) : new Float32Array(shape.reduce((a, b) => a * b, 1));
    tensors.push({ name: tensor, dtype: "F32" as const, shape, data: async () => encodeFloat32("F32", values) });
  }
  await file.close();
  await writeSafetensors(join(dir, "model.safetensors"), tensors);
  return dir;
}

/** Of the largest element. */
function near(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(got.length, expected.length, `${what}: number of elements`);
  const largest = Math.max(...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(got[i]! - expected[i]!) / largest;
    assert.ok(error <= tolerance, `${what}[${i}]: ${got[i]} instead of ${expected[i]}, off by ${error}`);
  }
}
