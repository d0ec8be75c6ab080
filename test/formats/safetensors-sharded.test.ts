import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openCheckpoint } from "../../src/formats/safetensors/sharded.ts";
import { writeSharded } from "../../src/formats/safetensors/write-sharded.ts";
import { writeSafetensors } from "../../src/formats/safetensors/writer.ts";
import type { TensorToWrite } from "../../src/formats/safetensors/writer.ts";
import { failure, temporaryFolder, writeRaw } from "./safetensors-fixtures.ts";

const INDEX = "model.safetensors.index.json";
const SHARD_1 = "model-00001-of-00003.safetensors";
const SHARD_2 = "model-00002-of-00003.safetensors";
const SHARD_3 = "model-00003-of-00003.safetensors";

const tensor = (name: string, ...values: number[]): TensorToWrite => ({
  name,
  dtype: "F32",
  shape: [values.length],
  data: Float32Array.from(values),
});

/** 8 + 4 bytes, 16 bytes (more than a shard may have), 4 + 0 bytes. */
const TENSORS = [
  tensor("b", 1, 2),
  tensor("__proto__", 3),
  tensor("large", 4, 5, 6, 7),
  tensor("a", 8),
  tensor("none"),
];

async function shardedFolder(folder: string): Promise<string[]> {
  return writeSharded(folder, TENSORS, { maxShardBytes: 12, metadata: { format: "pt" } });
}

async function writeIndex(folder: string, weightMap: Record<string, string>): Promise<string> {
  return writeRaw(folder, INDEX, JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap }));
}

describe("writing shards", () => {
  test("names, index and order are those of Hugging Face", async (context) => {
    const folder = join(await temporaryFolder(context), "made", "here");
    assert.deepEqual(await shardedFolder(folder), [SHARD_1, SHARD_2, SHARD_3, INDEX]);
    assert.deepEqual((await readdir(folder)).sort(), [SHARD_1, SHARD_2, SHARD_3, INDEX]);
    assert.equal(
      await readFile(join(folder, INDEX), "utf8"),
      `{
  "metadata": {
    "total_size": 32
  },
  "weight_map": {
    "__proto__": "${SHARD_1}",
    "a": "${SHARD_3}",
    "b": "${SHARD_1}",
    "large": "${SHARD_2}",
    "none": "${SHARD_3}"
  }
}
`,
    );
  });

  test("one shard needs no index, and nothing of an earlier checkpoint stays", async (context) => {
    const folder = await temporaryFolder(context);
    await shardedFolder(folder);
    await writeFile(join(folder, "adapter_model.safetensors"), "");
    assert.deepEqual(await writeSharded(folder, TENSORS), ["model.safetensors"]);
    assert.deepEqual((await readdir(folder)).sort(), ["adapter_model.safetensors", "model.safetensors"]);
    await shardedFolder(folder);
    assert.ok(!existsSync(join(folder, "model.safetensors")), "a reader would take it for the checkpoint");
  });

  test("a failure in a later shard leaves the earlier checkpoint", async (context) => {
    const folder = await temporaryFolder(context);
    const names = await shardedFolder(folder);
    const before = await Promise.all(names.map((name) => readFile(join(folder, name))));
    const changed = [
      tensor("b", 9, 9),
      tensor("large", 9),
      { ...tensor("a", 9), data: () => Promise.reject(new Error("boom")) },
    ];
    await assert.rejects(writeSharded(folder, changed, { maxShardBytes: 8 }), /boom/);
    assert.match(
      await failure(writeSharded(folder, [...TENSORS, tensor("b", 1)], { maxShardBytes: 8 })),
      /two tensors have the name "b"/,
    );
    assert.match(
      await failure(writeSharded(folder, TENSORS, { maxShardBytes: 0 })),
      /maxShardBytes is not a size: got 0/,
    );
    assert.deepEqual((await readdir(folder)).sort(), names);
    assert.deepEqual(await Promise.all(names.map((name) => readFile(join(folder, name)))), before);
  });
});

describe("opening a checkpoint", () => {
  test("a file, a folder and an index show the same tensors", async (context) => {
    const folder = await realpath(await temporaryFolder(context));
    await writeSharded(join(folder, "one"), TENSORS);
    await shardedFolder(join(folder, "many"));
    for (const path of ["one", "one/model.safetensors", "many", `many/${INDEX}`]) {
      const checkpoint = await openCheckpoint(join(folder, path));
      assert.deepEqual([...checkpoint.tensors.keys()].sort(), ["__proto__", "a", "b", "large", "none"], path);
      assert.deepEqual([...(await checkpoint.readFloat32("large"))], [4, 5, 6, 7]);
      assert.deepEqual([...(await checkpoint.readFloat32("__proto__"))], [3]);
      assert.deepEqual([...(await checkpoint.readRange("a", 2, 4))], [0x00, 0x41]);
      const target = new Float32Array(2);
      await checkpoint.readInto("b", target);
      assert.deepEqual([...target], [1, 2]);
      assert.match(await failure(checkpoint.read("x")), /no such tensor: got "x", expected one of 5/);
      await checkpoint.close();
      assert.match(await failure(checkpoint.read("a")), /the file has been closed/);
    }
    const checkpoint = await openCheckpoint(join(folder, "many"));
    assert.equal(checkpoint.path, join(folder, "many"));
    assert.equal(checkpoint.metadata["format"], "pt");
    assert.deepEqual(
      new Set(checkpoint.files.map((file) => file.slice(folder.length + 6))),
      new Set([SHARD_1, SHARD_2, SHARD_3]),
    );
    // What another program needs to find the bytes by itself.
    const { path, byteOffset, byteLength } = checkpoint.tensors.get("a") ?? assert.fail();
    const bytes = (await readFile(path)).subarray(byteOffset, byteOffset + byteLength);
    assert.deepEqual([path, bytes.readFloatLE()], [join(folder, "many", SHARD_3), 8]);
    await checkpoint.close();
  });

  test(
    "keeps no shard open that is not read from",
    { skip: existsSync("/proc/self/fd") ? false : "open files cannot be counted here" },
    async (context) => {
      const folder = await temporaryFolder(context);
      await shardedFolder(folder);
      const openShards = async (): Promise<string[]> => {
        const links = await Promise.all(
          (await readdir("/proc/self/fd")).map((fd) => realpath(`/proc/self/fd/${fd}`).catch(() => "")),
        );
        return links.filter((link) => link.startsWith(`${folder}/model`));
      };
      const checkpoint = await openCheckpoint(folder);
      assert.deepEqual(await openShards(), []);
      await Promise.all(["a", "none", "a"].map((name) => checkpoint.read(name)));
      assert.deepEqual(await openShards(), [join(folder, SHARD_3)]);
      await checkpoint.close();
      assert.deepEqual(await openShards(), []);
    },
  );

  test("the cache of Hugging Face, where files are links into blobs", async (context) => {
    const repository = join(await temporaryFolder(context), "models--org--name");
    const snapshot = join(repository, "snapshots", "0a1b");
    const blobs = join(repository, "blobs");
    await mkdir(blobs, { recursive: true });
    await shardedFolder(snapshot);
    for (const [i, name] of (await readdir(snapshot)).entries()) {
      await rename(join(snapshot, name), join(blobs, `blob${i}`));
      await symlink(`../../blobs/blob${i}`, join(snapshot, name));
    }
    const checkpoint = await openCheckpoint(snapshot);
    assert.deepEqual([...(await checkpoint.readFloat32("b"))], [1, 2]);
    await checkpoint.close();
  });

  test("a folder without a checkpoint says what it has", async (context) => {
    const folder = await temporaryFolder(context);
    assert.match(await failure(openCheckpoint(folder)), /this folder has no checkpoint: got no \.safetensors files/);
    await writeSafetensors(join(folder, "base.safetensors"), TENSORS);
    assert.match(
      await failure(openCheckpoint(folder)),
      /got base\.safetensors, expected model\.safetensors or model\.safetensors\.index\.json\n {2}hint: give the path/,
    );
    assert.match(await failure(openCheckpoint(join(folder, "nowhere"))), /nowhere: cannot be read: got ENOENT/);
  });
});

describe("a hostile index is refused with its reason:", () => {
  const outside = [
    "../secret.safetensors",
    "/etc/secret.safetensors",
    "sub/secret.safetensors",
    "..\\secret.safetensors",
    "C:\\secret.safetensors",
    "C:secret.safetensors",
    "a\u0000.safetensors",
    "..",
    ".",
    "",
    "passwords.txt",
  ];
  for (const shard of outside) {
    test(`shard ${JSON.stringify(shard)}`, async (context) => {
      const folder = await temporaryFolder(context);
      await mkdir(join(folder, "model"));
      await mkdir(join(folder, "model", "sub"));
      // The file is there, so that only the check keeps it from being read.
      for (const place of ["", "model/sub"]) await writeSafetensors(join(folder, place, "secret.safetensors"), TENSORS);
      await writeIndex(join(folder, "model"), { a: shard });
      const text = await failure(openCheckpoint(join(folder, "model")));
      assert.match(text, /index\.json: a shard is not a plain file name: got ".*", expected a name such as/);
      assert.ok(text.includes(JSON.stringify(shard)));
    });
  }

  test("links that leave the folder", async (context) => {
    const folder = await temporaryFolder(context);
    await writeSafetensors(join(folder, "secret.safetensors"), TENSORS);
    for (const place of ["model", "snapshots/0a1b"]) {
      await mkdir(join(folder, place), { recursive: true });
      await symlink(join(folder, "secret.safetensors"), join(folder, place, "x.safetensors"));
      await writeIndex(join(folder, place), { a: "x.safetensors" });
      assert.match(
        await failure(openCheckpoint(join(folder, place))),
        /shard "x\.safetensors" is a link that leaves the folder: got .*secret\.safetensors, expected a file in/,
      );
    }
    // A cache whose blobs folder is itself a link elsewhere.
    await mkdir(join(folder, "elsewhere"));
    await symlink(join(folder, "elsewhere"), join(folder, "blobs"));
    await writeSafetensors(join(folder, "elsewhere", "y.safetensors"), TENSORS);
    await symlink("../../blobs/y.safetensors", join(folder, "snapshots/0a1b/y.safetensors"));
    await writeIndex(join(folder, "snapshots/0a1b"), { a: "y.safetensors" });
    assert.match(
      await failure(openCheckpoint(join(folder, "snapshots/0a1b"))),
      /"y\.safetensors" is a link that leaves/,
    );
    // A link to a neighbour is a plain file of the folder.
    await writeSafetensors(join(folder, "model", "real.safetensors"), TENSORS);
    await symlink("real.safetensors", join(folder, "model", "alias.safetensors"));
    await writeIndex(join(folder, "model"), { a: "alias.safetensors" });
    await (await openCheckpoint(join(folder, "model"))).close();
  });

  test("missing shards, all at once", async (context) => {
    const folder = await temporaryFolder(context);
    await shardedFolder(folder);
    await rm(join(folder, SHARD_1));
    await rm(join(folder, SHARD_3));
    assert.match(
      await failure(openCheckpoint(folder)),
      /2 of 3 shards are missing: got model-00001-of-00003\.safetensors, model-00003-of-00003\.safetensors\n {2}hint: download/,
    );
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`t${i}`, `s${i}.safetensors`]));
    await writeIndex(folder, many);
    assert.match(
      await failure(openCheckpoint(folder)),
      /500 of 500 shards are missing: .*s9\.safetensors and 490 more/,
    );
  });

  test("tensors that are not where the index says, all at once", async (context) => {
    const folder = await temporaryFolder(context);
    await shardedFolder(folder);
    await writeIndex(folder, { a: SHARD_1, b: SHARD_1, c: SHARD_2, toString: SHARD_2 });
    assert.match(
      await failure(openCheckpoint(folder)),
      new RegExp(`3 of 4 tensors are not in the shard.*: got "a" in ${SHARD_1}, "c" in ${SHARD_2}, "toString" in`),
    );
  });

  test("a shard that is damaged", async (context) => {
    const folder = await temporaryFolder(context);
    await shardedFolder(folder);
    await writeFile(join(folder, SHARD_2), "short");
    assert.match(await failure(openCheckpoint(folder)), /model-00002-of-00003\.safetensors: the file is too short/);
  });

  const texts: [string, string | Uint8Array, RegExp][] = [
    ["not JSON", "{", /index\.json: is not valid JSON|a name in the index/],
    ["not UTF-8", Uint8Array.of(0x7b, 0xff), /the index is not UTF-8/],
    ["a list", "[]", /the index is not an object: got \[\]/],
    ["no weight_map", `{"metadata":{}}`, /the index has no weight_map/],
    ["a weight_map that is a list", `{"weight_map":[]}`, /weight_map is not an object: got \[\]/],
    ["a number for a shard", `{"weight_map":{"a":1}}`, /the file of tensor "a" is not a string: got 1/],
    [
      "a tensor twice",
      `{"weight_map":{"a":"x.safetensors","\\u0061":"y.safetensors"}}`,
      /weight_map has the name "a" twice/,
    ],
    ["deep nesting", `{"metadata":${"[".repeat(1e6)}`, /"metadata" of the index is nested more than 32 levels deep/],
  ];
  for (const [name, text, message] of texts) {
    test(name, async (context) => {
      const path = await writeRaw(await temporaryFolder(context), INDEX, text);
      assert.match(await failure(openCheckpoint(path)), message);
    });
  }
});
