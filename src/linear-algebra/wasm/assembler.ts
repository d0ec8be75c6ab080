/**
 * Writes WebAssembly: as much of its binary format (version 1, with the 128-bit SIMD proposal) as loops over float64 need.
 * Code is a list of bytes; a function that stands for an instruction takes its operands' code and returns their code and its own.
 */
export type Code = readonly number[];

export type ValueType = keyof typeof TYPES;
const TYPES = { i32: 0x7f, f64: 0x7c, v128: 0x7b } as const;

export interface WasmFunction {
  readonly name: string;
  readonly params: readonly ValueType[];
  /** Of the variables after the parameters, which are numbered first. */
  readonly locals: readonly ValueType[];
  readonly result?: ValueType;
  readonly body: Code;
}

/** LEB128 of a number that is not negative. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    const low = rest & 0x7f;
    const isLast = rest >> 6 === 0 || rest >> 6 === -1;
    bytes.push(isLast ? low : low | 0x80);
    if (isLast) return bytes;
  }
}

const counted = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()];
const sized = (bytes: Code): number[] => [...unsigned(bytes.length), ...bytes];
const named = (name: string): number[] => sized([...new TextEncoder().encode(name)]);
const section = (id: number, content: Code): number[] => [id, ...sized(content)];

/** `\0asm`, version 1. */
const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** A module that imports its memory as `env.memory`, and exports the functions. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ params, result }) => [
    0x60,
    ...counted(params.map((type) => [TYPES[type]])),
    ...counted(result === undefined ? [] : [[TYPES[result]]]),
  ]);
  const bodies = functions.map(({ locals, body }) =>
    sized([...counted(locals.map((type) => [1, TYPES[type]])), ...body, 0x0b]),
  );
  return Uint8Array.from([
    ...HEADER,
    ...section(1, counted(types)),
    ...section(2, counted([[...named("env"), ...named("memory"), 2, 0, 1]])),
    ...section(3, counted(functions.map((_, i) => unsigned(i)))),
    ...section(7, counted(functions.map(({ name }, i) => [...named(name), 0, ...unsigned(i)]))),
    ...section(10, counted(bodies)),
  ]);
}

export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  add: (a: Code, b: Code): Code => [...a, ...b, 0x6a],
  sub: (a: Code, b: Code): Code => [...a, ...b, 0x6b],
  shl: (a: Code, b: Code): Code => [...a, ...b, 0x74],
};

/** `at`: bytes after the address. */
const place = (alignment: number, at: number): Code => [alignment, ...unsigned(at)];

export const f64 = {
  add: (a: Code, b: Code): Code => [...a, ...b, 0xa0],
  mul: (a: Code, b: Code): Code => [...a, ...b, 0xa2],
  load: (address: Code, at = 0): Code => [...address, 0x2b, ...place(3, at)],
  store: (address: Code, value: Code, at = 0): Code => [...address, ...value, 0x39, ...place(3, at)],
};

const simd = (operation: number): Code => [0xfd, ...unsigned(operation)];

/** Two float64 at a time. */
export const f64x2 = {
  zero: [...simd(0x0c), ...Array.from({ length: 16 }, () => 0)] as Code,
  load: (address: Code, at = 0): Code => [...address, ...simd(0x00), ...place(3, at)],
  /** One number, twice. */
  loadSplat: (address: Code, at = 0): Code => [...address, ...simd(0x0a), ...place(3, at)],
  store: (address: Code, value: Code, at = 0): Code => [...address, ...value, ...simd(0x0b), ...place(3, at)],
  splat: (value: Code): Code => [...value, ...simd(0x14)],
  lane: (value: Code, lane: 0 | 1): Code => [...value, ...simd(0x21), lane],
  add: (a: Code, b: Code): Code => [...a, ...b, ...simd(0xf0)],
  mul: (a: Code, b: Code): Code => [...a, ...b, ...simd(0xf2)],
};

/** Runs the body, and again as long as the condition is not 0. */
export const doWhile = (body: Code, condition: Code): Code => [0x03, 0x40, ...body, ...condition, 0x0d, 0, 0x0b];
/** Runs the body if the condition is not 0. */
export const when = (condition: Code, body: Code): Code => [...condition, 0x04, 0x40, ...body, 0x0b];
