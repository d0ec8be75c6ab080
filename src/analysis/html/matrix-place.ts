/** Where a matrix is in a model, by its name: `model.layers.3.mlp.up_proj.weight` is `mlp.up_proj` of layer 3. */

export interface Place {
  /** Undefined where the name has no number. */
  readonly layer: number | undefined;
  /** Kind of matrix: the same in all layers. */
  readonly kind: string;
}

/** @param names of the parameters, all different @returns as many places; no two of them are the same */
export function placesOf(names: readonly string[]): Place[] {
  const parts = names.map((name) => {
    const [, before = "", layer, after = ""] = /^(.*?)(?:^|\.)(\d+)\.(.+)$/.exec(name) ?? [];
    const bare = (layer === undefined ? name : after).replace(/\.weight$/, "");
    return { before, layer: layer === undefined ? undefined : Number(layer), bare };
  });
  // Encoder and decoder count their layers apart.
  const hasOneList = new Set(parts.flatMap(({ before, layer }) => (layer === undefined ? [] : [before]))).size <= 1;
  return parts.map(({ before, layer, bare }) => ({
    layer,
    kind: layer === undefined || hasOneList || before === "" ? bare : `${before}: ${bare}`,
  }));
}

/** The name without what all names share: shorter, and still telling them apart. */
export function shortName({ layer, kind }: Place): string {
  return layer === undefined ? kind : `layer ${layer}: ${kind}`;
}

/** For file names and addresses: letters, digits, hyphens and underscores, and different for every index. */
export function slugOf(name: string, index: number): string {
  const readable = name
    .replace(/\.weight$/, "")
    .replace(/^(model|base_model|transformer)\./, "")
    .replace(/[^A-Za-z0-9_]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 70);
  return `m${String(index + 1).padStart(3, "0")}-${readable}`;
}
