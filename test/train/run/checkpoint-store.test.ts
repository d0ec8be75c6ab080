import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ConfigError, FormatError } from "../../../src/errors.ts";
import {
  cleanCheckpoints,
  findCheckpoints,
  lastCheckpoint,
  removeCheckpoints,
  saveCheckpoint,
  verifyCheckpoint,
} from "../../../src/train/run/checkpoint-store.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** No process has it: beyond what Linux gives. */
const DEAD_PID = 2 ** 30;

function files(content: string): (dir: string) => Promise<void> {
  return async (dir) => {
    await writeFile(join(dir, "trainer_state.json"), "{}");
    await writeFile(join(dir, "weights"), content);
    await mkdir(join(dir, "tokenizer"));
    await writeFile(join(dir, "tokenizer", "vocab.txt"), "a b");
  };
}

suite("checkpoints", () => {
  test("a checkpoint has its files and a manifest, and nothing else is left", async (context) => {
    const out = join(await temporaryFolder(context), "saves", "lora");
    const { path, removed } = await saveCheckpoint(out, 10, files("ten"));
    assert.equal(path, join(out, "checkpoint-10"));
    assert.deepEqual(removed, []);
    assert.deepEqual(await readdir(out), ["checkpoint-10"]);
    assert.deepEqual(await readdir(path), ["checkpoint.json", "tokenizer", "trainer_state.json", "weights"]);
    assert.equal(await verifyCheckpoint(path), 10);
    assert.deepEqual(
      Object.keys((JSON.parse(await readFile(join(path, "checkpoint.json"), "utf8")) as Manifest).files),
      ["tokenizer/vocab.txt", "trainer_state.json", "weights"],
    );
  });

  test("the last one is the highest step, not the highest name", async (context) => {
    const out = await temporaryFolder(context);
    for (const step of [9, 10, 100]) await saveCheckpoint(out, step, files(""));
    assert.deepEqual(
      (await findCheckpoints(out)).map(({ step }) => step),
      [9, 10, 100],
    );
    assert.equal((await lastCheckpoint(out))?.step, 100);
    assert.equal(await lastCheckpoint(join(out, "nowhere")), undefined);
  });

  test("another checkpoint for the same step takes the place of the first", async (context) => {
    const out = await temporaryFolder(context);
    await saveCheckpoint(out, 5, files("old"));
    const { path } = await saveCheckpoint(out, 5, files("new"));
    assert.equal(await readFile(join(path, "weights"), "utf8"), "new");
    assert.deepEqual(await readdir(out), ["checkpoint-5"]);
  });

  test("when writing fails, what was there stays and nothing is added", async (context) => {
    const out = await temporaryFolder(context);
    await saveCheckpoint(out, 5, files("old"));
    const broken = async (dir: string) => {
      await files("half")(dir);
      throw new Error("out of memory");
    };
    await assert.rejects(saveCheckpoint(out, 5, broken), /out of memory/);
    await assert.rejects(saveCheckpoint(out, 6, broken), /out of memory/);
    assert.deepEqual(await readdir(out), ["checkpoint-5"]);
    assert.equal(await readFile(join(out, "checkpoint-5", "weights"), "utf8"), "old");
    await assert.rejects(saveCheckpoint(out, 1.5, files("")), ConfigError);
  });

  suite("save_total_limit", () => {
    const steps = async (out: string) => (await findCheckpoints(out)).map(({ step }) => step);

    test("the oldest go", async (context) => {
      const out = await temporaryFolder(context);
      for (const step of [1, 2, 3]) await saveCheckpoint(out, step, files(""), { saveTotalLimit: 2 });
      assert.deepEqual(await steps(out), [2, 3]);
      const { removed } = await saveCheckpoint(out, 4, files(""), { saveTotalLimit: 1 });
      assert.deepEqual(removed, [join(out, "checkpoint-2"), join(out, "checkpoint-3")]);
    });

    test("the best stays, also where the limit is 1", async (context) => {
      const out = await temporaryFolder(context);
      const keep = join(out, ".", "checkpoint-1");
      for (const step of [1, 2, 3]) await saveCheckpoint(out, step, files(""), { saveTotalLimit: 2, keep });
      assert.deepEqual(await steps(out), [1, 3]);
      await saveCheckpoint(out, 4, files(""), { saveTotalLimit: 1, keep });
      assert.deepEqual(await steps(out), [1, 4]);
    });

    test("none go without a limit, or before the new one stands", async (context) => {
      const out = await temporaryFolder(context);
      for (const step of [1, 2, 3]) await saveCheckpoint(out, step, files(""), { saveTotalLimit: 0 });
      assert.deepEqual(await steps(out), [1, 2, 3]);
      const failing = async () => Promise.reject(new Error("full"));
      await assert.rejects(saveCheckpoint(out, 4, failing, { saveTotalLimit: 1 }));
      assert.deepEqual(await steps(out), [1, 2, 3]);
    });
  });

  suite("damage", () => {
    const damages: [what: string, damage: (dir: string) => Promise<void>, message: RegExp, cheap: boolean][] = [
      ["a missing file", (dir) => rm(join(dir, "weights")), /weights is missing/, true],
      ["a file cut short", (dir) => truncate(join(dir, "weights"), 2), /weights has 2 bytes, not 7/, true],
      ["a longer file", (dir) => appendFile(join(dir, "weights"), "!"), /weights has 8 bytes, not 7/, true],
      ["a flipped bit", (dir) => writeFile(join(dir, "weights"), "contenu"), /weights has other contents/, false],
      ["no manifest", (dir) => rm(join(dir, "checkpoint.json")), /not a complete checkpoint/, true],
      ["half a manifest", (dir) => truncate(join(dir, "checkpoint.json"), 20), /checkpoint\.json: is not JSON/, true],
      [
        "the manifest of a later version",
        (dir) => writeFile(join(dir, "checkpoint.json"), '{"format_version":2,"step":1,"files":{}}'),
        /got format_version 2/,
        true,
      ],
      [
        "a manifest that leaves the folder",
        (dir) =>
          writeFile(
            join(dir, "checkpoint.json"),
            '{"format_version":1,"step":1,"files":{"../x":{"bytes":1,"crc32":"0"}}}',
          ),
        /not a manifest/,
        true,
      ],
    ];
    for (const [what, damage, message, cheap] of damages) {
      test(`${what} is named, and the checkpoint before it is the last one`, async (context) => {
        const out = await temporaryFolder(context);
        await saveCheckpoint(out, 1, files("content"));
        const { path } = await saveCheckpoint(out, 2, files("content"));
        await damage(path);
        await assert.rejects(
          verifyCheckpoint(path),
          (error) => error instanceof FormatError && message.test(error.message) && error.message.includes(path),
        );
        assert.equal((await lastCheckpoint(out))?.step, cheap ? 1 : 2);
      });
    }

    test("a folder without the trainer's state is not complete", async (context) => {
      const out = await temporaryFolder(context);
      const { path } = await saveCheckpoint(out, 1, (dir) => writeFile(join(dir, "weights"), ""));
      assert.equal(await lastCheckpoint(out), undefined);
      await assert.rejects(verifyCheckpoint(path), /trainer_state\.json is missing/);
    });

    test("checkpoints of other programs are left alone, and said not to be ours", async (context) => {
      const out = await temporaryFolder(context);
      const path = join(out, "checkpoint-500");
      await mkdir(path);
      await writeFile(join(path, "trainer_state.json"), "{}");
      await saveCheckpoint(out, 1, files(""), { saveTotalLimit: 1 });
      assert.deepEqual(await readdir(out), ["checkpoint-1", "checkpoint-500"]);
      assert.equal((await lastCheckpoint(out))?.step, 1);
      await assert.rejects(verifyCheckpoint(path), /no checkpoint\.json[^]*hint: .*adapter_name_or_path/);
    });
  });

  suite("after a process that was killed", () => {
    test("drafts and half-removed folders go, those of living processes stay", async (context) => {
      const out = await temporaryFolder(context);
      for (const name of [
        `.checkpoint-3.tmp-${DEAD_PID}`,
        `.checkpoint-1.gone-${DEAD_PID}`,
        `.checkpoint-3.tmp-${process.pid}`,
        `.checkpoint-3.tmp-${process.ppid}`,
        ".checkpoint-3.tmp-x",
      ]) {
        await mkdir(join(out, name));
      }
      await cleanCheckpoints(out);
      assert.deepEqual(await readdir(out), [`.checkpoint-3.tmp-${process.ppid}`, ".checkpoint-3.tmp-x"].toSorted());
    });

    test("a draft that this process is writing stays", async (context) => {
      const out = await temporaryFolder(context);
      await saveCheckpoint(out, 1, async (dir) => {
        await files("")(dir);
        await cleanCheckpoints(out);
        assert.ok((await readdir(dir)).length > 0);
      });
      assert.equal((await lastCheckpoint(out))?.step, 1);
    });

    test("a checkpoint that had stepped aside comes back, unless the new one is there", async (context) => {
      const out = await temporaryFolder(context);
      const { path } = await saveCheckpoint(out, 7, files("old"));
      const aside = join(out, `.checkpoint-7.old-${DEAD_PID}`);
      await rename(path, aside);
      assert.equal((await lastCheckpoint(out))?.step, 7);
      assert.equal(await readFile(join(path, "weights"), "utf8"), "old");

      await rename(path, aside);
      await saveCheckpoint(out, 7, files("new"));
      await cleanCheckpoints(out);
      assert.deepEqual(await readdir(out), ["checkpoint-7"]);
      assert.equal(await readFile(join(path, "weights"), "utf8"), "new");
    });
  });

  test("a new run removes the checkpoints of an old one, and nothing else", async (context) => {
    const out = await temporaryFolder(context);
    await saveCheckpoint(out, 1, files(""));
    await mkdir(join(out, "checkpoint-2"));
    await writeFile(join(out, "checkpoint-best.txt"), "");
    await removeCheckpoints(out);
    assert.deepEqual(await readdir(out), ["checkpoint-best.txt"]);
  });
});

interface Manifest {
  readonly files: Readonly<Record<string, unknown>>;
}
