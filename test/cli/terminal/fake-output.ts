import type { Output } from "../../../src/cli/terminal/output.ts";

/** A stream that keeps what was written, and says of itself what a test wants. */
export class FakeOutput implements Output {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly #depth: number;
  text = "";

  constructor({ isTTY = true, columns = 80, depth = 24 }: { isTTY?: boolean; columns?: number; depth?: number } = {}) {
    this.isTTY = isTTY;
    this.columns = columns;
    this.#depth = depth;
  }

  /** What was written, with a visible sign for each escape character. */
  get visible(): string {
    return showEscapes(this.text);
  }

  write(text: string): void {
    this.text += text;
  }

  /** As Node's streams do: NO_COLOR turns colours off. */
  getColorDepth(env: Record<string, string | undefined> = {}): number {
    return env["NO_COLOR"] ? 1 : this.#depth;
  }
}

/** Escape characters as ␛, which a regular expression may hold. */
export function showEscapes(text: string): string {
  return text.replaceAll("\u001b", "␛");
}
