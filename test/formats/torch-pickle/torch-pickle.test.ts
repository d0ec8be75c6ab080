/** Files of torch.save against what torch reads from them (golden/make/torch_files.py), and files that mean harm. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { FormatError } from "../../../src/errors.ts";
import { loralibUpdate, openLoralib, openTorch, type TorchFile } from "../../../src/formats/torch-pickle/index.ts";
import { PickleDict, unpickle } from "../../../src/formats/torch-pickle/pickle.ts";
import { sharedData } from "../../support/shared-data.ts";
import {
  bytesOf,
  dict,
  type Part,
  fileOf,
  floats,
  int,
  legacy,
  little,
  tensor,
  text,
  torchZip,
  zip,
} from "./assemble.ts";

interface Facts {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly sha256: string;
}

const FOLDER = fileURLToPath(new URL("../../../../golden/torch-pickle/", import.meta.url));
const MANIFEST = JSON.parse(readFileSync(`${FOLDER}manifest.json`, "utf8")) as {
  readonly files: Readonly<Record<string, Readonly<Record<string, Facts>>>>;
  readonly "lora-roberta": Readonly<Record<string, Facts>>;
};
const DTYPES: Readonly<Record<string, string>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
  complex64: "C64",
};
const ROBERTA = sharedData("lora-roberta-base-mnli/roberta_base_lora_mnli.bin");

async function expectSame(file: TorchFile, want: Readonly<Record<string, Facts>>): Promise<void> {
  assert.deepEqual([...file.tensors.keys()], Object.keys(want));
  for (const [name, { shape, dtype, sha256 }] of Object.entries(want)) {
    const entry = file.tensors.get(name)!;
    assert.deepEqual([entry.shape, entry.dtype], [shape, DTYPES[dtype]], name);
    const bytes = await file.read(name);
    assert.equal(bytes.length, entry.byteLength);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
    const middle = Math.floor(bytes.length / 2);
    assert.deepEqual(await file.readRange(name, middle, bytes.length), bytes.slice(middle));
    const target = new Uint8Array(bytes.length);
    await file.readInto(name, target);
    assert.deepEqual(target, bytes);
  }
}

async function refused(bytes: Uint8Array, message: RegExp): Promise<void> {
  const path = await fileOf(bytes);
  await assert.rejects(
    async () => {
      const file = await openTorch(path);
      for (const name of file.tensors.keys()) await file.read(name);
    },
    (error: unknown) => {
      assert.ok(error instanceof FormatError, String(error));
      assert.match(error.message, message);
      assert.ok(error.message.includes(path), "it names the file");
      return true;
    },
  );
}

describe("files of torch.save", () => {
  for (const [name, tensors] of Object.entries(MANIFEST.files)) {
    it(`${name}: every tensor as torch reads it`, async () => {
      const file = await openTorch(FOLDER + name);
      await expectSame(file, tensors);
      await file.close();
    });
  }

  it("says what is there besides tensors, and where plain bytes are", async () => {
    const file = await openTorch(`${FOLDER}zip.pt`);
    for (const name of ["epoch", "name", "big", "rate", "none", "flags.0", "dtype"]) {
      assert.ok(file.others.includes(name), name);
    }
    const { byteOffset, byteLength } = file.tensors.get("float32")!;
    const bytes = await readFile(file.path);
    assert.deepEqual(
      new Uint8Array(bytes.subarray(byteOffset, byteOffset + byteLength)),
      new Uint8Array(await file.read("float32")),
    );
    assert.equal(file.tensors.get("transposed")!.byteOffset, -1);
    assert.equal((await openTorch(`${FOLDER}deflated.pt`)).tensors.get("float32")!.byteOffset, -1);
    await file.close();
  });

  it("reads floats of any width as float32, and nothing else", async () => {
    const file = await openTorch(`${FOLDER}zip.pt`);
    for (const name of ["float16", "bfloat16", "float64", "transposed"]) {
      assert.ok(
        (await file.readFloat32(name)).every((value) => Number.isFinite(value) && value !== 0),
        name,
      );
    }
    await assert.rejects(file.readFloat32("int64"), /cannot be read as float32.*I64/s);
    await assert.rejects(file.read("nothing"), /no such tensor/);
    await assert.rejects(file.readRange("float32", 0, 1e9), /not inside the tensor/);
    await assert.rejects(file.readInto("float32", new Uint8Array(3)), /another size/);
    await file.close();
  });

  it("reads the LoRA paper's adapter as torch does", { skip: !existsSync(ROBERTA) }, async () => {
    const file = await openTorch(ROBERTA);
    await expectSame(file, MANIFEST["lora-roberta"]);
    assert.equal(file.tensors.size, 52);
    await file.close();
  });
});

describe("adapters of loralib", () => {
  it("are pairs with a scaling; MergedLinear has parts", async () => {
    const adapter = await openLoralib(`${FOLDER}loralib.bin`, { alpha: 6 });
    assert.deepEqual(
      adapter.layers.map(({ name, shape, r, scaling }) => [name, shape, r, scaling]),
      [
        ["h.0.attn.query", [5, 6], 2, 3],
        ["h.0.c_attn[0]", [5, 6], 2, 3],
        ["h.0.c_attn[1]", [5, 6], 2, 3],
      ],
    );
    assert.deepEqual(adapter.others, ["classifier.weight"]);
    const file = await openTorch(`${FOLDER}loralib.bin`);
    const [A, B] = [await file.readFloat32("h.0.c_attn.lora_A"), await file.readFloat32("h.0.c_attn.lora_B")];
    // ΔW of the second part at [3, 4], by hand: rows 5 + 3 of B, rows 2 and 3 of A.
    const want = 3 * (B[8 * 2]! * A[2 * 6 + 4]! + B[8 * 2 + 1]! * A[3 * 6 + 4]!);
    const { data } = loralibUpdate(adapter.layers[2]!);
    assert.ok(Math.abs(data[3 * 6 + 4]! - want) < 1e-12);
    assert.equal((await openLoralib(`${FOLDER}loralib.bin`)).layers[0]!.scaling, 1);
    await file.close();
  });

  it("of the paper: 24 layers of rank 8, and a classifier", { skip: !existsSync(ROBERTA) }, async () => {
    const { layers, others } = await openLoralib(ROBERTA, { alpha: 16 });
    assert.equal(layers.length, 24);
    assert.ok(layers.every(({ r, shape, scaling }) => r === 8 && shape.join() === "768,768" && scaling === 2));
    assert.equal(others.length, 4);
    assert.equal(layers[0]!.name, "roberta.encoder.layer.0.attention.self.query");
  });

  it("names halves without the other, and such as do not fit", async () => {
    const named = (name: string, shape: readonly number[]) =>
      bytesOf(text(name), tensor({ shape, strides: shape.map((_, i) => (i === 0 ? shape[1]! : 1)) }));
    const file = (...parts: Uint8Array[]) => fileOf(torchZip(bytesOf([0x80, 2], "}(", ...parts, "u.")));
    await assert.rejects(openLoralib(await file(named("a.lora_A", [2, 3]))), /a\.lora_A without a\.lora_B/);
    await assert.rejects(
      openLoralib(await file(named("a.lora_A", [2, 3]), named("a.lora_B", [1, 6]))),
      /a: lora_A \[2, 3\] does not fit lora_B \[1, 6\]/,
    );
    await assert.rejects(openLoralib(await file(named("a.weight", [2, 3]))), /no adapter of loralib/);
  });
});

describe("files that mean harm", () => {
  it("an honest file by hand is read", async () => {
    for (const bytes of [torchZip(dict("w", tensor())), legacy(dict("w", tensor()))]) {
      const file = await openTorch(await fileOf(bytes));
      assert.deepEqual(await file.readFloat32("w"), Float32Array.of(0.5, 1.5, 2.5, 3.5, 4.5, 5.5));
      await file.close();
    }
  });

  it("calls of anything else are refused by name, and not made", async () => {
    for (const [module, name] of [
      ["os", "system"],
      ["posix", "system"],
      ["builtins", "eval"],
      ["__builtin__", "getattr"],
      ["torch", "load"],
      ["torch._utils", "_rebuild_qtensor"],
      ["torch.hub", "load"],
      ["collections", "OrderedDict.fromkeys"],
      ["subprocess", "Popen"],
      ["numpy.core.multiarray", "scalar"],
      ["constructor", "constructor"],
      ["torch", "constructor"],
      ["torch", "__proto__"],
    ]) {
      const call = bytesOf(`c${module}\n${name}\n(`, text("touch /tmp/never"), "tR");
      await refused(torchZip(dict("w", call)), new RegExp(`names something.*"${module}\\.${name}"`, "s"));
      await refused(legacy(dict("w", call)), new RegExp(`"${module}\\.${name}"`, "s"));
      const stacked = bytesOf(text(module!), text(name!), [0x93], ")R");
      await refused(torchZip(dict("w", stacked)), new RegExp(`"${module}\\.${name}"`, "s"));
    }
    await refused(torchZip(dict("w", "c__torch__.M\nM\n)R")), /TorchScript/);
  });

  it("classes, extensions and names by text are refused", async () => {
    for (const [code, name] of [
      [bytesOf("(ios\nsystem\n"), "INST"],
      [bytesOf("(cos\nsystem\no"), "os.system"],
      [bytesOf("ccollections\nOrderedDict\n)", [0x81]), "NEWOBJ"],
      [bytesOf([0x82, 1]), "EXT1"],
      [bytesOf("Pstorage\n"), "PERSID"],
      [bytesOf([0x97]), "NEXT_BUFFER"],
    ] as const) {
      await refused(torchZip(dict("w", code)), new RegExp(name));
    }
    // A state that is set on anything but a dict; a call of what is no name; an allowed name that is no function.
    await refused(torchZip(dict("w", bytesOf(tensor(), "}b"))), /sets the state/);
    await refused(torchZip(dict("w", bytesOf(text("os"), ")R"))), /calls what is no name/);
    await refused(torchZip(dict("w", "ctorch\nFloatStorage\n)R")), /no function.*FloatStorage/s);
  });

  it("cut at any byte, it says so", async () => {
    for (const whole of [torchZip(dict("w", tensor())), legacy(dict("w", tensor()))]) {
      for (let length = 0; length < whole.length; length += 7) await refused(whole.subarray(0, length), /./);
      await refused(whole.subarray(0, whole.length - 1), /./);
    }
    const pickle = dict("w", tensor());
    for (let length = 0; length < pickle.length; length++) await refused(torchZip(pickle.subarray(0, length)), /./);
  });

  it("with a byte changed, it is read or refused, and nothing else", async () => {
    for (const whole of [torchZip(dict("w", tensor())), legacy(dict("w", tensor()))]) {
      const path = await fileOf(whole);
      for (let at = 0; at < whole.length; at += 3) {
        const changed = Uint8Array.from(whole);
        changed[at]! ^= 0x41;
        await writeFile(path, changed);
        try {
          const file = await openTorch(path);
          for (const name of file.tensors.keys()) await file.read(name);
          await file.close();
        } catch (error) {
          assert.ok(error instanceof FormatError, `byte ${at}: ${String(error)}`);
        }
      }
    }
  });

  it("huge sizes allocate nothing", async () => {
    const huge = 2 ** 40;
    await refused(torchZip(dict("w", tensor({ shape: [huge, huge] }))), /shape cannot be/);
    await refused(torchZip(dict("w", tensor({ shape: [huge], strides: [1] }))), /leaves its array/);
    // A view that repeats its elements.
    await refused(torchZip(dict("w", tensor({ shape: [huge], strides: [0] }))), /more elements than its array/);
    await refused(torchZip(dict("w", tensor({ numel: huge }))), /another length than its pickle says/);
    await refused(torchZip(dict("w", tensor({ offset: 1 }))), /leaves its array/);
    await refused(torchZip(dict("w", tensor({ shape: [2], strides: [3, 1] }))), /numbers of sizes/);
    await refused(torchZip(dict("w", tensor({ storage: "Size" }))), /type that is none/);
    await refused(torchZip(dict("w", tensor({ key: "../0" }))), /array of a tensor is missing.*"\.\.\/0"/s);
    await refused(legacy(dict("w", tensor()), floats(6), huge), /more elements than the file has bytes/);
    await refused(legacy(dict("w", tensor()), floats(6), 7), /ended early/);
    await refused(legacy(dict("w", tensor()), floats(6), 5), /another length/);
    await refused(torchZip(dict("w", bytesOf("X", little(2 ** 31, 4)))), /ends early/);
    await refused(torchZip(dict("w", bytesOf([0x8d], little(2 ** 50, 8)))), /ends early/);
    await refused(torchZip(dict("w", bytesOf([0x8b], little(2 ** 30, 4)))), /too many bytes/);
    const pickle = dict("w", tensor());
    await refused(zip([{ name: "x/data.pkl", data: pickle, says: 2 ** 31 }]), /leave the archive|sound zip/);
    await refused(zip([{ name: "x/data.pkl", data: pickle, says: 2 ** 31, method: 8 }]), /too long/);
  });

  it("memos, depth and numbers of objects are bounded", async () => {
    await refused(torchZip(dict("w", bytesOf("j", little(5, 4)))), /memo that is not there/);
    const world = { global: fail, call: fail, persistent: fail };
    const many = bytesOf("(", new Uint8Array(2000).fill(0x7d), "t.");
    assert.throws(() => unpickle(many, world, "x", { containers: 1000 }), /too many objects/);
    assert.throws(() => unpickle(many, world, "x", { stack: 1000 }), /too many values/);
    // Each list holds the one before it ten times: 10^30 elements for whoever walks through them.
    const levels = Array.from({ length: 30 }, (_, i) =>
      bytesOf("](", ...Array.from({ length: 10 }, () => bytesOf("h", [i])), "eq", [i + 1]),
    );
    const laughs = bytesOf([0x80, 2], "(]q", [0], ...levels, "t.");
    const start = performance.now();
    const file = await openTorch(await fileOf(torchZip(laughs)));
    assert.ok(performance.now() - start < 5000);
    await file.close();
    const deep = bytesOf([0x80, 2], "]".repeat(5000), "a".repeat(4999), ".");
    await refused(torchZip(deep), /without an end/);
    const self = await openTorch(await fileOf(torchZip(bytesOf([0x80, 2], "]q", [0], "h", [0], "a."))));
    assert.equal(self.tensors.size, 0);
    await self.close();
    await refused(torchZip(dict("k".repeat(2000), tensor())), /names that are too long/);
    // One long list as the sizes of a tensor, or the items of many dicts.
    const long = bytesOf("](", "K\u0001".repeat(2000), "e");
    await refused(
      torchZip(dict("w", bytesOf("ctorch._utils\n_rebuild_tensor_v2\n(NK\u0000", long, long, "tR"))),
      /none/,
    );
  });

  it("a name like one of an object's own is a key and nothing more", async () => {
    const file = await openTorch(await fileOf(torchZip(dict("__proto__", tensor()))));
    assert.deepEqual([...file.tensors.keys()], ["__proto__"]);
    assert.equal(({} as { w?: unknown }).w, undefined);
    await file.close();
  });

  it("archives that leave their folder, are no PyTorch's, or say things twice are refused", async () => {
    const data = dict("w", tensor());
    const pickle = { name: "x/data.pkl", data };
    await refused(zip([pickle, { name: "../../etc/passwd", data }]), /sound zip.*relative path/s);
    await refused(zip([pickle, { name: "/etc/passwd", data }]), /sound zip.*absolute path/s);
    await refused(zip([pickle, pickle]), /there twice/);
    await refused(zip([pickle, { name: "y/data.pkl", data }]), /2 of data\.pkl/);
    await refused(zip([{ name: "word/document.xml", data }]), /not one of PyTorch/);
    await refused(zip([{ ...pickle, flags: 1 }]), /encrypted|sound zip/);
    await refused(zip([{ ...pickle, method: 12 }]), /method 12/);
    await refused(zip([{ ...pickle, method: 8, says: 4000 }]), /sound zip/);
    await refused(zip([pickle, { name: "x/byteorder", data: bytesOf("big") }]), /order that is not read.*big/s);
    await refused(
      legacy(dict("w", tensor()), floats(6), 6, bytesOf("}", text("little_endian"), [0x89], "s.")),
      /order that is not read/,
    );
  });

  it("other files are named for what they are not", async () => {
    await refused(bytesOf("{}"), /not a file of torch\.save/);
    await refused(bytesOf("GGUF", new Uint8Array(100)), /not a file of torch\.save/);
    await refused(bytesOf([0x80, 2], "M", little(7, 2), "."), /first number/);
    await refused(new Uint8Array(), /./);
    await assert.rejects(openTorch("/nowhere/file.bin"), FormatError);
  });
});

describe("the pickle machine", () => {
  const world = { global: fail, call: fail, persistent: fail };
  const value = (...parts: Part[]) => unpickle(bytesOf(...parts, "."), world, "x").value;

  it("reads what Python writes in any protocol", () => {
    assert.deepEqual(value("I-12\n"), -12);
    assert.deepEqual(value("I01\n"), true);
    assert.deepEqual(value("L123456789012345678901234567890L\n"), 123456789012345678901234567890n);
    assert.deepEqual(value([0x8a, 1, 0xff]), -1);
    assert.deepEqual(value([0x8a, 0]), 0);
    assert.deepEqual(value([0x8a, 2, 0x00, 0x80]), -32768);
    assert.deepEqual(value("J", [0xfe, 0xff, 0xff, 0xff]), -2);
    assert.deepEqual(value("F1.5\n"), 1.5);
    assert.deepEqual(value("G", [0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), 1.5);
    assert.deepEqual(value("S'abc'\n"), "abc");
    assert.deepEqual(value("U", [3], "abc"), "abc");
    assert.deepEqual(value("T", little(2, 4), "ab"), "ab");
    assert.deepEqual(value("Vabc\n"), "abc");
    assert.deepEqual(value("C", [2], "ab"), bytesOfPlain("ab"));
    assert.deepEqual(value("(K\u0001K\u0002t"), [1, 2]);
    assert.deepEqual(value("(lp0\nK\u0001aK\u0002a"), [1, 2]);
    assert.deepEqual(value("K\u0001K\u0002K\u0003", [0x87]), [1, 2, 3]);
    assert.deepEqual(value("(U", [1], "a", int(1), "d"), new PickleDict([["a", 1]]));
    assert.deepEqual(value("](K\u00012e"), [1, 1]);
    assert.deepEqual(value("](K\u0001K\u00020e"), [1]);
    assert.deepEqual(value("K\u0007(K\u0001K\u00021"), 7);
    assert.deepEqual(value([0x8f], "(K\u0001", [0x90]), [1]);
    assert.deepEqual(value([0x80, 5, 0x95, 2, 0, 0, 0, 0, 0, 0, 0], "N"), null);
  });

  it("says what is wrong with others", () => {
    assert.throws(() => value(""), /value that is not there/);
    assert.throws(() => value("NN"), /nothing uses/);
    assert.throws(() => value("(N"), /nothing uses/);
    assert.throws(() => value("t"), /mark that is not there/);
    assert.throws(() => value("(a"), /value that is not there/);
    assert.throws(() => value("NNa"), /no list/);
    assert.throws(() => value("NNNs"), /no dict/);
    assert.throws(() => value("}(Nu"), /key without a value/);
    assert.throws(() => value([0x80, 9]), /protocol/);
    assert.throws(() => value("Iabc\n"), /integer that is none/);
    assert.throws(() => value("S'a\\x41'\n"), /form that is not read/);
    assert.throws(() => value("Np-1\n"), /memo/);
    assert.throws(() => value([0x01]), /no pickle.*0x1/s);
  });
});

function fail(): never {
  throw new Error("nothing may be named here");
}

function bytesOfPlain(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
