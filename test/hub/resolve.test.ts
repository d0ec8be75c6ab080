import assert from "node:assert/strict";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { DataError, LowrankError } from "../../src/errors.ts";
import { hubCacheDirectory, hubToken, isOffline } from "../../src/hub/environment.ts";
import { matchesGlob } from "../../src/hub/glob.ts";
import { type HubProgress, resolveFolder, type ResolveOptions } from "../../src/hub/resolve.ts";
import { FakeHub, type FakeRepo, gitHash, hash } from "./fake-hub.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS = Buffer.alloc(50_000, "weights");
const MODEL: FakeRepo = {
  commit: COMMIT,
  files: {
    "config.json": '{"model_type": "qwen2"}',
    "tokenizer.json": "{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": "a pickle",
    "onnx/model.onnx": "no",
    "README.md": "no",
    "consolidated.safetensors": "no",
    "additional_chat_templates/tools.jinja": "{{ tools }}",
  },
};
const VARIABLES = ["HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE"];

let root: string;
let hub: FakeHub;
let cacheDir: string;
let count = 0;
const environment = { ...process.env };
before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-hub-"));
  hub = await FakeHub.start();
});
after(async () => {
  await hub.stop();
  Object.assign(process.env, environment);
  await rm(root, { recursive: true });
});
beforeEach(() => {
  for (const name of VARIABLES) delete process.env[name];
  process.env["HF_ENDPOINT"] = `${hub.endpoint}/`;
  process.env["HF_HOME"] = join(root, "home");
  cacheDir = join(root, `cache-${count++}`);
  hub.repos.clear();
  hub.repos.set("org/model", structuredClone(MODEL));
  hub.repos.get("org/model")!.files["model.safetensors"] = WEIGHTS;
  hub.asked = [];
  hub.intercept = () => false;
});

const resolve = (name = "org/model", options: Partial<ResolveOptions> = {}) =>
  resolveFolder(name, { kind: "model", cacheDir, ...options });

async function refused(running: Promise<unknown>, ...parts: RegExp[]): Promise<void> {
  await assert.rejects(running, (error) => {
    assert.ok(error instanceof LowrankError, String(error));
    for (const part of parts) assert.match(error.message, part);
    return true;
  });
}

suite("a model of the hub", () => {
  test("lies in the cache as Python's libraries put it there", async () => {
    const { dir, commit } = await resolve();
    const repo = join(cacheDir, "models--org--model");
    assert.equal(commit, COMMIT);
    assert.equal(dir, join(repo, "snapshots", COMMIT));
    assert.equal(await readFile(join(repo, "refs", "main"), "utf8"), COMMIT);
    assert.deepEqual((await readdir(dir)).sort(), [
      "additional_chat_templates",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    const config = Buffer.from(MODEL.files["config.json"]!);
    assert.equal(await readlink(join(dir, "config.json")), join("..", "..", "blobs", gitHash(config)));
    assert.equal(await readlink(join(dir, "model.safetensors")), join("..", "..", "blobs", hash("sha256", WEIGHTS)));
    assert.deepEqual(await readFile(join(dir, "model.safetensors")), WEIGHTS);
    assert.equal(await readFile(join(dir, "additional_chat_templates", "tools.jinja"), "utf8"), "{{ tools }}");
    assert.equal((await readdir(join(repo, "blobs"))).length, 4, "no partial file and no lock is left");
  });

  test("is not downloaded twice, and neither is a file that two revisions share", async () => {
    await resolve();
    hub.asked = [];
    await resolve();
    assert.ok(hub.asked.every(({ path }) => path.startsWith("/api/")));
    const next = "f".repeat(40);
    const repo = hub.repos.get("org/model")!;
    repo.commit = next;
    repo.files["config.json"] = '{"model_type": "llama"}';
    const { dir } = await resolve();
    assert.equal(await readFile(join(dir, "config.json"), "utf8"), '{"model_type": "llama"}');
    assert.deepEqual(await readFile(join(dir, "model.safetensors")), WEIGHTS);
    assert.deepEqual(
      hub.asked.map(({ path }) => path).filter((path) => !path.startsWith("/api/")),
      [`/org/model/resolve/${next}/config.json`],
    );
  });

  test("reports the bytes of each file and of all", async () => {
    const seen: HubProgress[] = [];
    await resolve(undefined, { onProgress: (progress) => seen.push(progress) });
    const last = seen.at(-1)!;
    assert.equal(last.bytes, last.totalBytes);
    const weights = seen.filter(({ file }) => file === "model.safetensors").at(-1)!;
    assert.deepEqual([weights.fileBytes, weights.fileTotalBytes], [WEIGHTS.length, WEIGHTS.length]);
    assert.ok(last.totalBytes > WEIGHTS.length && last.totalBytes < WEIGHTS.length + 200);
  });

  test("goes on after a stop, with the bytes that are missing", async () => {
    const half = WEIGHTS.length / 2;
    const stop = new AbortController();
    hub.intercept = (request, response) => {
      if (!/^\/[0-9a-f]{64}$/.test(request.url ?? "")) return false;
      response.writeHead(200, { "content-length": WEIGHTS.length });
      response.write(WEIGHTS.subarray(0, half));
      return true;
    };
    const onProgress = ({ file, fileBytes }: HubProgress) => {
      if (file === "model.safetensors" && fileBytes === half) stop.abort(new Error("stopped"));
    };
    await assert.rejects(resolve(undefined, { signal: stop.signal, onProgress }), /stopped/);
    const blobs = join(cacheDir, "models--org--model", "blobs");
    assert.equal((await stat(join(blobs, `${hash("sha256", WEIGHTS)}.incomplete`))).size, half);
    assert.ok(!(await readdir(blobs)).some((name) => name.endsWith(".lock")));
    hub.intercept = () => false;
    hub.asked = [];
    const { dir } = await resolve();
    assert.deepEqual(await readFile(join(dir, "model.safetensors")), WEIGHTS);
    const weights = hub.asked.filter(({ path }) => path === `/${hash("sha256", WEIGHTS)}`);
    assert.deepEqual(
      weights.map(({ range }) => range),
      [`bytes=${half}-`],
    );
  });

  test("bytes with a wrong checksum never get the name", async () => {
    hub.intercept = (request, response) => {
      if (!/^\/[0-9a-f]{64}$/.test(request.url ?? "")) return false;
      response.end(Buffer.alloc(WEIGHTS.length));
      return true;
    };
    await refused(resolve(), /wrong checksum/);
    assert.equal((await readdir(join(cacheDir, "models--org--model"))).includes("refs"), false);
    await assert.rejects(lstat(join(cacheDir, "models--org--model", "snapshots", COMMIT, "model.safetensors")));
  });

  test("two processes, or calls, at once share one download", async () => {
    const [one, other] = await Promise.all([resolve(), resolve()]);
    assert.deepEqual(one, other);
    assert.equal(hub.asked.filter(({ path }) => /^\/[0-9a-f]{64}$/.test(path)).length, 1);
  });

  test("a sharded one is taken whole, by its own names", async () => {
    hub.repos.set("org/large", {
      commit: COMMIT,
      files: {
        "config.json": "{}",
        "model.safetensors.index.json": "{}",
        "model-00001-of-00002.safetensors": "1",
        "model-00002-of-00002.safetensors": "2",
        "model.fp16-00001-of-00002.safetensors": "no",
      },
    });
    const { dir } = await resolve("org/large");
    assert.equal((await readdir(dir)).length, 4);
    await rm(join(dir, "model-00002-of-00002.safetensors"));
    await refused(resolve("org/large", { offline: true }), /not complete: model-00002-of-00002.safetensors is missing/);
  });

  test("an adapter and a data set", async () => {
    hub.repos.set("org/adapter", {
      commit: COMMIT,
      files: { "adapter_config.json": "{}", "adapter_model.safetensors": "x", "optimizer.pt": "no" },
    });
    hub.repos.set("datasets/org/data", {
      commit: COMMIT,
      files: { "data/train.jsonl": "{}", "test.csv": "a", "script.py": "no", "big/x.parquet": "p" },
    });
    const adapter = await resolve("org/adapter", { kind: "adapter" });
    assert.deepEqual((await readdir(adapter.dir)).sort(), ["adapter_config.json", "adapter_model.safetensors"]);
    const data = await resolve("org/data", { kind: "dataset" });
    assert.ok(data.dir.includes("datasets--org--data"));
    assert.deepEqual((await readdir(data.dir)).sort(), ["big", "data", "test.csv"]);
    const part = await resolve("org/data", { kind: "dataset", files: ["*.csv"], cacheDir: join(root, "part") });
    assert.deepEqual(await readdir(part.dir), ["test.csv"]);
  });
});

suite("the token", () => {
  test("goes to the hub and not to where it sends us", async () => {
    hub.repos.get("org/model")!.token = "hf_secret";
    process.env["HF_TOKEN"] = "hf_secret";
    await resolve();
    const stored = hub.asked.filter(({ path }) => /^\/[0-9a-f]{64}$/.test(path));
    assert.deepEqual(
      stored.map(({ authorization }) => authorization),
      [undefined],
    );
    assert.ok(hub.asked.some(({ authorization }) => authorization === "Bearer hf_secret"));
  });

  test("is missing or wrong: what to do", async () => {
    const repo = hub.repos.get("org/model")!;
    repo.token = "hf_secret";
    await refused(resolve(), /no such model, or it is closed to you/, /set HF_TOKEN/);
    repo.gated = true;
    await refused(resolve(), /gated/, /accept the licence at http.*\/org\/model/, /HF_TOKEN/);
    await refused(resolve(undefined, { token: "hf_other" }), /gated/, /account that HF_TOKEN belongs to/);
  });

  test("is found where Python's libraries keep it", async () => {
    const home = join(root, "token-home");
    await mkdir(home, { recursive: true });
    await writeFile(join(home, "token"), "hf_stored\n");
    assert.equal(await hubToken({ HF_HOME: home }), "hf_stored");
    assert.equal(await hubToken({ HF_HOME: home, HF_TOKEN: " hf_own " }), "hf_own");
    assert.equal(await hubToken({ HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }), undefined);
    assert.equal(hubCacheDirectory({ HF_HOME: home }), join(home, "hub"));
    assert.equal(hubCacheDirectory({ HF_HOME: home, HF_HUB_CACHE: root }), root);
    assert.deepEqual([isOffline({ HF_HUB_OFFLINE: "1" }), isOffline({ HF_HUB_OFFLINE: "0" })], [true, false]);
  });
});

suite("without a connection", () => {
  test("offline, the cache is used and no server is asked", async () => {
    const { dir } = await resolve();
    hub.asked = [];
    process.env["HF_HUB_OFFLINE"] = "1";
    assert.deepEqual(await resolve(), { dir, commit: COMMIT });
    assert.deepEqual(await resolve(undefined, { revision: COMMIT }), { dir, commit: COMMIT });
    assert.deepEqual(hub.asked, []);
    await refused(resolve("org/other"), /offline, and revision main is not in the cache/, /unset HF_HUB_OFFLINE/);
    await rm(join(dir, "config.json"));
    await refused(resolve(), /not complete/);
  });

  test("a hub that cannot be reached: the copy in the cache, and a notice", async () => {
    const { dir } = await resolve();
    process.env["HF_ENDPOINT"] = "http://127.0.0.1:9";
    const notices: string[] = [];
    assert.equal((await resolve(undefined, { onNotice: (notice) => notices.push(notice) })).dir, dir);
    assert.match(notices.join(), /127\.0\.0\.1:9 cannot be reached: org\/model is used as it is in the cache/);
    await refused(resolve("org/other"), /cannot be reached, and revision main is not in the cache/, /mirror/);
  });

  test("a server that fails is one that cannot be reached", async () => {
    await resolve();
    hub.intercept = (_request, response) => {
      response.writeHead(503).end();
      return true;
    };
    assert.equal((await resolve()).commit, COMMIT);
  });
});

suite("what is not there, or not what it should be", () => {
  test("a repository or revision that does not exist", async () => {
    await refused(resolve("org/missing"), /no such model/, /check the spelling/);
    await refused(resolve(undefined, { revision: "v9" }), /there is no revision "v9"/);
  });

  test("a repository of another kind, or with pickles alone", async () => {
    hub.repos.set("org/adapter", { commit: COMMIT, files: { "adapter_config.json": "{}" } });
    hub.repos.set("org/old", { commit: COMMIT, files: { "config.json": "{}", "pytorch_model.bin": "x" } });
    hub.repos.set("org/gguf", { commit: COMMIT, files: { "model.gguf": "x" } });
    await refused(resolve("org/adapter"), /has no config\.json/, /it is an adapter/);
    await refused(resolve("org/model", { kind: "adapter" }), /has no adapter_config\.json/, /whole model/);
    await refused(resolve("org/old"), /no model\.safetensors/, /pytorch_model\.bin is a pickle/);
    await refused(resolve("org/gguf"), /GGUF/);
  });

  test("names that are no names", async () => {
    for (const name of ["a/b/c", "./nowhere", "/nowhere", "~/nowhere", "nowhere/"]) {
      await refused(resolve(name), /there is no such folder/);
    }
    for (const name of ["", "a b/c", "a--b/c", "org/..x", "-a/b"])
      await refused(resolve(name), /neither a folder here/);
    await refused(resolve(undefined, { revision: "../../x" }), /no branch, tag or commit/);
    assert.deepEqual(hub.asked, []);
  });

  test("a hostile hub cannot name files outside of the cache", async () => {
    const trees = [
      { type: "file", path: "../../config.json", size: 1, oid: "a".repeat(40) },
      { type: "file", path: "/config.json", size: 1, oid: "a".repeat(40) },
      { type: "file", path: "config.json", size: 1, oid: "../../../x" },
    ];
    for (const entry of trees) {
      hub.intercept = (request, response) => {
        if (!(request.url ?? "").includes("/tree/")) return false;
        response.end(JSON.stringify([entry]));
        return true;
      };
      await refused(resolve(), /makes no sense/);
    }
  });
});

suite("a folder", () => {
  test("is used as it is", async () => {
    const dir = join(root, "local");
    await mkdir(dir, { recursive: true });
    await refused(resolve(dir), /has no config\.json/, /empty folder/);
    await writeFile(join(dir, "adapter_config.json"), "{}");
    await refused(resolve(dir), /adapter_config\.json/, /it is an adapter/);
    assert.deepEqual(await resolve(dir, { kind: "adapter" }), { dir });
    await refused(resolve(join(dir, "adapter_config.json")), /this is a file/);
    await writeFile(join(dir, "config.json"), "{}");
    assert.deepEqual(await resolve(dir), { dir });
    assert.deepEqual(hub.asked, []);
  });

  test("an error is a DataError", () => assert.rejects(resolve("./nowhere"), DataError));
});

test("patterns of names", () => {
  const matches = (path: string, pattern: string) => matchesGlob(path, pattern);
  assert.ok(matches("model-00001-of-00002.safetensors", "model-*-of-*.safetensors"));
  assert.ok(!matches("onnx/model.safetensors", "*.safetensors"));
  assert.ok(matches("a/b/c.json", "**/*.json") && matches("c.json", "**/*.json"));
  assert.ok(!matches("configxjson", "config.json"));
});
