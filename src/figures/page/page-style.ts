/** How a page of results looks: one column on a phone, two figures beside each other on a desk; light or dark as the system is. */
import { COLOURS } from "../colours.ts";

/** Colours of charts on a dark ground, in the order of {@link COLOURS}. */
const DARK_COLOURS = ["#4aa8e8", "#ff8f4a", "#33c79c", "#e08fbb", "#d9a72a", "#7cc7f2", "#d4d4d4"];

/** What charts are drawn with on white, and what takes its place on dark: [kind of attribute, on white, on dark]. */
const DARK_PARTS: readonly (readonly [string, string, string])[] = [
  ["fill", "#111", "#f2f2f2"],
  ["fill", "#222", "#e4e4e4"],
  ["fill", "#444", "#c6c6c6"],
  ["fill", "#555", "#b6b6b6"],
  ["fill", "#666", "#ababab"],
  ["stroke", "#e4e4e4", "#3b424c"],
  ["stroke", "#ddd", "#3b424c"],
  ["stroke", "#777", "#a5a5a5"],
  ["stroke", "#888", "#a5a5a5"],
  ["stroke", "#999", "#a5a5a5"],
  ["stroke", "#bbb", "#77808c"],
  ["stroke", "#b3261e", "#ff8a80"],
  ["fill", "#b3261e", "#ff8a80"],
  ["fill", "#e3e3e3", "#3a404a"],
  ...COLOURS.flatMap((colour, i): (readonly [string, string, string])[] => [
    ["fill", colour, DARK_COLOURS[i]!],
    ["stroke", colour, DARK_COLOURS[i]!],
  ]),
];

const DARK_CHARTS = [
  ...DARK_PARTS.map(([kind, light, dark]) => `figure svg [${kind}="${light}"]{${kind}:${dark}}`),
  `figure svg rect[fill="#fff"],figure svg circle[fill="#fff"]{fill:var(--card)}`,
  `figure svg text[stroke="#fff"]{stroke:var(--card)}`,
].join("\n");

export const PAGE_STYLE = `
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--text:#1b1e23;--faint:#59616d;--line:#d9dde3;--link:#005a9c;
--good:#12703a;--good-ground:#e6f5ec;--warning:#8a5a00;--warning-ground:#fff4dd;--bad:#a3201a;--bad-ground:#fdebe9;--head:#eceff3}
@media (prefers-color-scheme:dark){:root{--ground:#14171c;--card:#1d2127;--text:#e8eaed;--faint:#a9b1bc;--line:#38404a;--link:#7cc0ff;
--good:#79d9a0;--good-ground:#16301f;--warning:#f0c46a;--warning-ground:#352a10;--bad:#ff9c94;--bad-ground:#3b1a18;--head:#262c34}
${DARK_CHARTS}
}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 16px}
h1{font-size:1.6rem;line-height:1.25;margin:1.4rem 0 .2rem}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem}
h1,h2,h3,p,li,summary,figcaption{overflow-wrap:anywhere}
td{overflow-wrap:break-word}
p,ul,ol{margin:.5rem 0;max-width:75ch}
ul,ol{padding-left:1.3rem}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:3px}
code{font:.92em ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;background:var(--head);padding:.08em .3em;border-radius:4px}
.faint{color:var(--faint)}
.skip{position:absolute;left:-9999px}
.skip:focus{left:8px;top:8px;background:var(--card);padding:.5rem;z-index:9}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.8rem 0 1rem}
nav a{padding:.25rem 0}
.verdict{border-left:6px solid;border-radius:8px;padding:.8rem 1.1rem;margin:1rem 0}
.verdict h2{margin:0 0 .3rem;font-size:1.2rem}
.verdict.good{border-color:var(--good);background:var(--good-ground)}
.verdict.warning{border-color:var(--warning);background:var(--warning-ground)}
.verdict.bad{border-color:var(--bad);background:var(--bad-ground)}
.verdict h3{margin:.8rem 0 0;font-size:1rem}
.notices{border:1px solid var(--warning);border-radius:8px;padding:.4rem 1.1rem;margin:1rem 0;background:var(--warning-ground)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:1rem 0}
.fact{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem}
.fact b{display:block;font-size:1.5rem;line-height:1.2;font-variant-numeric:tabular-nums}
.fact span{display:block;font-size:.85rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:14px;margin:1rem 0;align-items:start}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px;min-width:0}
figure.wide{grid-column:1/-1}
.canvas{overflow-x:auto}
.canvas svg{display:block;width:100%;height:auto;max-width:760px;margin:0 auto}
figure.wide .canvas svg{max-width:none;min-width:660px}
figcaption{padding:.2rem .4rem .3rem;font-size:.9rem}
figcaption p{margin:.3rem 0}
.files{display:flex;flex-wrap:wrap;gap:.3rem .9rem;align-items:center;font-size:.85rem}
.files a,.files button{padding:.25rem 0}
button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer;text-align:inherit}
.files button{color:var(--link);text-decoration:underline}
.table{margin:1rem 0}
.scroll{overflow:auto;max-height:75vh;border:1px solid var(--line);border-radius:8px;background:linear-gradient(to right,transparent,var(--card) 60%) 100% 0/3rem 100% no-repeat local,linear-gradient(to left,#8888,transparent) 100% 0/.9rem 100% no-repeat scroll,var(--card)}
table{border-collapse:separate;border-spacing:0;font-size:.88rem;font-variant-numeric:tabular-nums;min-width:100%}
.caption{color:var(--faint);font-size:.92rem}
th,td{padding:.38rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{position:sticky;top:0;background:var(--head);z-index:2;max-width:8.5rem;vertical-align:bottom}
td.n,th.n{text-align:right}
td.n{white-space:nowrap}
td:first-child{line-height:1.35}
td+td{min-width:5.2rem}
tr>:first-child{position:sticky;left:0;background:var(--card);z-index:1;min-width:19rem;max-width:24rem}
table.dense{font-size:.78rem}.dense th,.dense td{padding:.38rem .28rem}.dense td+td{min-width:3.2rem}.dense tr>:first-child{min-width:15.5rem;padding-left:.6rem}
thead tr>:first-child{background:var(--head);z-index:3}
tbody tr:last-child td{border-bottom:0}
tbody tr:hover td{background:var(--head)}
th button{font-weight:600;width:100%}
th.n button{text-align:right}
th button::after{content:"\\a0↕";color:var(--faint)}
th[aria-sort=ascending] button::after{content:"\\a0↑";color:inherit}
th[aria-sort=descending] button::after{content:"\\a0↓";color:inherit}
td.good{color:var(--good)}td.warning{color:var(--warning);font-weight:600}td.bad{color:var(--bad);font-weight:600}
.search{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center;margin:.6rem 0}
.search input{font:inherit;padding:.4rem .6rem;border:1px solid var(--faint);border-radius:6px;background:var(--card);color:var(--text);width:min(100%,22rem)}
details{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:.5rem 0}
summary{padding:.55rem .8rem;cursor:pointer;font-weight:600}
summary .faint{font-weight:400;font-size:.88rem}
.inside{padding:0 .8rem .6rem}
.inside figure{border-color:var(--line)}
footer{margin-top:2.5rem;padding-bottom:2rem;font-size:.88rem;color:var(--faint)}
@media (max-width:640px){body{font-size:15px}main,header,footer{padding:0 10px}.figures{gap:10px}.inside{padding:0 .4rem .4rem}
.verdict{padding:.7rem .8rem}tr>:first-child,.dense tr>:first-child{min-width:7.5rem;max-width:9.5rem}th,td{padding:.35rem .5rem}
.scroll:has(.stacks){max-height:none}.stacks thead{position:absolute;left:-9999px}.stacks,.stacks tbody,.stacks tr,.stacks td{display:block}
.stacks tr{padding:.4rem 0;border-bottom:1px solid var(--line)}.stacks td,.stacks tr>:first-child{position:static;border:0;min-width:0;max-width:none}
.stacks td+td::before{content:attr(data-label) ": ";color:var(--faint);font-weight:400}.stacks tr>:first-child{font-weight:600}}
@media print{.scroll{max-height:none;overflow:visible}.files,.search,nav{display:none}figure{break-inside:avoid}}
`;
