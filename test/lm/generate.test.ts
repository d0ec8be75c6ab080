/** Generation: what it says, when it ends, and what it refuses. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { AutoModelForCausalLM, type CausalLMModel } from "../../src/lm/causal-lm-model.ts";
import { Conversation } from "../../src/lm/conversation.ts";
import type { GenerateInput } from "../../src/lm/generate-input.ts";
import { sharedData } from "../support/shared-data.ts";
import { goldenModel } from "./golden-model.ts";

const stories = sharedData("tinystories-656k");
const skip = existsSync(stories) ? false : `${stories} is absent`;

suite("generation of tinystories-656k", { skip }, () => {
  let model: CausalLMModel;
  let golden: { readonly prompt_ids: readonly number[]; readonly greedy_ids: readonly number[] };
  before(async () => {
    model = await AutoModelForCausalLM.fromPretrained(stories, { threads: 1 });
    golden = JSON.parse(readFileSync(join(stories, "golden_f64.json"), "utf8")) as typeof golden;
  });
  after(() => model.dispose());

  test("greedy, it says what it should", async () => {
    const maxNewTokens = golden.greedy_ids.length - golden.prompt_ids.length;
    const { sequences, rows } = await model.generate({ inputIds: [golden.prompt_ids], maxNewTokens });
    assert.deepEqual(sequences[0], golden.greedy_ids);
    assert.deepEqual(rows[0], golden.greedy_ids.slice(golden.prompt_ids.length));
  });

  test("ends with the stop token of its configuration", async () => {
    const { rows, reasons } = await model.generate({ inputIds: [golden.prompt_ids], maxNewTokens: 500 });
    assert.deepEqual(reasons, ["stop"]);
    assert.equal(rows[0]!.at(-1), 2);
    assert.equal(rows[0]!.indexOf(2), rows[0]!.length - 1);
  });

  test("ends where it is told that the context ends, and not where its positions do, which it rotates", async () => {
    const prompt = [...golden.greedy_ids, ...golden.prompt_ids];
    const free = { inputIds: [prompt], maxNewTokens: 520 - prompt.length, stopIds: [] };
    assert.deepEqual((await model.generate(free)).reasons, ["length"]);
    const { sequences, reasons } = await model.generate({ ...free, maxNewTokens: 1000, maxContext: 512 });
    assert.deepEqual(reasons, ["context"]);
    // The last token is predicted at the last position, and has none.
    assert.equal(sequences[0]!.length, 512 + 1);
  });
});

suite("generation", () => {
  let model: CausalLMModel;
  before(async () => {
    ({ model } = await goldenModel("qwen2-tied"));
  });
  after(() => model.dispose());

  const PROMPTS = [[5, 9, 31, 2, 17, 8], [40], [3, 3, 12]];
  const SAMPLE = { doSample: true, temperature: 1.5, topK: 0, maxNewTokens: 12 };

  test("is the likeliest token of the whole sequence, again and again", async () => {
    const { rows } = await model.generate({ inputIds: [PROMPTS[0]!], maxNewTokens: 10 });
    const ids = [...PROMPTS[0]!];
    for (const token of rows[0]!) {
      const { logits } = await model.forward({ inputIds: [ids] });
      const last = logits.subarray(-model.language.model.vocabSize);
      assert.equal(last.indexOf(Math.max(...last)), token);
      ids.push(token);
    }
    assert.equal(ids.length, PROMPTS[0]!.length + 10);
  });

  test("says in a batch what it says to each prompt alone", async () => {
    const together = await model.generate({ inputIds: PROMPTS, maxNewTokens: 8 });
    for (const [b, prompt] of PROMPTS.entries()) {
      const alone = await model.generate({ inputIds: [prompt], maxNewTokens: 8 });
      assert.deepEqual(together.rows[b], alone.rows[0]);
    }
  });

  test("reads a padded batch as the prompts in it", async () => {
    const plain = await model.generate({ inputIds: PROMPTS, maxNewTokens: 8 });
    const padded = await model.generate({
      inputIds: [PROMPTS[0]!, [0, 0, 0, 0, 0, 40], [3, 3, 12, 0, 0, 0]],
      attentionMask: [
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 1],
        [1, 1, 1, 0, 0, 0],
      ],
      maxNewTokens: 8,
    });
    assert.deepEqual(padded.sequences, plain.sequences);
  });

  test("draws the same for the same seed, and something else for another", async () => {
    const draw = async (seed: number) => (await model.generate({ inputIds: PROMPTS, ...SAMPLE, seed })).rows;
    const first = await draw(7);
    assert.deepEqual(await draw(7), first);
    assert.notDeepEqual(await draw(8), first);
    // Rows are drawn on their own: equal prompts need not go on alike.
    const [a, b] = (await model.generate({ inputIds: [[5], [5]], ...SAMPLE })).rows;
    assert.notDeepEqual(a, b);
  });

  test("a penalty counts the tokens of the prompt and of the answer", async () => {
    const { rows } = await model.generate({ inputIds: [PROMPTS[0]!], maxNewTokens: 20, repetitionPenalty: 1e6 });
    const all = [...PROMPTS[0]!, ...rows[0]!];
    assert.equal(new Set(all).size, all.length);
  });

  test("each row ends by itself", async () => {
    const free = await model.generate({ inputIds: PROMPTS, maxNewTokens: 9 });
    const stop = free.rows[1]![3]!;
    const seen: (number | undefined)[][] = [];
    const { rows, reasons } = await model.generate({
      inputIds: PROMPTS,
      maxNewTokens: 9,
      eosTokenId: stop,
      onToken: (tokens) => seen.push([...tokens]),
    });
    free.rows.forEach((row, b) => {
      const at = row.indexOf(stop);
      assert.deepEqual(rows[b], at < 0 ? row : row.slice(0, at + 1));
      assert.equal(reasons[b], at < 0 ? "length" : "stop");
      assert.deepEqual(
        seen.map((tokens) => tokens[b]).filter((token) => token !== undefined),
        rows[b],
      );
    });
    assert.ok(rows[1]!.length <= 4);
  });

  test("maxLength counts the prompt, and maxNewTokens goes before it", async () => {
    const lengthOf = async (options: Omit<GenerateInput, "inputIds">) =>
      (await model.generate({ inputIds: [PROMPTS[0]!], ...options })).sequences[0]!.length;
    assert.equal(await lengthOf({}), 6 + 20);
    assert.equal(await lengthOf({ maxLength: 10 }), 10);
    assert.equal(await lengthOf({ maxLength: 10, maxNewTokens: 9 }), 15);
    await assert.rejects(lengthOf({ maxLength: 6 }), /no room/);
  });

  test("stops when told to, with what it has", async () => {
    const controller = new AbortController();
    let count = 0;
    const onToken = () => {
      if (++count === 3) controller.abort();
    };
    const { rows, reasons } = await model.generate({
      inputIds: [PROMPTS[0]!],
      maxNewTokens: 50,
      signal: controller.signal,
      onToken,
    });
    assert.deepEqual([rows[0]!.length, reasons], [3, ["aborted"]]);
    const none = await model.generate({ inputIds: [PROMPTS[0]!], signal: controller.signal });
    assert.deepEqual([none.rows, none.reasons], [[[]], ["aborted"]]);
  });

  test("calls at the same time wait for each other", async () => {
    const options = { ...SAMPLE, maxNewTokens: 6 };
    const alone = [];
    for (const prompt of PROMPTS) alone.push((await model.generate({ inputIds: [prompt], ...options })).rows);
    const together = await Promise.all([
      ...PROMPTS.map((prompt) => model.generate({ inputIds: [prompt], ...options })),
      assert.rejects(model.generate({ inputIds: [[]] })),
      model.forward({ inputIds: [[1, 2, 3]] }),
    ]);
    assert.deepEqual(
      together.slice(0, 3).map((result) => (result as { rows: unknown }).rows),
      alone,
    );
  });

  test("one that fails does not keep others waiting", async () => {
    const onToken = () => {
      throw new Error("enough");
    };
    await assert.rejects(model.generate({ inputIds: PROMPTS, onToken }), /enough/);
    assert.equal((await model.generate({ inputIds: PROMPTS, maxNewTokens: 2 })).rows.length, 3);
  });

  const refused: readonly [what: string, input: GenerateInput, message: RegExp][] = [
    ["no prompts", { inputIds: [] }, /no tokens/],
    ["an empty prompt", { inputIds: [[1], []] }, /no tokens/],
    ["a prompt that is padding", { inputIds: [[1, 2]], attentionMask: [[0, 0]] }, /no tokens/],
    ["a token that is none", { inputIds: [[1, 43]] }, /no such token: got 43/],
    ["a mask of another shape", { inputIds: [[1, 2]], attentionMask: [[1]] }, /does not fit inputIds/],
    [
      "more tokens than positions",
      { inputIds: [Array<number>(65).fill(1)], maxContext: 64 },
      /65 tokens, expected at most 64/,
    ],
    ["no new tokens", { inputIds: [[1]], maxNewTokens: 0 }, /maxNewTokens/],
    ["a temperature of 0", { inputIds: [[1]], doSample: true, temperature: 0 }, /temperature is 0/],
  ];
  for (const [what, input, message] of refused) {
    test(`refuses ${what}`, () =>
      assert.rejects(model.generate(input), (error) => error instanceof ConfigError && message.test(error.message)));
  }
});

suite("a conversation", () => {
  let model: CausalLMModel;
  before(async () => {
    ({ model } = await goldenModel("llama-llama3-rope"));
  });
  after(() => model.dispose());

  const FIRST = [5, 9, 31, 2, 17, 8];
  const options = { maxNewTokens: 7 };
  const fresh = async (prompt: readonly number[]) =>
    (await model.generate({ inputIds: [prompt], ...options })).rows[0]!;

  test("computes what is new, and says the same", async () => {
    const conversation = new Conversation(model.language);
    const first = await conversation.generate(FIRST, [], options);
    assert.equal(first.reusedTokens, 0);
    assert.deepEqual(first.rows[0], await fresh(FIRST));

    // That was another generation: it had the cache.
    const prompt = [...FIRST, ...first.rows[0], 4, 4];
    const second = await conversation.generate(prompt, [], options);
    assert.equal(second.reusedTokens, 0);

    const third = await conversation.generate([...prompt, ...second.rows[0]!, 30, 1], [], options);
    // All but the last token of the answer, which nothing came after.
    assert.equal(third.reusedTokens, prompt.length + options.maxNewTokens - 1);

    const again = await conversation.generate([...prompt, ...second.rows[0]!, 30, 1], [], options);
    assert.equal(again.reusedTokens, prompt.length + options.maxNewTokens + 1);
    assert.deepEqual(again.rows, third.rows);

    const changed = [...FIRST, 1, 2];
    const other = await conversation.generate(changed, [], options);
    assert.equal(other.reusedTokens, FIRST.length);
    await conversation.forget();
    assert.deepEqual(other.rows[0], await fresh(changed));
    assert.deepEqual(third.rows[0], await fresh([...prompt, ...second.rows[0]!, 30, 1]));
    assert.equal((await conversation.generate(FIRST, [], options)).reusedTokens, 0);
    await conversation.forget();
  });

  test("goes on after an answer that was stopped, and after one that failed", async () => {
    const conversation = new Conversation(model.language);
    const controller = new AbortController();
    const stopped = await conversation.generate(FIRST, [], {
      ...options,
      signal: controller.signal,
      onToken: () => controller.abort(),
    });
    assert.deepEqual(stopped.reasons, ["aborted"]);
    const next = [...FIRST, ...stopped.rows[0]!, 3];
    const turn = await conversation.generate(next, [], options);
    assert.equal(turn.reusedTokens, FIRST.length);
    const onToken = () => {
      throw new Error("enough");
    };
    await assert.rejects(conversation.generate(next, [], { ...options, onToken }), /enough/);
    const after = await conversation.generate(next, [], options);
    assert.equal(after.reusedTokens, 0);
    assert.deepEqual(after.rows, turn.rows);
    await conversation.forget();
  });
});
