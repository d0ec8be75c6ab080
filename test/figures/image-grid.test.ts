import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode } from "fast-png";
import { ConfigError, ShapeError } from "../../src/errors.ts";
import { imageGridPng, imageGridSvg } from "../../src/figures/image-grid.ts";
import type { LabelledImage } from "../../src/figures/image-grid.ts";

/** An image whose pixels all differ from their neighbours: red by x, green by y, blue alternating. */
const pixels = Uint8Array.from({ length: 3 * 32 * 32 }, (_, i) => {
  const [channel, y, x] = [Math.floor(i / 1024), Math.floor(i / 32) % 32, i % 32];
  return channel === 0 ? x * 8 : channel === 1 ? y * 8 : (x + y) % 2 === 0 ? 255 : 0;
});
const image = (label: string, rest: Partial<LabelledImage> = {}): LabelledImage => ({ pixels, label, ...rest });

interface Picture {
  width: number;
  height: number;
  at: (x: number, y: number) => [number, number, number];
}

function picture(png: Uint8Array): Picture {
  const { width, height, data, channels } = decode(png);
  return { width, height, at: (x, y) => [0, 1, 2].map((c) => data[(y * width + x) * channels + c] ?? -1) as never };
}

/** Corners of the images in the layout, from the SVG. */
function corners(svg: string): { x: number; y: number; size: number }[] {
  return [...svg.matchAll(/<image x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"/g)].map(([, x, y, size]) => ({
    x: Number(x),
    y: Number(y),
    size: Number(size),
  }));
}

/** Whether any pixel of a box is closer to the colour than to white. */
function holds(
  shown: Picture,
  box: { x: number; y: number; width: number; height: number },
  colour: number[],
): boolean {
  for (let y = box.y; y < box.y + box.height; y++) {
    for (let x = box.x; x < box.x + box.width; x++) {
      if (shown.at(x, y).every((value, c) => Math.abs(value - (colour[c] ?? 0)) < 40)) return true;
    }
  }
  return false;
}

describe("image grid", () => {
  test("draws each pixel as a sharp square of its own colour, for every image", () => {
    const images = ["a", "b", "c", "d", "e", "f"].map((label) => image(label));
    const options = { title: "Six", columns: 3, scale: 2 };
    const shown = picture(imageGridPng(images, options));
    const places = corners(imageGridSvg(images, options));
    assert.equal(places.length, 6);
    for (const { x, y, size } of places) {
      assert.equal(size, 64);
      for (let i = 0; i < 128; i++) {
        for (let j = 0; j < 128; j++) {
          const [px, py] = [Math.floor(i / 4), Math.floor(j / 4)];
          assert.deepEqual(shown.at(2 * x + i, 2 * y + j), [px * 8, py * 8, (px + py) % 2 === 0 ? 255 : 0]);
        }
      }
    }
  });

  test("no image, frame or label reaches into another one", () => {
    const images = Array.from({ length: 11 }, () => image("a fairly long label for it", { detail: "true: x" }));
    const places = corners(imageGridSvg(images, { columns: 4 }));
    for (const [i, a] of places.entries()) {
      for (const b of places.slice(i + 1)) {
        const apart = Math.abs(a.x - b.x) >= a.size + 6 || Math.abs(a.y - b.y) >= a.size + 30;
        assert.ok(apart, `${JSON.stringify(a)} ${JSON.stringify(b)}`);
      }
    }
    assert.equal(new Set(places.map(({ y }) => y)).size, 3);
  });

  test("frames and names right predictions in green, wrong ones in red, others in neither", () => {
    const images = [
      image("cat", { verdict: "right", detail: "true: cat" }),
      image("dog", { verdict: "wrong" }),
      image("fox"),
    ];
    const svg = imageGridSvg(images);
    const shown = picture(imageGridPng(images));
    const [green, red] = [
      [0x15, 0x80, 0x3d],
      [0xc6, 0x28, 0x28],
    ];
    const found = corners(svg).map(({ x, y, size }) => {
      const frame = shown.at(2 * x - 3, 2 * y + size);
      const label = { x: 2 * x, y: 2 * (y + size) + 8, width: 2 * size, height: 26 };
      return [frame, holds(shown, label, green), holds(shown, label, red)];
    });
    assert.deepEqual(found, [
      [green, true, false],
      [red, false, true],
      [[255, 255, 255], false, false],
    ]);
    assert.match(svg, />✓ cat</);
    assert.match(svg, />✗ dog</);
    assert.match(svg, />true: cat</);
  });

  test("draws the title and labels with a font of its own, and makes room for a long title", () => {
    const short = picture(imageGridPng([image("x")]));
    const title = "A title that is much longer than one image is wide";
    const long = picture(imageGridPng([image("x")], { title }));
    assert.ok(long.width > short.width && long.height > short.height);
    assert.ok(holds(long, { x: 40, y: 40, width: long.width - 80, height: 40 }, [0x11, 0x11, 0x11]), "title");
  });

  test("is one file: nothing outside is referred to, and labels are text only", () => {
    const svg = imageGridSvg([image("<script>&", { detail: "\u0007" })], { title: `"x" & y`, subtitle: "<b>" });
    for (const [, address] of svg.matchAll(/(?:href|src)="([^"]*)"/g)) assert.match(address ?? "", /^data:image\/png;/);
    assert.doesNotMatch(svg, /<script|<b>|url\(/);
    assert.match(svg, /font-family="[^"]*sans-serif"/);
  });

  test("says what is wrong with its arguments", () => {
    assert.throws(() => imageGridPng([]), ConfigError);
    assert.throws(() => imageGridPng([image("x")], { columns: 0 }), /image grid columns: bad size: got 0/);
    assert.throws(() => imageGridPng([image("x"), { label: "y", pixels: new Uint8Array(5) }]), ShapeError);
  });
});
