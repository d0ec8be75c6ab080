import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { suite, test } from "node:test";
import { EventFile } from "../../../src/formats/tensorboard/index.ts";
import { crc32c, encodeRecord, maskedCrc32c } from "../../../src/formats/tensorboard/record.ts";
import { FormatError } from "../../../src/errors.ts";

/**
 * What `SummaryWriter` of PyTorch writes for add_text("args", '{"lr": 1}'), add_scalar("train/loss", 2.5, 10) and
 * add_scalar("eval/loss", 0.1, 300), all at 1700000000.25: one line for each record.
 */
const REFERENCE = [
  "4800000000000000fe92489d0900001040fc54d9411a0d627261696e2e4576656e743a32522e0a2c74656e736f72626f6172642e73756d6d6172792e7772697465722e6576656e745f66696c655f77726974657275711fd6",
  "3f00000000000000516576610900001040fc54d9412a340a320a11617267732f746578745f73756d6d6172794213080712041202080142097b226c72223a20317d4a080a060a0474657874b1f668c5",
  "200000000000000029eda9500900001040fc54d941100a2a130a110a0a747261696e2f6c6f737315000020404887eb99",
  "200000000000000029eda9500900001040fc54d94110ac022a120a100a096576616c2f6c6f737315cdcccc3d242f11e1",
];

suite("TensorBoard event files", () => {
  test("CRC-32C gives the vectors of RFC 3720, appendix B.4", () => {
    assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
    // Masking is rotation and addition modulo 2^32, here past its end.
    assert.equal(maskedCrc32c(new TextEncoder().encode("123456789")), 0xc78ab0e5);
  });

  test("a record frames any bytes, also none", () => {
    assert.deepEqual([...encodeRecord(new Uint8Array())].slice(0, 8), [0, 0, 0, 0, 0, 0, 0, 0]);
    assert.equal(encodeRecord(new Uint8Array()).length, 16);
  });

  test("the bytes are those of PyTorch's writer", async (context) => {
    const folder = await temporaryFolder(context);
    const file = await EventFile.create(join(folder, "runs", "a"), { now: () => 1700000000_250, host: "host" });
    await file.text("args", '{"lr": 1}');
    await file.scalars(10, { "train/loss": 2.5 });
    await file.scalars(300, { "eval/loss": 0.1 });
    await file.close();
    assert.equal((await readFile(file.path)).toString("hex"), REFERENCE.join(""));
    assert.match(
      basename(file.path),
      new RegExp(String.raw`^events\.out\.tfevents\.1700000000\.host\.${process.pid}\.\d+$`),
    );
  });

  test("files of one second have different names, and are readable before they are closed", async (context) => {
    const folder = await temporaryFolder(context);
    const options = { now: () => 1e12, host: "h" };
    const files = [await EventFile.create(folder, options), await EventFile.create(folder, options)];
    assert.equal((await readdir(folder)).length, 2);
    const empty = (await readFile(files[0]!.path)).length;
    await files[0]!.scalars(1, { a: 1, b: 2 });
    assert.ok((await readFile(files[0]!.path)).length > empty);
    for (const file of files) await file.close();
  });

  test("a resumed run says from which step on older files do not count", async (context) => {
    const folder = await temporaryFolder(context);
    const file = await EventFile.create(folder, { now: () => 1700000000_250, resumeStep: 41 });
    await file.close();
    const bytes = await readFile(file.path);
    // Event { wall_time, step: 41, session_log { status: START } }
    const event = bytes.subarray(REFERENCE[0]!.length / 2).toString("hex");
    assert.ok(event.includes("0900001040fc54d941" + "1029" + "3a020801"), event);
  });

  test("a folder that cannot be made is named", async (context) => {
    const folder = await temporaryFolder(context);
    const { path } = await EventFile.create(folder).then(async (file) => (await file.close(), file));
    await assert.rejects(
      EventFile.create(join(path, "runs")),
      (error) => error instanceof FormatError && error.message.includes(path) && error.message.includes("hint:"),
    );
  });
});

async function temporaryFolder(context: { after(fn: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lowrank-tensorboard-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
