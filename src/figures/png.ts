/** PNG files from pixels and from SVG. Text is drawn with a font that comes with the package, on any machine alike. */

import { fileURLToPath } from "node:url";
import { Resvg } from "@resvg/resvg-js";
import { encode } from "fast-png";

const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"].map((name) =>
  fileURLToPath(import.meta.resolve(`dejavu-fonts-ttf/ttf/${name}`)),
);

/**
 * Draws an SVG picture.
 * @param scale pixels of the result for one unit of the picture. Default 2, for screens with a high density
 * @returns the bytes of a PNG file
 */
export function svgToPng(svg: string, scale = 2): Uint8Array {
  const picture = new Resvg(svg, {
    fitTo: { mode: "zoom", value: scale },
    font: {
      loadSystemFonts: false,
      fontFiles: FONT_FILES,
      defaultFontFamily: "DejaVu Sans",
      sansSerifFamily: "DejaVu Sans",
    },
  });
  return picture.render().asPng();
}

/**
 * A PNG file of an image, as a `data:` address for an SVG `<image>`. It is enlarged here, because programs that show
 * SVG differ in whether they smooth enlarged images.
 * @param pixels [3, height, width] bytes: the planes of red, green and blue
 * @param factor each pixel becomes factor × factor pixels
 */
export function pngDataUri(pixels: Uint8Array, width: number, height: number, factor: number): string {
  const [wide, high] = [width * factor, height * factor];
  const data = new Uint8Array(3 * wide * high);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const from = Math.floor(y / factor) * width + Math.floor(x / factor);
      for (let channel = 0; channel < 3; channel++) {
        data[3 * (y * wide + x) + channel] = pixels[channel * width * height + from] ?? 0;
      }
    }
  }
  const png = encode({ width: wide, height: high, data, channels: 3, depth: 8 });
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}

/**
 * As {@link pngDataUri}, of an image with at most 256 colours: much smaller.
 * @param indices [height, width]: which of the colours
 */
export function indexedPngDataUri(
  indices: Uint8Array,
  width: number,
  height: number,
  { palette, factor }: { readonly palette: readonly (readonly [number, number, number])[]; readonly factor: number },
): string {
  const [wide, high] = [width * factor, height * factor];
  const data = new Uint8Array(wide * high);
  for (let y = 0; y < high; y++) {
    const row = Math.floor(y / factor) * width;
    for (let x = 0; x < wide; x++) data[y * wide + x] = indices[row + Math.floor(x / factor)]!;
  }
  const colours = palette.map(([red, green, blue]) => [red, green, blue]);
  const png = encode({ width: wide, height: high, data, channels: 1, depth: 8, palette: colours });
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}
