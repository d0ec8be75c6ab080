/** The report as a person sees it. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { renderReport } from "../../../src/cli/data/render-report.ts";
import { visible } from "../../../src/cli/data/visible.ts";
import type { DataReport } from "../../../src/data/report/report.ts";
import { showEscapes } from "../terminal/fake-output.ts";

const REPORT: DataReport = {
  part: "train",
  stage: "sft",
  datasets: [
    {
      name: "faq",
      path: "faq.json",
      format: "alpaca",
      why: 'columns "q" and "a"',
      part: "train",
      read: 1200,
      kept: 1100,
    },
  ],
  template: { name: "qwen", origin: "model", notes: ["it is so"] },
  cutoffLen: 512,
  read: 1200,
  examples: 1100,
  dropped: [{ reason: "longer than cutoff_len 512", count: 1, places: ["faq.json:3"] }],
  bad: [{ reason: 'column "a" is empty', count: 99, places: ["faq.json:1", "faq.json:2", "faq.json:4"] }],
  truncated: { count: 2, tokensLost: 30, longest: 540, stopLost: 1, places: ["faq.json:7", "faq.json:8"] },
  remarks: [{ reason: "end with a question: it was left out", count: 3, places: ["faq.json:9"] }],
  tokens: { total: 100_000, trained: 40_000 },
  lengths: { min: 9, p5: 10, p50: 100, p95: 400, max: 512 },
  stopTrained: 1099,
  rows: { count: 200, packed: true, fill: 0.9765 },
  samples: [
    {
      source: { dataset: "faq", file: "faq.json", line: 5 },
      tokens: 9,
      trained: 3,
      shown: 9,
      text: "<s>ask\nsay \n</s>",
      segments: [
        { text: "<s>ask\n", trained: false },
        { text: "say \n</s>", trained: true },
      ],
    },
  ],
};

suite("a report", () => {
  test("without colours", () => {
    assert.equal(
      renderReport(REPORT, { color: false, width: 76 }),
      `training data (stage sft)
data set  format   read   kept
────────  ──────  ─────  ─────
faq       alpaca  1,200  1,100
columns "q" and "a"

read 1,200 · kept 1,100 · cut 2 · dropped 1 · bad 99
! 99 (8.3%) bad: column "a" is empty
    faq.json:1, faq.json:2, faq.json:4, …
! 1 (0.1%) dropped: longer than cutoff_len 512
    faq.json:3
! 2 examples (0.2%) were longer than cutoff_len 512 and cut: 30 tokens lost;
  1 lost the stop token; the longest had 540 tokens
    faq.json:7, faq.json:8
- 3 examples end with a question: it was left out (faq.json:9)

tokens      100,000 per epoch, 40,000 trained on (40.0%)
length      min 9 · 5% 10 · median 100 · 95% 400 · max 512
stop token  99.9% of the examples end with a stop token that is trained on
rows        200 rows of up to 512 tokens, 97.7% full, packed from 1,100
            examples
template    the model's own chat template (as "qwen")
            - it is so

samples («…»: trained on)
faq: 9 tokens, 3 trained on
faq.json:5
<s>ask↵
«say·↵
</s>»
`,
    );
  });

  test("in colours: trained text is green in each of its lines, and has no marks", () => {
    const text = showEscapes(renderReport(REPORT, { color: true, width: 76 }));
    assert.ok(text.includes("␛[2m<s>ask↵␛[22m\n␛[32msay·↵␛[39m\n␛[32m</s>␛[39m"), text);
    assert.ok(!text.includes("«"));
    assert.ok(text.includes("␛[31m! 1 (0.1%) dropped: longer than cutoff_len 512␛[39m"));
  });

  test("leaves the middle of long samples out", () => {
    const text = renderReport(REPORT, { color: false, width: 76, sampleCharacters: 9 });
    assert.ok(text.endsWith("<s>ask […7 characters…] «/s>»\n"), text);
    const inTraining = renderReport(REPORT, { color: false, width: 76, sampleCharacters: 13 });
    assert.ok(inTraining.includes("<s>ask↵\n«sa» […3 characters…] «</s>»"), inTraining);
  });

  test("says loudly that no stop token is trained on", () => {
    const text = showEscapes(renderReport({ ...REPORT, stopTrained: 0 }, { color: true, width: 200 }));
    assert.match(text, /␛\[31mstop token +! 0% of the examples .*never learn to end an answer/);
  });
});

suite("text from data", () => {
  test("shows what cannot be seen, and cannot command the terminal", () => {
    assert.equal(visible("a\tb \r\nc\u00a0d  "), "a→b ␍↵\nc⍽d··");
    assert.equal(visible("a  ", "b"), "a  ");
    assert.equal(visible("\u001b[31mred\u0007"), "\\x1b[31mred\\x07");
    assert.equal(visible("\u200b\ufeff\u202e\ue000"), "\\u200b\\ufeff\\u202e\\ue000");
    assert.equal(visible("é 漢字 👩‍👩‍👧 ­"), "é 漢字 👩‍👩‍👧 \\xad");
  });
});
