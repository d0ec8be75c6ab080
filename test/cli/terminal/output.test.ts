import assert from "node:assert/strict";
import { test } from "node:test";
import { colorDepth, displayWidth, fitColumns, isInteractive, pad, paint } from "../../../src/cli/terminal/output.ts";
import { FakeOutput } from "./fake-output.ts";

test("colours and a movable cursor are for terminals only, not for dumb ones, and not where NO_COLOR is set", () => {
  const terminal = new FakeOutput();
  assert.equal(colorDepth(terminal, {}), 24);
  assert.equal(colorDepth(terminal, { NO_COLOR: "1" }), 1);
  assert.equal(colorDepth(terminal, { TERM: "dumb" }), 1);
  assert.equal(colorDepth(new FakeOutput({ isTTY: false }), {}), 1);
  assert.equal(isInteractive(terminal, {}), true);
  assert.equal(isInteractive(terminal, { TERM: "dumb" }), false);
  assert.equal(isInteractive({ write: () => undefined }, {}), false);
});

test("widths are those of the screen: colours take nothing, wide characters two columns", () => {
  assert.equal(displayWidth(paint("cat", "red", true)), 3);
  assert.equal(paint("cat", "red", false), "cat");
  assert.equal(displayWidth("青蛙🐸"), 6);
  assert.equal(fitColumns("青蛙青蛙", 6), "青蛙…");
  assert.equal(fitColumns("cat", 3), "cat");
  assert.equal(fitColumns("cats", 3), "ca…");
  assert.equal(fitColumns("cats", 0), "");
  assert.deepEqual([pad("ab", 5, "left"), pad("ab", 5, "right"), pad("ab", 5, "centre")], ["ab   ", "   ab", " ab  "]);
});
