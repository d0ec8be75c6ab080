import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { create } from "tar";
import { downloadCifar10 } from "../../src/data/cifar10-download.ts";
import type { Cifar10DownloadOptions } from "../../src/data/cifar10-download.ts";
import { syntheticRecords } from "../../src/data/cifar10-synthetic.ts";
import { loadCifar10 } from "../../src/data/cifar10.ts";
import { DataError } from "../../src/errors.ts";

let root: string;
let archive: Buffer;
let server: Server;
let listener: RequestListener;
let asked: (string | undefined)[];

before(async () => {
  root = await mkdtemp(join(tmpdir(), "lowrank-download-"));
  const folder = join(root, "made", "cifar-10-batches-bin");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "data_batch_1.bin"), syntheticRecords(40));
  await writeFile(join(folder, "test_batch.bin"), syntheticRecords(10, { split: "test" }));
  await create({ gzip: true, file: join(root, "made.tar.gz"), cwd: join(root, "made") }, ["cifar-10-batches-bin"]);
  archive = await readFile(join(root, "made.tar.gz"));
  server = createServer((request, response) => {
    asked.push(request.headers.range);
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(root, { recursive: true });
});

let caches = 0;
/** Downloads into a fresh cache folder unless given one, from the local server, answered by `answer`. */
async function download(
  answer: RequestListener,
  options: Cifar10DownloadOptions = {},
): Promise<{ folder: string; cache: string; asked: (string | undefined)[] }> {
  listener = answer;
  asked = [];
  const cache = options.cache ?? newCache();
  const folder = await downloadCifar10({
    url: url("/archive.tar.gz"),
    md5: md5(archive),
    retryDelayMs: 1,
    ...options,
    cache,
  });
  return { folder, cache, asked };
}

const newCache = () => join(root, `cache-${caches++}`, "deep");
const url = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex");

/** A server that knows ranges. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (start >= archive.length) {
    response.writeHead(416, { "content-range": `bytes */${archive.length}` }).end();
    return;
  }
  const headers = {
    "content-length": archive.length - start,
    ...(start > 0 && { "content-range": `bytes ${start}-${archive.length - 1}/${archive.length}` }),
  };
  response.writeHead(start > 0 ? 206 : 200, headers).end(archive.subarray(start));
}

/**
 * Promises the whole archive, sends `count` bytes of it, and cuts the connection once the client reports that it has
 * them: bytes still on their way would be lost with the connection.
 */
function cutter(count: number): { serve: RequestListener; onProgress: (bytes: number) => void } {
  let cut = (): unknown => undefined;
  return {
    serve: (_request, response) => {
      response.writeHead(200, { "content-length": archive.length });
      response.write(archive.subarray(0, count));
      cut = () => response.destroy();
    },
    onProgress: (bytes) => void (bytes === count && cut()),
  };
}

async function failure(running: Promise<unknown>): Promise<string> {
  const error = await running.then(
    () => assert.fail("the download succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DataError, String(error));
  assert.match(error.message, /\n {2}hint: /);
  return error.message;
}

describe("downloadCifar10", () => {
  test("downloads, verifies, unpacks, and leaves nothing but the folder, which loads", async () => {
    const progress: (number | undefined)[][] = [];
    let extracting = 0;
    const { folder, cache } = await download(serve, {
      onProgress: (...at) => progress.push(at),
      onExtract: () => extracting++,
    });
    assert.deepEqual(await readdir(cache), ["cifar-10-batches-bin"]);
    const { train, test } = await loadCifar10(folder);
    assert.deepEqual([train.count, test.count], [40, 10]);
    assert.deepEqual(progress.at(0), [0, archive.length]);
    assert.deepEqual(progress.at(-1), [archive.length, archive.length]);
    assert.equal(extracting, 1);
  });

  test("asks no server when the folder is in the cache", async () => {
    const { cache } = await download(serve);
    const again = await download(serve, { cache });
    assert.deepEqual(again.asked, []);
  });

  test("follows redirections, and is not misled by a server that calls the archive gzip-encoded", async () => {
    const { folder } = await download((request, response) => {
      if (request.url === "/archive.tar.gz") response.writeHead(302, { location: "/moved" }).end();
      else response.writeHead(200, { "content-encoding": "gzip" }).end(archive);
    });
    assert.equal((await loadCifar10(folder)).train.count, 40);
    assert.match(
      await failure(download((_request, response) => response.writeHead(302, { location: "/again" }).end())),
      /more than 5 redirections/,
    );
  });

  test("goes on after a connection that was cut midway, with the bytes that are missing", async () => {
    const half = Math.floor(archive.length / 2);
    const { serve: serveHalf, onProgress } = cutter(half);
    const { folder, asked } = await download(
      (request, response) => (request.headers.range === undefined ? serveHalf : serve)(request, response),
      { onProgress },
    );
    assert.deepEqual(asked, [undefined, `bytes=${half}-`]);
    assert.equal((await loadCifar10(folder)).train.count, 40);
  });

  test("keeps the part when the server stays away, says so, and takes it up in a later call", async () => {
    const cache = newCache();
    let requests = 0;
    const { serve: serveSome, onProgress } = cutter(500);
    const flaky: RequestListener = (request, response) =>
      requests++ === 0 ? serveSome(request, response) : response.destroy();
    const message = await failure(download(flaky, { cache, onProgress }));
    assert.match(message, /got 500 bytes, kept in .*cifar-10-binary\.tar\.gz\.part[^]*run the same command again/);
    assert.deepEqual(await readdir(cache), ["cifar-10-binary.tar.gz.part"]);
    const progress: number[] = [];
    const { asked } = await download(serve, { cache, onProgress: (bytes) => progress.push(bytes) });
    assert.deepEqual(asked, ["bytes=500-"]);
    assert.equal(progress[0], 500);
  });

  test("starts over when the server ignores ranges", async () => {
    const cache = newCache();
    await mkdir(cache, { recursive: true });
    await writeFile(join(cache, "cifar-10-binary.tar.gz.part"), archive.subarray(0, 300));
    const { folder } = await download((_request, response) => response.writeHead(200).end(archive), { cache });
    assert.equal((await loadCifar10(folder)).train.count, 40);
  });

  test("accepts a part that is complete already, and drops one that belongs to another file", async () => {
    const cache = newCache();
    await mkdir(cache, { recursive: true });
    await writeFile(join(cache, "cifar-10-binary.tar.gz.part"), archive);
    assert.deepEqual((await download(serve, { cache })).asked, [`bytes=${archive.length}-`]);
    const other = newCache();
    await mkdir(other, { recursive: true });
    await writeFile(join(other, "cifar-10-binary.tar.gz.part"), Buffer.alloc(700, 1));
    assert.deepEqual((await download(serve, { cache: other })).asked, ["bytes=700-", undefined]);
  });

  test("unpacks an archive that was verified but not unpacked before, without asking the server", async () => {
    const cache = newCache();
    await mkdir(cache, { recursive: true });
    await writeFile(join(cache, "cifar-10-binary.tar.gz"), archive);
    assert.deepEqual((await download(serve, { cache })).asked, []);
  });

  test("refuses a wrong checksum, says both, and removes the bytes", async () => {
    const cache = newCache();
    const expected = "0".repeat(32);
    const message = await failure(download(serve, { cache, md5: expected }));
    assert.match(message, /wrong checksum: got md5 [0-9a-f]{32} \(\d+ bytes\), expected md5 0{32}/);
    assert.deepEqual(await readdir(cache), []);
  });

  test("says what the server answered, and what to do without it", async () => {
    const message = await failure(download((_request, response) => response.writeHead(404).end("no")));
    assert.match(message, /got 404 Not Found/);
    assert.match(message, /--data DIR.*data_batch_1\.bin.*--data synthetic/);
    assert.equal(asked.length, 1);
    assert.match(await failure(download((_request, response) => response.writeHead(503).end())), /answered 503/);
    assert.equal(asked.length, 3);
  });

  test("says how to proceed when nobody answers", async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const message = await failure(downloadCifar10({ url: `http://127.0.0.1:${port}/x`, cache: newCache() }));
    assert.match(message, new RegExp(`cannot reach 127\\.0\\.0\\.1:${port} \\(ECONNREFUSED\\)[^]*--data synthetic`));
  });

  test("gives up on a connection that brings nothing", async () => {
    const silent: RequestListener = (_request, response) => {
      response.writeHead(200, { "content-length": archive.length }).flushHeaders();
    };
    assert.match(await failure(download(silent, { idleTimeoutMs: 20 })), /the connection broke/);
    assert.match(await failure(download(() => undefined, { idleTimeoutMs: 20 })), /nothing came for 0\.02 s/);
  });

  test("stops when told to, and keeps what arrived", async () => {
    const cache = newCache();
    const stop = new AbortController();
    const slow: RequestListener = (_request, response) => {
      response.writeHead(200, { "content-length": archive.length });
      response.write(archive.subarray(0, 400));
    };
    const onProgress = (bytes: number) => (bytes === 400 ? stop.abort(new Error("stopped by the test")) : undefined);
    await assert.rejects(download(slow, { cache, signal: stop.signal, onProgress }), /stopped by the test/);
    assert.deepEqual(await readFile(join(cache, "cifar-10-binary.tar.gz.part")), archive.subarray(0, 400));
  });

  test("refuses an archive without the folder, and bytes that are no archive, leaving no half folder", async () => {
    const junk = gzipSync("this is not a tar file");
    for (const bytes of [junk, Buffer.from("nor is this gzip")]) {
      const cache = newCache();
      const answer: RequestListener = (_request, response) => response.writeHead(200).end(bytes);
      const message = await failure(download(answer, { cache, md5: md5(bytes) }));
      assert.match(message, /cifar-10-binary\.tar\.gz: (cannot unpack|the archive holds no folder)/);
      assert.deepEqual(await readdir(cache), ["cifar-10-binary.tar.gz"]);
    }
  });

  test("says that the cache cannot be written", async () => {
    const file = join(root, "a-file");
    await writeFile(file, "in the way");
    assert.match(await failure(download(serve, { cache: join(file, "cache") })), /cannot write[^]*LOWRANK_CACHE/);
  });
});
