import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runScript } from "./scratch.ts";

const EMPTY = "export {};\n";

/** A tree in which every import is allowed. */
const GOOD: Record<string, string> = {
  "src/errors.ts": EMPTY,
  "src/ir/op.ts": `import type { Graph } from "./graph.ts";\nimport "../errors.ts";\n`,
  "src/ir/graph.ts": `import { a } from "./op.ts";\n// import "../train/trainer.ts";\n`,
  "src/onnx/model.ts": `import "../ir/op.ts";\n`,
  "src/formats/safetensors/reader.ts": `import "node:fs";\nimport "../../errors.ts";\n`,
  "src/formats/peft.ts": `import "../adapters/lora.ts";\nimport "./safetensors/reader.ts";\n`,
  "src/runtime/runtime.ts": `import "../ir/op.ts";\nimport "../formats/safetensors/reader.ts";\n`,
  "src/runtime/ort-node.ts": `import "node:fs";\nimport "onnxruntime-node";\nimport "../onnx/model.ts";\n`,
  "src/runtime/node/worker.ts": `import "node:worker_threads";\n`,
  "src/nn/linear.ts": `import "../ir/op.ts";\n`,
  "src/adapters/lora.ts": `import "../nn/linear.ts";\n`,
  "src/data/cifar10.ts": `import "node:fs";\n`,
  "src/train/trainer.ts": `import "../formats/peft.ts";\nimport "../data/cifar10.ts";\nimport "../runtime/runtime.ts";\n`,
  "src/server/http.ts": `import "../train/trainer.ts";\n`,
  "src/cli/main.ts": `import "../server/http.ts";\nimport "../formats/peft.ts";\n`,
  "src/testing/describe-op.ts": `import "../runtime/runtime.ts";\n`,
  "src/index.ts": `export * from "./train/trainer.ts";\n`,
  "test/op.test.ts": `import "../src/testing/describe-op.ts";\nimport "../src/cli/main.ts";\nimport "../scripts/a.ts";\n`,
  "bench/main.ts": `import "../src/index.ts";\n`,
  "scripts/a.ts": EMPTY,
};

function check(files: Record<string, string>): { status: number | null; lines: string[] } {
  return runScript("check-imports", { ...GOOD, ...files });
}

function assertReports(files: Record<string, string>, ...expected: string[]): void {
  const { status, lines } = check(files);
  assert.deepEqual(lines.slice(0, -1), expected);
  assert.equal(status, 1);
}

describe("check-imports", () => {
  it("says nothing about imports that go the right way", () => {
    const { status, lines } = check({});
    assert.deepEqual(lines, [""]);
    assert.equal(status, 0);
  });

  it("reports the file and the line of an import against the direction, for types and dynamic imports too", () => {
    assertReports(
      {
        "src/ir/op.ts": `import "../errors.ts";\n\nimport "../nn/linear.ts";\n`,
        "src/nn/linear.ts": `import type { Model } from "../onnx/model.ts";\n`,
        "src/onnx/model.ts": `const later = import("../runtime/runtime.ts");\n`,
        "src/data/cifar10.ts": `export { x } from "../ir/op.ts";\n`,
      },
      "src/data/cifar10.ts:1: data may not import ir (src/ir/op.ts)",
      "src/ir/op.ts:3: ir may not import nn (src/nn/linear.ts)",
      "src/nn/linear.ts:1: nn may not import onnx (src/onnx/model.ts)",
      "src/onnx/model.ts:1: onnx may not import runtime (src/runtime/runtime.ts)",
    );
  });

  it("tells formats/safetensors, at the bottom, from the other formats, above adapters", () => {
    assertReports(
      {
        "src/formats/safetensors/reader.ts": `import "../../ir/op.ts";\n`,
        "src/runtime/runtime.ts": `import "../formats/safetensors/reader.ts";\nimport type { P } from "../formats/peft.ts";\n`,
      },
      "src/formats/safetensors/reader.ts:1: formats/safetensors may not import ir (src/ir/op.ts)",
      "src/runtime/runtime.ts:2: runtime may not import formats (src/formats/peft.ts)",
    );
  });

  it("keeps cli, server, testing and the world outside src out of the library", () => {
    assertReports(
      {
        "src/formats/peft.ts": ["cli/main", "server/http", "testing/describe-op"]
          .map((path) => `import type { X } from "../${path}.ts";\n`)
          .join(""),
        "src/train/trainer.ts": `import type { X } from "../../bench/main.ts";\n`,
      },
      "src/formats/peft.ts:1: formats may not import cli (src/cli/main.ts)",
      "src/formats/peft.ts:2: formats may not import server (src/server/http.ts)",
      "src/formats/peft.ts:3: formats may not import testing (src/testing/describe-op.ts)",
      "src/train/trainer.ts:1: train may not import bench (bench/main.ts)",
    );
  });

  it("keeps Node out of what runs in a browser", () => {
    assertReports(
      {
        "src/adapters/lora.ts": `import { join } from "path";\n`,
        "src/ir/op.ts": `import "node:fs";\nimport "left-pad";\n`,
        "src/runtime/runtime.ts": `import "node:os";\nimport "onnxruntime-node";\nimport "onnxruntime-common";\n`,
      },
      `src/adapters/lora.ts:1: adapters runs anywhere and may not import "path"`,
      `src/ir/op.ts:1: ir runs anywhere and may not import "node:fs"`,
      `src/ir/op.ts:2: ir runs anywhere and may not import "left-pad"`,
      `src/runtime/runtime.ts:1: only runtime/node/ and *-node.ts may import "node:os" here`,
      `src/runtime/runtime.ts:2: only runtime/node/ and *-node.ts may import "onnxruntime-node" here`,
    );
  });

  it("reports a cycle once, with its files, and takes types for none", () => {
    assertReports(
      {
        "src/train/a.ts": `import { b } from "./b.ts";\n`,
        "src/train/b.ts": `import { c } from "./c.ts";\n`,
        "src/train/c.ts": `\nexport { a } from "./a.ts";\n`,
      },
      "src/train/c.ts:2: import cycle: src/train/a.ts -> src/train/b.ts -> src/train/c.ts -> src/train/a.ts",
    );
  });

  it("reports default exports, files called utils.ts, files that no row owns and files that do not exist", () => {
    assertReports(
      {
        "src/nn/utils.ts": `\nexport default function linear() {}\n`,
        "src/misc/thing.ts": EMPTY,
        "test/op.test.ts": `import "../src/ir/nothing.ts";\n`,
      },
      "src/misc/thing.ts:1: this folder has no row in MAY_IMPORT of scripts/check-imports.ts",
      "src/nn/utils.ts:1: a file is named after its subject, not utils.ts",
      "src/nn/utils.ts:2: no default exports: export it by its name",
      `test/op.test.ts:1: "../src/ir/nothing.ts" is not a file of the repository`,
    );
  });
});
