/** Python's regular expressions: what they match, and what is refused. Expectations are those of Python's `re`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pythonPattern } from "../../src/adapters/python-pattern.ts";
import { ConfigError } from "../../src/errors.ts";

const whole = (pattern: string, text: string) => pythonPattern(pattern, "target_modules").matchesWhole(text);
const start = (pattern: string, text: string) => pythonPattern(pattern, "target_modules").matchesStart(text);

describe("re.fullmatch", () => {
  for (const [pattern, yes, no] of [
    ["q_proj", ["q_proj"], ["xq_proj", "q_proj.", ""]],
    [String.raw`.*\.(q|v)_proj`, ["a.b.q_proj", ".v_proj"], ["q_proj", "a.k_proj"]],
    [String.raw`layers\.\d+\.x`, ["layers.10.x", "layers.٣.x"], ["layers..x", "layers.a.x"]],
    ["(?P<kind>attn|mlp)_1", ["attn_1", "mlp_1"], ["_1"]],
    ["(?:ab)*c?", ["", "abab", "ababc", "c"], ["ac", "abb"]],
    ["a{2}b{,2}c{1,}d{0,1}", ["aac", "aabbccd"], ["ac", "aabbbc", "aacdd"]],
    ["a{x}b{}", ["a{x}b{}"], ["ab"]],
    ["(a|ab)(c|bcd)(d*)", ["abcd", "acd", "abcdd"], ["ab"]],
    ["[]a-c^-]+", ["]", "abc", "^-"], ["d", ""]],
    ["[^]a]", ["b", "["], ["]", "a"]],
    [String.raw`[\w.]+\.[\d\-]`, ["a.b.3", "x.-"], ["a.b.x"]],
    [String.raw`\Aa\Z`, ["a"], ["aa"]],
    [String.raw`^a$|^b$`, ["a", "b"], ["ab"]],
    [String.raw`q\B_x\b`, ["q_x"], ["q_"]],
    [String.raw`q\b\.x\b`, ["q.x"], ["qa.x"]],
    ["^(?!.*visual).*(?:proj|fc)$", ["model.q_proj", "fc"], ["visual.q_proj", "model.norm"]],
    ["(?=a).b?", ["a", "ab"], ["b"]],
    [String.raw`.*(?<=attn)\.q`, ["self_attn.q"], ["mlp.q"]],
    [String.raw`.*(?<!attn)\.q`, ["mlp.q"], ["self_attn.q"]],
    ["(?i)Q_Proj[a-c]", ["q_PROJB"], ["q_projd"]],
    ["(?i:q)_proj", ["Q_proj"], ["Q_Proj"]],
    ["a(?#a comment)b", ["ab"], ["a"]],
    [String.raw`\x61\u0062\.`, ["ab."], ["abc"]],
    ["a*?b+?c??", ["aab", "bc"], ["a"]],
    ["(a*)*b", ["b", "aab"], ["a"]],
    ["x{0}y", ["y"], ["xy"]],
    ["a||b", ["a", "b", ""], ["ab"]],
  ] as const) {
    it(pattern, () => {
      assert.deepEqual(
        yes.filter((text) => !whole(pattern, text)),
        [],
        "not matched",
      );
      assert.deepEqual(
        no.filter((text) => whole(pattern, text)),
        [],
        "matched",
      );
    });
  }
});

it("re.match: the beginning is enough", () => {
  assert.ok(start("a|b", "abc"));
  assert.ok(!start("b", "abc"));
  assert.ok(start(String.raw`(.*\.)?(q_proj)$`, "layers.0.q_proj"));
  assert.ok(!start(String.raw`(.*\.)?(q_proj)$`, "layers.0.q_proj_2"));
  assert.ok(start(String.raw`(.*\.)?(^model.q)$`, "model.q"));
  assert.ok(!start(String.raw`(.*\.)?(^model.q)$`, "x.model.q"));
});

describe("refused", () => {
  for (const [pattern, message] of [
    ["(a", /a \( without its \)/],
    ["a)", /a \) without its \(/],
    ["[a", /a \[ without its \]/],
    ["*a", /nothing to repeat before \*/],
    ["a**", /a quantifier after a quantifier/],
    ["a{3,2}", /\{3,2\}: the least is more than the most/],
    ["[b-a]", /not a range of characters/],
    ["a\\", /a backslash at the end/],
    [String.raw`\q`, /no such escape: \\q/],
    [String.raw`\xg1`, /\\x needs 2 digits/],
    ["(?<name>a)", /no such group/],
    ["(?k:a)", /no such group/],
    ["a(?i)b", /no such group/],
    [String.raw`(a)\1`, /a back-reference is not supported/],
    ["(?P<x>a)(?P=x)", /a back-reference is not supported/],
    ["(?>a)", /an atomic group is not supported/],
    ["a++", /a possessive quantifier is not supported/],
    ["(a)(?(1)b|c)", /a condition is not supported/],
    ["(?x)a", /the flag x is not supported/],
    ["a".repeat(10_001), /longer than 10000 characters/],
    ["(".repeat(200), /nested more than 100 deep/],
  ] as const) {
    it(pattern.slice(0, 30), () =>
      assert.throws(
        () => whole(pattern, "a"),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, /^target_modules: /);
          assert.match(error.message, message);
          assert.ok(error.message.length < 1000);
          return true;
        },
      ),
    );
  }
});

it("what makes other engines try for ever takes no longer than the rest", () => {
  const name = `model.layers.0.${"a".repeat(60)}`;
  for (const pattern of [
    "(a+)+b",
    "(.*)*(.*)*(.*)*!",
    "(a|a)*c",
    "((a{0,100}){0,100}){0,100}!",
    "(?:(?:.?){99999}){99999}!",
  ]) {
    assert.equal(whole(`.*${pattern}`, name), false, pattern);
  }
});
