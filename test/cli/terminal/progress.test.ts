import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { displayWidth } from "../../../src/cli/terminal/output.ts";
import { Progress, byteText, duration } from "../../../src/cli/terminal/progress.ts";
import type { ProgressOptions } from "../../../src/cli/terminal/progress.ts";
import { FakeOutput } from "./fake-output.ts";

/** A bar on a fake stream with a clock that only `tick` moves. */
function bar(
  stream: FakeOutput,
  options: Partial<ProgressOptions> = {},
): { progress: Progress; tick: (ms: number) => void } {
  let now = 1000;
  const progress = new Progress({ label: "train", total: 1000, stream, env: {}, now: () => now, ...options });
  return { progress, tick: (ms) => (now += ms) };
}

/** What each redraw put on the line. */
const drawn = (text: string) =>
  text
    .split("\r")
    .slice(1)
    .map((line) => line.replaceAll("\u001b[K", ""));

describe("Progress on a terminal", () => {
  test("shows label, bar, percent, count, rate, times and fields, on one line that is drawn over", () => {
    const stream = new FakeOutput({ depth: 1, columns: 120 });
    const { progress, tick } = bar(stream);
    tick(2000);
    progress.update(400, { loss: 1.23456, lr: "1e-3" });
    assert.equal(
      drawn(stream.text).at(-1),
      `train ${"━".repeat(12)}${"─".repeat(18)}  40%   400/1,000 200 it/s 0:02, 0:03 left loss=1.235 lr=1e-3`,
    );
    assert.ok(!stream.text.includes("\n"));
    tick(3000);
    progress.finish({ loss: 1 });
    assert.match(stream.visible, / 40% .* 80\.0 it\/s 0:05 loss=1\.000␛\[K\n$/);
  });

  test("draws at most ten times a second, however often it is called", () => {
    const stream = new FakeOutput();
    const { progress, tick } = bar(stream);
    for (let i = 1; i <= 1000; i++) {
      tick(1);
      progress.update(i);
    }
    assert.equal(drawn(stream.text).length, 11); // the first, then one each 100 ms
  });

  test("never fills the width, at any width, in any state", () => {
    for (let columns = 1; columns < 130; columns++) {
      const stream = new FakeOutput({ columns });
      const { progress, tick } = bar(stream, { label: "训练 with a label", total: 123_456 });
      for (const count of [1, 5000, 123_456]) {
        tick(1500);
        progress.update(count, { loss: 1.5, accuracy: "12.5%" });
      }
      progress.finish();
      for (const line of drawn(stream.text)) {
        assert.ok(displayWidth(line.trimEnd()) < Math.max(2, columns), `${columns}: ${line}`);
      }
    }
  });

  test("keeps the label and the percentage longest when the line is narrow", () => {
    const stream = new FakeOutput({ columns: 12, depth: 1 });
    const { progress, tick } = bar(stream);
    tick(1000);
    progress.update(250, { loss: 1 });
    assert.equal(drawn(stream.text).at(-1), "train  25%");
  });

  test("colours the bar only where colours are wanted", () => {
    const colours = /␛\[\d+m/;
    const coloured = new FakeOutput();
    bar(coloured);
    assert.match(coloured.visible, colours);
    const plain = new FakeOutput();
    bar(plain, { env: { NO_COLOR: "1" } });
    assert.doesNotMatch(plain.visible, colours);
  });

  test("leaves the cursor alone, so that an interruption leaves a sound terminal; stop ends the line where it is", () => {
    const stream = new FakeOutput();
    const { progress, tick } = bar(stream);
    tick(500);
    progress.update(300);
    progress.stop();
    progress.stop();
    progress.update(999);
    progress.finish();
    assert.ok(!stream.text.includes("\u001b[?25l"));
    assert.match(stream.text, / 30% .*\n$/);
    assert.equal(stream.text.split("\n").length, 2);
  });

  test("a note goes above the bar", () => {
    const stream = new FakeOutput();
    const { progress } = bar(stream);
    progress.note("saved checkpoint");
    assert.match(stream.visible, /\r␛\[Ksaved checkpoint\n\rtrain /);
    progress.finish();
    progress.note("later");
    assert.ok(stream.text.endsWith("\nlater\n"));
  });

  test("the rate follows the last seconds, and what was there at the start does not enter it", () => {
    const stream = new FakeOutput({ depth: 1, columns: 120 });
    const { progress, tick } = bar(stream, { initial: 500, total: 100_000 });
    for (let i = 1; i <= 40; i++) {
      tick(1000);
      progress.update(500 + (i <= 20 ? i * 100 : 2000 + (i - 20) * 10));
    }
    assert.match(drawn(stream.text)[1] ?? "", / 100 it\/s /);
    assert.match(drawn(stream.text).at(-1) ?? "", / 10\.0 it\/s /);
  });

  test("counts bytes, without a total too", () => {
    const stream = new FakeOutput({ depth: 1 });
    const { progress, tick } = bar(stream, { unit: "B", total: 170_498_071 });
    tick(1000);
    progress.update(17_049_808);
    assert.match(drawn(stream.text).at(-1) ?? "", / 10% {2}17\.0 MB\/170\.5 MB 17\.0 MB\/s 0:01, 0:09 left$/);
    const endless = new FakeOutput({ depth: 1 });
    const open = new Progress({ label: "read", stream: endless, env: {}, now: () => 0 });
    open.finish();
    assert.equal(drawn(endless.text).at(-1), "read 0 0:00\n");
  });
});

describe("Progress off a terminal", () => {
  const log = () => new FakeOutput({ isTTY: false, columns: 20 });

  test("writes a line for each tenth and one at the end, whole, without colours", () => {
    const stream = log();
    const { progress, tick } = bar(stream);
    for (let i = 1; i <= 1000; i++) {
      tick(100);
      progress.update(i, { loss: 2 });
    }
    progress.finish();
    const lines = stream.text.trimEnd().split("\n");
    assert.equal(lines.length, 10);
    assert.equal(lines[0], "train  10% 100/1,000 10.0 it/s 0:10, 1:30 left loss=2.000");
    assert.equal(lines[9], "train 100% 1,000/1,000 10.0 it/s 1:40 loss=2.000");
  });

  test("writes little for a fast job, and shows life for a slow one", () => {
    const fast = log();
    const quick = bar(fast);
    for (let i = 1; i <= 1000; i++) {
      quick.tick(1);
      quick.progress.update(i);
    }
    quick.progress.finish();
    assert.equal(fast.text.split("\n").length, 2);
    const slow = log();
    const lame = bar(slow, { total: 1_000_000 });
    for (let i = 1; i <= 120; i++) {
      lame.tick(1000);
      lame.progress.update(i);
    }
    assert.equal(slow.text.trimEnd().split("\n").length, 4); // each 30 s
  });

  test("a terminal that calls itself dumb gets lines too", () => {
    const stream = new FakeOutput();
    const { progress } = bar(stream, { env: { TERM: "dumb" } });
    progress.finish();
    assert.doesNotMatch(stream.visible, /[\r␛]/);
  });
});

test("durations and bytes are short and rounded without steps such as 0:60 or 1000.0 kB", () => {
  assert.deepEqual([0, 59.6, 61, 3599.7, 36_000].map(duration), ["0:00", "1:00", "1:01", "1:00:00", "10:00:00"]);
  assert.deepEqual([0, 999, 1500, 999_960, 170_498_071, 5e12].map(byteText), [
    "0 B",
    "999 B",
    "1.5 kB",
    "1.0 MB",
    "170.5 MB",
    "5.0 TB",
  ]);
});
