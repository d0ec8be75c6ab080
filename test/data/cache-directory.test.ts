import assert from "node:assert/strict";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cacheDirectory } from "../../src/data/cache-directory.ts";

test("the cache is LOWRANK_CACHE, else under XDG_CACHE_HOME, else under ~/.cache", () => {
  assert.equal(cacheDirectory({ LOWRANK_CACHE: "/a/b", XDG_CACHE_HOME: "/x" }), "/a/b");
  assert.equal(cacheDirectory({ LOWRANK_CACHE: "", XDG_CACHE_HOME: "/x" }), join("/x", "lowrank"));
  const standard = join(homedir(), ".cache", "lowrank");
  assert.equal(cacheDirectory({}), standard);
  assert.equal(cacheDirectory({ XDG_CACHE_HOME: "relative" }), standard);
});
