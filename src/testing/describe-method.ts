/**
 * The contract that every tuning method keeps, as tests: on linear layers and on convolutions, with every configuration
 * that is given.
 *
 * Blind spots that make a wrong program pass are kept out: parameters are perturbed where zeros would hide a mistake,
 * alpha must differ from r, and no two sizes of a model are equal.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Adapter, adapterHook, attach } from "../adapters/adapter.ts";
import type { Method, RankConfig } from "../adapters/method.ts";
import { configOn } from "../adapters/patterns.ts";
import { configure } from "../adapters/settings.ts";
import { ConfigError } from "../errors.ts";
import { Graph } from "../ir/graph.ts";
import { tanh } from "../ir/ops/tanh.ts";
import { dim } from "../ir/shape.ts";
import { conv2d } from "../nn/conv2d.ts";
import { countElements, type Layer } from "../nn/module.ts";
import { ortDevice } from "../runtime/node/device-node.ts";
import { type Bench, ROWS, targetsFor } from "./method-bench.ts";
import { checkConversion, checkFile, checkNames, checkResume } from "./method-files.ts";
import { checkGates } from "./method-gates.ts";
import { checkGradients } from "./method-gradients.ts";
import { checkMerge, checkNoMerge } from "./method-merging.ts";
import { checkRandomness } from "./method-randomness.ts";
import { batchOf, convRig, mlpRig, type Rig, tokenRig, tracingOf } from "./method-rig.ts";
import { checkOverfit, checkStart, checkStep, checkTraining } from "./method-training.ts";

const MODELS = ["mlp", "conv", "tokens"] as const;

export interface MethodCase<C extends object> {
  readonly name: string;
  readonly config: Partial<C>;
  /** What it can be put on. Default: everything, linear layers (`mlp`), convolutions (`conv`) and embeddings (`tokens`). */
  readonly models?: readonly (typeof MODELS)[number][];
  /** It starts as the base, where the method in general does not. */
  readonly startsAsBase?: true;
  /** Why it does not start as the base, where the method in general does. */
  readonly startsElsewhere?: string;
  /** Its file is that of an adapter of another shape, which computes the same but for rounding. */
  readonly converts?: true;
}

export interface MethodFacts<C extends object> {
  /**
   * Number of elements that the method adds to a layer: a formula that shares nothing with the method's code.
   * @param config that of the layer, with its own rank and alpha
   */
  readonly elements: (layer: Layer, config: C) => number;
  /** The same for what it adds to the model as a whole. Default: nothing. */
  readonly sharedElements?: (config: C) => number;
  /** What it can be put on, where a case does not say. Default: everything. */
  readonly models?: MethodCase<C>["models"];
  /** Part of the loss that twenty steps on four rows may leave. Default: 0.4. */
  readonly leaves?: number;
  /** Equal layers with equal parameters compute something else: numbers of their own are drawn for each. */
  readonly ownNumbers?: true;
  /** Why its gradients are not the derivatives of what it computes. */
  readonly notDerivatives?: string;
  /** Settings that PEFT's file cannot hold: how to start, how to compute. A file has to bring back all the others. */
  readonly notInFile: readonly (keyof C & string)[];
  /** Files are read as this method's, which computes the same: settings of how to train are gone then. Default: its own. */
  readonly readAs?: Method<object>;
  /** Adapters that PEFT has saved: folders of golden/peft by the model they are for. */
  readonly golden: readonly { readonly folder: string; readonly model: "mlp" | "conv" }[];
}

/** Declares the tests of a method. */
export function describeMethod<C extends object>(
  method: Method<C>,
  cases: readonly MethodCase<C>[],
  facts: MethodFacts<C>,
): void {
  describe(method.name, () => {
    const rigs = { mlp: mlpRig(tanh), conv: convRig([1, 0, 2, 1], tanh), tokens: tokenRig(tanh) };
    for (const tried of cases) {
      const { name, models = facts.models ?? MODELS } = tried;
      for (const model of models) {
        describe(`${name}, ${model}`, () => describeCase({ method, tried, rig: rigs[model], facts }));
      }
    }
    for (const { folder, model } of facts.golden) {
      it(`names and shapes its tensors as PEFT does: ${folder}`, () =>
        checkNames(method, model === "mlp" ? mlpRig() : convRig([1, 0]), golden(folder)));
    }
    it("works on a convolution in groups, or refuses it by name", () => checkGroups(method, cases[0]!.config));
  });
}

interface Trial<C extends object> {
  readonly method: Method<C>;
  readonly tried: MethodCase<C>;
  readonly rig: Rig;
  readonly facts: MethodFacts<C>;
}

function describeCase<C extends object>({ method, tried, rig, facts }: Trial<C>): void {
  const { config, startsAsBase, startsElsewhere = startsAsBase ? undefined : method.startsElsewhere } = tried;
  const complete = configure(method, config);
  const names = rig.model.layers.map((layer) => layer.name);
  const adapter = attach(rig.model, method, { ...targetsFor(method, names), config });
  const feeds = batchOf(rig, ROWS);
  const { readAs = method } = facts;
  let bench: Bench;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "lowrank-method-"));
    bench = {
      device: await ortDevice({ threads: 1 }),
      rig,
      adapter,
      x: feeds.x,
      feeds,
      notInFile: facts.notInFile,
      readAs,
    };
  });
  after(async () => {
    await bench.device.dispose();
    await rm(folder, { recursive: true });
  });

  const { r, alpha } = complete as Partial<RankConfig>;
  if (alpha !== undefined) it("is tried with a scale that is not 1", () => assert.notEqual(alpha, r));
  it("adds the parameters that its formula counts", () => {
    const expected = rig.model.layers.reduce(
      (sum, layer) => sum + facts.elements(layer, configOn(complete, layer.name)),
      facts.sharedElements?.(complete) ?? 0,
    );
    assert.equal(countElements(adapter.parameters), expected);
  });
  if (startsElsewhere === undefined) it("starts as the base, bit for bit", () => checkStart(bench));
  else it(`does not start as the base: ${startsElsewhere}`, () => assert.rejects(checkStart(bench)));
  it("trains its parameters and no others, and leaves the base as it was", () => checkTraining(bench));
  it("takes the interpreter's steps on the engine, which writes new states over the old ones", () => checkStep(bench));
  // Copies take the place of what they are copies of.
  if (method.merged === undefined && (method.forward !== undefined || method.sequence !== undefined)) {
    it(`cannot be merged, and says why`, () => checkNoMerge(bench));
  } else {
    it("computes the same when it is merged, and unmerging restores every bit", () => checkMerge(bench));
  }
  // Copies of parameters know no gates.
  if (adapter.copies.size === 0) {
    it("can be on or off for each row: a gate of 0 gives the base, bit for bit", () => checkGates(bench));
  }
  if (tried.converts === true) {
    it("computes the same after saving and loading, as another adapter", () => checkConversion(bench, folder));
  } else {
    it("computes the same after saving and loading, bit for bit", () => checkFile(bench, folder));
  }
  it("overfits one batch in 20 steps", () => checkOverfit(bench, facts.leaves ?? 0.4));
  it("goes on after a pause as if there had been none, bit for bit", () =>
    checkResume(bench, folder, tried.converts === true));
  it("is as random as it says: by seed, step and layer", () => checkRandomness(bench, facts));
  if (facts.notDerivatives === undefined) {
    it("has the gradients of central differences, and the engine's numbers are the interpreter's", () =>
      checkGradients(bench));
  } else {
    it(`has the interpreter's gradients on the engine; ${facts.notDerivatives}`, () => checkGradients(bench, false));
  }
}

async function checkGroups<C extends object>(method: Method<C>, config: Partial<C>): Promise<void> {
  const layer = conv2d("depthwise", 4, 6, [3, 2], { groups: 2 });
  let adapter: Adapter;
  try {
    adapter = attach({ ...layer, layers: [layer.layer] }, method, { ...targetsFor(method, ["depthwise"]), config });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, /depthwise/);
    assert.match(error.message, /2 groups/);
    return;
  }
  const graph = new Graph();
  const x = graph.feed("x", { dtype: "float32", shape: [dim("B"), dim(4), dim(5), dim(6)] });
  const tracing = { ...tracingOf(graph), adapt: adapterHook([adapter]) };
  assert.equal(layer.forward(tracing, x).type.shape[1]!.size, 6);
}

function golden(folder: string): string {
  return fileURLToPath(new URL(`../../../golden/peft/${folder}`, import.meta.url));
}
