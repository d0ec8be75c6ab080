/** Paged optimizer states: the same numbers as without, to the bit, in as little memory as was asked for. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Adapter, adapterHook, attach } from "../../src/adapters/adapter.ts";
import { initializeAdapter } from "../../src/adapters/initialize.ts";
import { lora } from "../../src/adapters/lora.ts";
import type { Method } from "../../src/adapters/method.ts";
import { ConfigError, EngineError } from "../../src/errors.ts";
import { Graph } from "../../src/ir/graph.ts";
import { add, mul, reduceSum, scalar } from "../../src/ir/ops/index.ts";
import { shapeOf } from "../../src/ir/shape.ts";
import { supervisedRows } from "../../src/lm/rows.ts";
import { decoder } from "../../src/models/decoder.ts";
import type { ParameterSpec } from "../../src/nn/module.ts";
import { adamw } from "../../src/optim/adam.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { initializeParameters } from "../../src/parameters.ts";
import { Random } from "../../src/random.ts";
import { ortDevice } from "../../src/runtime/node/device-node.ts";
import { lmGraphs, pagingOf } from "../../src/train/lm-graphs.ts";
import { LmStepper, type LmStepperState } from "../../src/train/lm-stepper.ts";
import { decays } from "../../src/train/optimizers.ts";
import { connected, updateGroups } from "../../src/train/update-groups.ts";
import { temporaryFolder } from "./run/temporary-folder.ts";

const STEPS = 3;
const TOKENS = 12;

interface Case {
  /** Default: 97. */
  readonly vocabSize?: number;
  /** Trained instead of the model. */
  readonly method?: Method<object>;
  readonly optimizers: readonly Optimizer[];
  readonly optimizerOf?: (spec: ParameterSpec) => Optimizer;
  readonly rateOf?: (spec: ParameterSpec) => number;
}

interface RunOptions {
  readonly budget?: number;
  readonly pageBytes?: number;
  readonly folder: string;
  readonly steps?: number;
  readonly resume?: { readonly state: LmStepperState; readonly parameters: ReadonlyMap<string, Float32Array> };
}

/** Widths of heads, MLP and model all differ, so that no two kinds of weights have the same shape. */
function rigOf({ vocabSize = 97, method, optimizers, optimizerOf, rateOf }: Case) {
  const model = decoder({
    modelType: "qwen2",
    vocabSize,
    hiddenSize: 32,
    intermediateSize: 80,
    blocks: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    normEpsilon: 1e-6,
    rope: { theta: 1e4 },
    maxPositions: TOKENS,
    tied: true,
    qkvBias: true,
    outputBias: false,
    mlpBias: false,
    qkNorm: false,
    window: () => undefined,
    initializerRange: 0.2,
  });
  const adapters: Adapter[] =
    method === undefined
      ? []
      : [attach(model, method, { targetModules: ["q_proj", "down_proj"], config: { r: 4, alpha: 10 } })];
  const trained = method === undefined ? model.parameters : adapters[0]!.parameters;
  const random = new Random(5, 0);
  const batches = Array.from({ length: 2 }, () => {
    const inputIds = Int32Array.from({ length: TOKENS }, () => random.integer(vocabSize));
    return supervisedRows([{ inputIds, labels: inputIds.slice().fill(-100, 0, 3) }], 0);
  });
  const graphsOf = (budget?: number, pageBytes?: number) =>
    lmGraphs({
      model,
      trained,
      stateOf: (name) => model.tied[name] ?? name,
      ...(adapters.length === 0 ? {} : { adapt: (seed) => adapterHook(adapters, { seed }) }),
      adapters,
      optimizerOf: optimizerOf ?? (() => optimizers[0]!),
      ...(rateOf === undefined ? {} : { rateOf }),
      chunks: 1,
      checkpoint: false,
      typicalSizes: { B: 1, T: TOKENS, C: 9 },
      ...(budget === undefined ? {} : { optimizerBudget: budget }),
      ...(pageBytes === undefined ? {} : { pageBytes }),
    });
  const run = async ({ budget, pageBytes, folder, steps = STEPS, resume }: RunOptions) => {
    const device = await ortDevice({ threads: 1 });
    try {
      await initializeParameters(device, model.parameters, 1);
      const noise = new Random(6, 0);
      for (const adapter of adapters) {
        await initializeAdapter(device, adapter, 2);
        // B of zeros would make every gradient of A zero.
        for (const { name, shape } of adapter.parameters) {
          const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.1 * noise.normal());
          await device.write(name, { dtype: "float32", shape, data });
        }
      }
      for (const { name, shape } of resume === undefined ? [] : trained) {
        await device.write(name, { dtype: "float32", shape, data: resume!.parameters.get(name)! });
      }
      const graphs = graphsOf(budget, pageBytes);
      const stepper = await LmStepper.create(device, graphs, {
        model,
        optimizers,
        chunks: 1,
        maxGradNorm: 0.5,
        seed: 3,
        compile: { typicalSizes: { B: 1, T: TOKENS, C: 9 } },
        adapters,
        pagesFolder: folder,
        ...(resume === undefined ? {} : { resume: resume.state }),
      });
      const results = [];
      for (let i = 0; i < steps; i++)
        results.push(await stepper.step(batches, 0.02 / (1 + i + (resume?.state.steps ?? 0))));
      const parameters = new Map<string, Float32Array>();
      for (const { name } of trained) {
        parameters.set(name, Float32Array.from((await device.read(name)).data as Float32Array));
      }
      const { slots: lazy, ...rest } = stepper.state();
      const slots: [string, Float32Array][] = [];
      for (const [name, slot] of lazy) slots.push([name, Float32Array.from((await slot.read()).data as Float32Array)]);
      const shapes = new Map(graphs.slots.map(({ name, shape }) => [name, shape]));
      const state: LmStepperState = {
        ...rest,
        slots: new Map(
          slots.map(([name, data]) => {
            const shape = shapes.get(name)!;
            return [name, { shape, read: async () => ({ dtype: "float32", shape, data }) }];
          }),
        ),
      };
      const files = await readdir(folder);
      await stepper.dispose();
      const freed = await device.read(graphs.slots.at(-1)?.name ?? "none").then(
        () => false,
        () => true,
      );
      return {
        results,
        parameters,
        slots: new Map(slots.toSorted(([a], [b]) => (a < b ? -1 : 1))),
        state,
        files,
        freed,
        groups: graphs.updates.length,
      };
    } finally {
      await device.dispose();
    }
  };
  return { graphsOf, run };
}

const DECAYING = adamw({ weightDecay: 0.1 });
const PLAIN = adamw({ weightDecay: 0 });

/** Every gradient is scaled by the parameters of the layer as they were before the step, those of A and of B. */
const entangled: Method<object> = {
  ...lora,
  gradient: ({ gradient, parameters }) =>
    mul(
      gradient,
      Object.values(parameters)
        .map((value) => reduceSum(mul(value, value)))
        .reduce(add),
    ),
};

const CASES: Record<string, Case> = {
  "AdamW, every weight, two kinds of decay": {
    optimizers: [DECAYING, PLAIN],
    optimizerOf: (spec) => (decays(spec) ? DECAYING : PLAIN),
  },
  "AdamW, a table that is updated in tiles": { vocabSize: 8201, optimizers: [DECAYING] },
  "LoRA with another rate for B": {
    method: lora,
    optimizers: [DECAYING],
    rateOf: ({ name }) => (name.includes("lora_B") ? 16 : 1),
  },
  "gradients that are made of other parameters": { method: entangled, optimizers: [DECAYING] },
  "SGD with momentum": { optimizers: [sgd({ momentum: 0.9, weightDecay: 0.01 })] },
};

suite("steps with and without paging are the same", () => {
  for (const [name, one] of Object.entries(CASES)) {
    test(name, async (context) => {
      const folder = await temporaryFolder(context);
      const rig = rigOf(one);
      const { resident: all } = pagingOf(rig.graphsOf());
      const whole = await rig.run({ folder });
      assert.equal(whole.groups, 1);
      assert.ok([...whole.slots.values()].every((data) => data.some((value) => value !== 0)));
      assert.ok(new Set(whole.results.map(({ loss }) => loss)).size === STEPS);
      for (const [budget, pageBytes] of [
        [0, 1],
        [0, all],
        [Math.floor(all / 2), 1 << 12],
      ] as const) {
        const paged = await rig.run({ budget, pageBytes, folder });
        const what = `budget ${budget}, pages ${pageBytes}`;
        assert.ok(pageBytes === all ? paged.groups === 1 : paged.groups > 1, `${what}: ${paged.groups} groups`);
        assert.deepEqual(paged.results, whole.results, what);
        assert.deepEqual(paged.parameters, whole.parameters, what);
        assert.deepEqual(paged.slots, whole.slots, what);
        assert.deepEqual(paged.files, [], "the file has no name while it is used");
        assert.ok(paged.freed, "paged states are freed with the stepper");
      }
    });
  }

  test("a run goes on with another budget", async (context) => {
    const folder = await temporaryFolder(context);
    const rig = rigOf(CASES["AdamW, every weight, two kinds of decay"]!);
    const { resident: all } = pagingOf(rig.graphsOf());
    const whole = await rig.run({ folder });
    for (const [first, second] of [
      [Infinity, 0],
      [0, Infinity],
      [Math.floor(all / 2), Math.floor(all / 5)],
    ] as const) {
      const begun = await rig.run({ folder, budget: first, pageBytes: 1 << 12, steps: 1 });
      const ended = await rig.run({ folder, budget: second, pageBytes: 1 << 13, steps: STEPS - 1, resume: begun });
      assert.deepEqual([...begun.results, ...ended.results], whole.results);
      assert.deepEqual(ended.parameters, whole.parameters);
      assert.deepEqual(ended.slots, whole.slots);
    }
  });
});

suite("groups of an update", () => {
  test("the budget is kept, and so is the size of a page", () => {
    const rig = rigOf(CASES["AdamW, every weight, two kinds of decay"]!);
    const { resident: all } = pagingOf(rig.graphsOf());
    for (const budget of [0, 1, all / 7, all / 2, all - 1]) {
      const graphs = rig.graphsOf(budget, 1 << 12);
      const { resident, paged, atOnce } = pagingOf(graphs);
      const largest = Math.max(...rig.graphsOf().slots.map(({ shape }) => 8 * shape.reduce((a, b) => a * b, 1)));
      assert.ok(resident <= budget, `${resident} of ${budget}`);
      assert.equal(resident + paged, all);
      assert.ok(atOnce <= Math.max(largest, 1 << 12), `${atOnce} at once, ${largest} the largest`);
      const bytes = (wanted: boolean) =>
        graphs.slots
          .filter((slot) => slot.paged === wanted)
          .reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
      assert.deepEqual([bytes(false), bytes(true)], [resident, paged]);
    }
    assert.deepEqual(pagingOf(rig.graphsOf(all)), { resident: all, paged: 0, atOnce: 0 });
    assert.equal(rig.graphsOf(all).updates.length, 1);
  });

  test("one that does not fit is passed over, and small ones go together", () => {
    const units = [3, 9, 2, 4, 5, 1].map((bytes) => ({ members: [bytes], bytes }));
    assert.deepEqual(
      updateGroups(units, 6, 5).map(({ members, paged }) => [paged, ...members]),
      [
        [false, 3, 2, 1],
        [true, 9],
        [true, 4, 5],
      ],
    );
    assert.deepEqual(updateGroups([], 0), []);
  });

  test("members that read each other stay together", () => {
    const reads: Record<string, string[]> = { a: ["a"], b: ["d"], c: [], d: ["e"], e: [] };
    assert.deepEqual(
      connected(Object.keys(reads), (name) => reads[name]!),
      [["a"], ["b", "d", "e"], ["c"]],
    );
    const apart = (name: string) => {
      const { updates } = rigOf(CASES[name]!).graphsOf(0, 1);
      const groupOf = (wanted: RegExp) =>
        updates.findIndex(({ graph }) => [...graph.updates.keys()].some((state) => wanted.test(state.name)));
      return [0, 1].map((block) => {
        const target = `${block}\\.self_attn\\.q_proj\\.lora_`;
        const [inA, inB] = ["A", "B"].map((matrix) => groupOf(new RegExp(`^[^/]*${target}${matrix}`)));
        assert.ok(inA! >= 0 && inB! >= 0);
        return inA !== inB;
      });
    };
    assert.deepEqual(apart("gradients that are made of other parameters"), [false, false]);
    assert.ok(apart("LoRA with another rate for B").includes(true));
  });
});

const CHILD = fileURLToPath(new URL("paged-optimizer-child.js", import.meta.url));

suite("the disk", () => {
  test("a folder that cannot be written to is said, with what was wanted of it", async (context) => {
    const folder = await temporaryFolder(context);
    const file = join(folder, "file");
    await writeFile(file, "");
    const rig = rigOf({ optimizers: [DECAYING] });
    await assert.rejects(rig.run({ budget: 0, folder: join(file, "below") }), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(error.message, /below: no room for [\d,]+ bytes of optimizer states that are paged: got ENOTDIR/);
      return true;
    });
    assert.deepEqual(await readdir(folder), ["file"]);
  });

  test("a process that is killed leaves nothing", async (context) => {
    const folder = await temporaryFolder(context);
    const child = spawn(process.execPath, [CHILD, folder], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
    assert.deepEqual(await readdir(folder), []);
  });

  test(
    "a disk that is too small is said before the first step, and nothing is left on it",
    { skip: process.platform === "win32" && "limits of file sizes are POSIX's" },
    async (context) => {
      const folder = await temporaryFolder(context);
      // Files of at most 64 KiB, of the 200 KiB that are needed.
      const limited = ["-c", `ulimit -f 128; exec "$0" "$@"`, process.execPath, CHILD, folder];
      const { status, stdout } = spawnSync("/bin/sh", limited, { encoding: "utf8" });
      assert.equal(status, 1);
      assert.match(stdout, /^ConfigError .*: no room for [\d,]+ bytes of optimizer states that are paged: got EFBIG/);
      assert.deepEqual(await readdir(folder), []);
    },
  );

  test("a step that could not be written is not gone on from", async (context) => {
    const folder = await temporaryFolder(context);
    const { status, stdout } = spawnSync(process.execPath, [CHILD, folder, "broken"], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
    const [first, second, third] = stdout.trim().split("\n");
    assert.match(first!, /^EngineError .*: the file is shorter than the states in it/);
    assert.match(second!, /^EngineError the last step failed after it had changed some of the parameters/);
    assert.match(third!, /^EngineError the last step failed/);
  });
});

test("a state in a file stays there: read, updated and written back by each run", async (context) => {
  const folder = await temporaryFolder(context);
  const path = join(folder, "states");
  const at = (values: readonly number[]) => Buffer.from(Float32Array.from(values).buffer);
  await writeFile(path, Buffer.concat([at([7]), at([1, 2, 3]), at([4, 5])]));
  const graph = new Graph();
  const a = graph.state("a", { dtype: "float32", shape: shapeOf([3]) });
  const b = graph.state("b", { dtype: "float32", shape: shapeOf([2]) });
  graph.update(a, add(a, scalar(graph, 10)));
  graph.output("sum", add(reduceSum(a), reduceSum(b)));
  const device = await ortDevice({ threads: 1 });
  try {
    await device.map("a", { dtype: "float32", shape: [3], path, byteOffset: 4, writable: true });
    await device.map("b", { dtype: "float32", shape: [2], path, byteOffset: 16, writable: true });
    const executable = await device.compile(graph, { frozen: ["b"] });
    assert.equal((await executable.run({})).sum!.data[0], 15);
    assert.equal((await executable.run({})).sum!.data[0], 45);
    assert.deepEqual([...(await device.read("a")).data], [21, 22, 23]);
    const file = await readFile(path);
    assert.deepEqual([...new Float32Array(file.buffer, file.byteOffset, 6)], [7, 21, 22, 23, 4, 5]);
    await device.write("a", { dtype: "float32", shape: [3], data: Float32Array.of(1, 1, 1) });
    assert.equal((await executable.run({})).sum!.data[0], 12);
    assert.equal((await readFile(path)).readFloatLE(4), 21, "written states are in memory");
    await device.free("b");
    await assert.rejects(executable.run({}), EngineError);
    await assert.rejects(
      device.map("c", { dtype: "float32", shape: [1], path: join(folder, "none"), byteOffset: 0, writable: true }),
      /none: cannot be opened for writing: got ENOENT/,
    );
  } finally {
    await device.dispose();
  }
});
