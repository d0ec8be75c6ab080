/**
 * The WebGPU device, on SwiftShader where there is no GPU. Every scenario runs in a process of its own: the Vulkan driver
 * is chosen when a process starts, and how the process ends is a part of what is tested.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { OPS } from "../../src/ir/ops/index.ts";
import { swiftShaderEnvironment } from "../../src/testing/swiftshader.ts";

const SCENARIOS = fileURLToPath(new URL("./webgpu-scenarios.js", import.meta.url));
const LIMIT_MS = 180_000;

type Numbers = Record<string, number[]>;

interface Ended {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

const folder = mkdtempSync(join(tmpdir(), "lowrank-webgpu-"));
after(() => rmSync(folder, { recursive: true }));

function run(name: string, argument: string, environment: Readonly<Record<string, string>>): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCENARIOS, name, argument], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
    timeout: LIMIT_MS,
  });
  return { status, output: stdout.trim(), errors: stderr };
}

/** The result of a scenario. Its process must end by itself, with status 0 and without a word on stderr. */
function resultOf(name: string): unknown {
  const { status, output, errors } = run(name, folder, gpu);
  assert.equal(status, 0, `"${name}" ended with ${status}: ${output} ${errors}`);
  assert.equal(errors, "");
  return JSON.parse(output.split("\n").at(-1)!);
}

const gpu = swiftShaderEnvironment();
const probe = run("probe", folder, gpu);
const missing = probe.errors.includes("the engine finds no GPU") && "the engine finds neither a GPU nor SwiftShader";

it("docs/webgpu.md lists every operation", () => {
  const text = readFileSync(new URL("../../../docs/webgpu.md", import.meta.url), "utf8");
  const listed = [...text.matchAll(/^\| `(\w+)` +\|/gm)].map((match) => match[1]!);
  assert.deepEqual(
    listed,
    OPS.map(({ name }) => name),
    "make the table again: node dist/scripts/webgpu-support.js",
  );
});

describe("webgpu", { skip: missing }, () => {
  for (const [name, title] of [
    ["full", "trains every parameter with Adam and clipping"],
    ["lora", "trains LoRA with dropout on a base in a safetensors file"],
    ["conv", "trains LoRA on a convolution"],
  ] as const) {
    it(`${title}: the same losses and parameters as on the CPU`, () => {
      const { cpu, webgpu } = resultOf(name) as { cpu: Numbers; webgpu: Numbers };
      assert.equal(cpu["loss"]!.length, 10);
      // Sums in another order differ by about 1e-7 of their largest term. Adam divides by the size of the gradient, so
      // that each of the ten steps passes this on relative to the learning rate of 0.01, and to the gradient's own
      // size where its terms cancel: up to a hundred times as much.
      close(webgpu, cpu, 1e-5);
    });
  }

  it("attends as the CPU does, forwards and backwards, for sizes that are known by name only", () => {
    const { cpu, webgpu } = resultOf("attention") as { cpu: Numbers; webgpu: Numbers };
    assert.equal(Object.keys(cpu).length, 16);
    // A chain of six products and two normalisations, each with 1e-7 of its largest term.
    close(webgpu, cpu, 3e-6);
  });

  it("writes, maps, reads and frees states, and keeps them when the graph that made them goes", () => {
    const six = (value: number) => Array<number>(6).fill(value);
    const { found, refused } = resultOf("states") as { found: Numbers; refused: string[] };
    assert.deepEqual(found, {
      written: six(1),
      "a after 1 run": six(11),
      "b after 1 run": six(1),
      "a after 2 runs": six(12),
      "b after 2 runs": six(11),
      "a after 3 runs": six(23),
      "a, written and run": six(112),
      "a, mapped": six(1),
      "a, mapped and run": six(101),
      "3 times frozen": six(3),
      "a, paged and run twice": six(3),
      "b after that": six(2),
      "a in the file": six(3),
    });
    assert.deepEqual(refused, [
      "a: the state does not fit the graph: got float32[3, 2], expected float32[2, 3]",
      "a: there is no such state",
      "a: there is no such state",
      "flag: a GPU holds no states of this type: got bool, expected float32, float16, int32, uint32\n" +
        '  hint: use another type, a feed instead of a state, or the device "cpu"',
    ]);
  });

  it("moves a state to the GPU once, and never back", () => {
    const step = "w gpu-buffer, m gpu-buffer, x cpu";
    assert.deepEqual((resultOf("resident") as string[]).map(sorted), ["x cpu", "x cpu", step, step, step].map(sorted));
  });

  it("frees the buffers that it replaces", () => {
    const megabytes = resultOf("memory") as number;
    // 60 buffers of 16 MiB have been replaced; a few may be kept for the next one. (A real GPU has its own memory.)
    assert.ok(megabytes < 200, `the process grew by ${megabytes} MiB`);
  });

  it("names the operations that have no kernel, and runs nothing on the CPU instead", () => {
    assert.equal(
      resultOf("unsupported"),
      "webgpu: 1 operation of the graph has no kernel: " +
        "got add(int64[B, 5], int64[B, 5]) in layers.0 and 1 more place\n" +
        '  hint: use int32 instead of int64, or the device "cpu"; docs/webgpu.md lists what runs where',
    );
  });

  it("names the node that fails in a run, and goes on with the states as they were", () => {
    const { message, w } = resultOf("failing") as { message: string; w: number[] };
    assert.match(message, /^head\/logSoftmax.*: ReduceMax failed in the engine: got /);
    assert.doesNotMatch(message, /\.cc|\.h:/);
    assert.deepEqual(w, [3, 3]);
  });

  it("answers with an EngineError once it is disposed", () => {
    assert.deepEqual(resultOf("disposed"), [
      "this executable has been disposed",
      ...Array<string>(6).fill("the device has been disposed"),
    ]);
  });

  it("lets the process end when nothing has been disposed", () => assert.equal(resultOf("abandoned"), "done"));

  it("keeps the exit status when the process ends in the middle of a run", () =>
    assert.deepEqual(run("exit in a run", "webgpu", gpu), { status: 7, output: "", errors: "" }));
});

it("keeps the exit status when the process ends in the middle of a run on the CPU", () =>
  assert.deepEqual(run("exit in a run", "cpu", {}), { status: 7, output: "", errors: "" }));

it("says what to do where there is no GPU", { skip: process.platform !== "linux" && "needs Vulkan" }, () => {
  const none = join(folder, "none.json");
  const { status, errors } = run("probe", folder, { VK_DRIVER_FILES: none, VK_ICD_FILENAMES: none });
  assert.equal(status, 1);
  assert.match(errors, /EngineError: webgpu: the engine finds no GPU\n {2}hint: install a Vulkan driver/);
});

/** @param tolerance of the largest number of a tensor */
function close(got: Numbers, expected: Numbers, tolerance: number): void {
  assert.deepEqual(Object.keys(got), Object.keys(expected));
  for (const [name, values] of Object.entries(expected)) {
    const largest = Math.max(...values.map(Math.abs));
    assert.ok(Number.isFinite(largest) && largest > 0, `${name} says nothing`);
    values.forEach((value, i) => {
      const error = Math.abs(got[name]![i]! - value) / largest;
      assert.ok(error <= tolerance, `${name}[${i}]: ${got[name]![i]} instead of ${value}, of at most ${largest}`);
    });
  }
}

function sorted(list: string): string {
  return list.split(", ").toSorted().join(", ");
}
