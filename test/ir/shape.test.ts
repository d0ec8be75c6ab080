import assert from "node:assert/strict";
import test from "node:test";
import { ShapeError } from "../../src/errors.ts";
import {
  addDim,
  broadcastShapes,
  ceilDim,
  dim,
  divideDim,
  elementCount,
  knownSizes,
  mulDim,
  nameOf,
  normalizeAxis,
  printDim,
  printShape,
  sameDim,
  sameShape,
  shapeOf,
  sizeOf,
  sizesOf,
  subDim,
  type Dim,
  type DimLike,
} from "../../src/ir/shape.ts";

const d = (value: DimLike): Dim => dim(value);
const fails = (run: () => unknown, message: string) =>
  assert.throws(run, (error) => {
    assert.ok(error instanceof ShapeError);
    assert.equal(error.message, message);
    return true;
  });

test("a shape prints with names and sizes", () => {
  assert.equal(printShape([d("B"), d("T"), dim(896, "D"), d(3)]), "[B, T, D=896, 3]");
  assert.equal(printShape([]), "[]");
});

test("polynomials have one form, however they are made or written", () => {
  const forms: [Dim, string][] = [
    [mulDim(d("T"), d("B")), "B*T"],
    [d("T*B"), "B*T"],
    [addDim(d("T"), d("P")), "P+T"],
    [d("T+P"), "P+T"],
    [addDim(mulDim(d(2), d("T")), d(1)), "2*T+1"],
    [d("1+T*2"), "2*T+1"],
    [d("T+T"), "2*T"],
    [subDim(d("S"), d("T")), "S-T"],
    [d("-T+S"), "S-T"],
    [mulDim(addDim(d("P"), d("T")), d("B")), "B*P+B*T"],
    [mulDim(addDim(d("P"), d("T")), subDim(d("P"), d("T"))), "P*P-T*T"],
    [mulDim(dim(896, "D"), d("T")), "896*T"],
    [mulDim(d("T"), d(1)), "T"],
    [mulDim(dim(1, "one"), d("T")), "T"],
  ];
  for (const [made, printed] of forms) {
    assert.equal(printDim(made), printed);
    assert.ok(sameDim(made, d(printed)), printed);
  }
});

test("polynomials without names left are sizes", () => {
  assert.equal(subDim(d("T"), d("T")).size, 0);
  assert.equal(subDim(addDim(d("T"), d(3)), d("T")).size, 3);
  assert.equal(mulDim(d(0), d("T")).size, 0);
  assert.equal(d("7").size, 7);
  assert.equal(d("2*3").size, 6);
});

test("names do not decide whether known sizes are equal, sizes do", () => {
  assert.ok(sameDim(dim(8, "H"), d(8)));
  assert.ok(!sameDim(dim(8, "H"), dim(9, "H")));
  assert.ok(!sameDim(d("T"), d(8)));
  assert.ok(!sameDim(d("T"), d("S")));
  assert.ok(!sameShape(shapeOf([3]), shapeOf([3, 1])));
});

test("divideDim", () => {
  const quotient = (a: DimLike, b: DimLike) => printDim(divideDim(d(a), d(b), "reshape"));
  assert.equal(quotient(12, 4), "3");
  assert.equal(quotient("B*T", "T"), "B");
  assert.equal(quotient("6*B*T", "2*T"), "3*B");
  assert.equal(quotient("B*P+B*T", "B"), "P+T");
  assert.equal(quotient("B*P+B*T", "P+T"), "B");
  assert.equal(quotient("8*B*P+8*B*T", "4*P+4*T"), "2*B");
  assert.equal(quotient("P*P-T*T", "P-T"), "P+T");
  assert.equal(quotient("T", 1), "T");
  assert.equal(quotient(0, "T"), "0");
  fails(() => quotient(12, 5), "reshape: elements do not divide evenly: got 12 / 5");
  fails(() => quotient("T", 2), "reshape: elements do not divide evenly: got T / 2");
  fails(() => quotient("B*T", "S"), "reshape: elements do not divide evenly: got B*T / S");
  fails(() => quotient("P+T", "P-T"), "reshape: elements do not divide evenly: got P+T / P-T");
  fails(() => quotient(12, 0), "reshape: elements do not divide evenly: got 12 / 0");
  fails(() => quotient("T", 0), "reshape: elements do not divide evenly: got T / 0");
});

test("sizes of dimensions, given those of their names", () => {
  const shape = shapeOf(["B", "P+T", "2*T-1", "B*T", 7]);
  assert.deepEqual(sizesOf(shape, { B: 2, P: 3, T: 5 }), [2, 8, 9, 10, 7]);
  assert.equal(sizeOf(elementCount(shapeOf(["B", "P+T", 4])), { B: 2, P: 3, T: 5 }), 64);
  fails(() => sizeOf(d("P+T"), { T: 5 }), 'P+T: the size of "P" is not known here');
  fails(
    () => knownSizes(shapeOf([2, "T"]), "conv"),
    "conv: needs sizes that are known when the graph is traced: got [2, T]",
  );
});

test("ceilDim divides and rounds up, now or when the name's size is known", () => {
  assert.deepEqual(ceilDim(dim(16), 8), dim(2));
  assert.deepEqual(ceilDim(dim(17, "T"), 8), dim(3));
  assert.deepEqual(ceilDim(dim("B*T"), 1), dim("B*T"));
  const eighth = ceilDim(dim("T"), 8);
  assert.equal(printDim(eighth), "T_over_8");
  const rounded = mulDim(dim(8), eighth);
  for (const [T, whole] of [
    [1, 8],
    [16, 16],
    [17, 24],
  ] as const) {
    assert.equal(sizeOf(rounded, { T }), whole);
    assert.equal(sizeOf(subDim(rounded, dim("T")), { T }), whole - T);
  }
  // ⌈⌈T/4⌉/2⌉
  assert.equal(sizeOf(ceilDim(ceilDim(dim("T"), 4), 2), { T: 9 }), 2);
  assert.equal(sizeOf(eighth, { T: 100, T_over_8: 5 }), 5);
  fails(() => sizeOf(eighth, {}), 'T_over_8: the size of "T_over_8" is not known here');
  fails(() => ceilDim(dim("B*T"), 2), "B*T: only a dimension with one name can be divided and rounded up");
});

test("nameOf is for sizes with one name", () => {
  assert.equal(nameOf(d("T")), "T");
  for (const other of [d("B*T"), d("2*T"), d("T+1"), dim(896, "D"), d(3)]) assert.equal(nameOf(other), undefined);
});

test("what is no dimension", () => {
  fails(() => dim(-1, "heads"), "heads: not a dimension: got -1, expected an integer >= 0");
  fails(() => dim(2.5), "shape: not a dimension: got 2.5, expected an integer >= 0");
  fails(() => dim(NaN), "shape: not a dimension: got NaN, expected an integer >= 0");
  const expected = "expected a name, or names in sums and products such as B*T or P+T";
  fails(() => dim("B T"), `B T: not a dimension: got "B T", ${expected}`);
  fails(() => dim(""), `shape: not a dimension: got "", ${expected}`);
  fails(() => dim("B**T"), `B**T: not a dimension: got "B**T", ${expected}`);
  fails(() => dim("-3"), "-3: not a dimension: got -3, expected an integer >= 0");
});

test("broadcasting aligns trailing axes and keeps names", () => {
  const print = (...shapes: (readonly DimLike[])[]) => printShape(broadcastShapes("add", ...shapes.map(shapeOf)));
  assert.equal(print(["B", "T", dim(896, "D")], [896]), "[B, T, D=896]");
  assert.equal(print([896], ["B", "T", dim(896, "D")]), "[B, T, D=896]");
  assert.equal(print(["B", 1, 3], ["T", 1]), "[B, T, 3]");
  assert.equal(print([], []), "[]");
  assert.equal(print([0, 3], [1, 3]), "[0, 3]");
  assert.equal(print(["T*B", 1], ["B*T", 5]), "[B*T, 5]");
  fails(() => print(["B", "T"], ["B", "S"]), "add: shapes do not broadcast: got [B, T] and [B, S]");
  fails(() => print([dim(896, "D")], [dim(64, "Dh")]), "add: shapes do not broadcast: got [D=896] and [Dh=64]");
  // A size that is known by name only may be 1 when the graph runs, but that is not known.
  fails(() => print(["T"], [3]), "add: shapes do not broadcast: got [T] and [3]");
});

test("axes count from both ends", () => {
  assert.equal(normalizeAxis(-1, 3, "softmax"), 2);
  assert.equal(normalizeAxis(0, 3, "softmax"), 0);
  fails(() => normalizeAxis(3, 3, "softmax"), "softmax: no such axis: got 3, expected -3 to 2");
  fails(() => normalizeAxis(-4, 3, "softmax"), "softmax: no such axis: got -4, expected -3 to 2");
});
