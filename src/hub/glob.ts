/** Patterns of file names, as on a command line. */

/** `*` stands for any part of a name, `**\/` for any folders or none. Paths have `/`. */
export function matchesGlob(path: string, pattern: string): boolean {
  const source = pattern
    .split("**/")
    .map((part) =>
      part
        .split("*")
        .map((literal) => literal.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"))
        .join("[^/]*"),
    )
    .join("(?:.*/)?");
  return new RegExp(`^${source}$`).test(path);
}
