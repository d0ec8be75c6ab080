/** Examples that are too long, cut as LLaMA-Factory cuts them: question and answer share the room that there is. */

/**
 * How many tokens of a question and of its answer remain in `room` tokens. The shorter one stays whole where it takes
 * less than half of the room; otherwise both are cut in proportion.
 */
export function inferSeqlen(source: number, target: number, room: number): readonly [source: number, target: number] {
  let targetRoom = room;
  if (target * 2 >= room) {
    targetRoom = source * 2 < room ? room - source : Math.trunc(room * (target / (source + target)));
  }
  const keptTarget = Math.min(targetRoom, target);
  return [Math.min(Math.max(room - keptTarget, 0), source), keptTarget];
}

/** A question, or whatever else is not trained on, and the answer after it. */
export interface Turn {
  readonly source: Int32Array;
  readonly target: Int32Array;
  /** How many tokens at the end of `source` are no part of the question: they close it and open the answer. */
  readonly closing: number;
}

/**
 * Turns from the first on, as far as they fit. An answer loses its end and with it its stop token, so that what was cut
 * does not teach to stop; a question loses its end too, but never what closes it and opens the answer.
 */
export function truncateTurns(turns: readonly Turn[], cutoffLen: number): Turn[] {
  const kept: Turn[] = [];
  let room = cutoffLen;
  for (const { source, target, closing } of turns) {
    if (room <= 0) break;
    const [sourceLength, targetLength] = inferSeqlen(source.length, target.length, room);
    kept.push({ source: withoutMiddle(source, sourceLength, closing), target: target.slice(0, targetLength), closing });
    room -= sourceLength + targetLength;
  }
  return kept;
}

/**
 * The last turn, and before it as much of what was said earlier as there is room for: its end, being the nearest.
 * @param history how many tokens at the beginning of the turn's `source` are earlier turns
 */
export function truncateLast({ source, target, closing }: Turn, history: number, cutoffLen: number): Turn {
  const [questionLength, targetLength] = inferSeqlen(source.length - history, target.length, cutoffLen);
  const question = withoutMiddle(source.slice(history), questionLength, closing);
  const room = cutoffLen - questionLength - targetLength;
  const earlier = source.slice(Math.max(0, history - room), history);
  return { source: concatenate([earlier, question]), target: target.slice(0, targetLength), closing };
}

/** The ids one after the other. */
export function concatenate(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function withoutMiddle(ids: Int32Array, length: number, closing: number): Int32Array {
  if (length >= ids.length) return ids;
  const end = Math.min(closing, length);
  return concatenate([ids.slice(0, length - end), ids.slice(ids.length - end)]);
}
