/**
 * Reads pickles, the language in which Python writes objects: a program for a small stack machine, here without the parts
 * that name or run code. What a program may name is decided by its {@link PickleWorld}; nothing is ever looked up or called
 * in any other way, and objects with code of their own cannot come into being.
 *
 * Opcodes: those of CPython's pickletools, protocols 0 to 5, as far as data use them. Refused: INST, OBJ, NEWOBJ and
 * NEWOBJ_EX (objects of classes), EXT1 to EXT4 (names by number), PERSID and the buffers of protocol 5, which PyTorch does
 * not write.
 *
 * A program is bounded by its length; what it builds is bounded by {@link PickleLimits}, since a byte can make an object of
 * a hundred.
 */
import { FormatError } from "../../errors.ts";

/** A dict of Python, in its order, and its subclasses. Keys are what JavaScript tells apart: strings and numbers. */
export class PickleDict extends Map<unknown, unknown> {}

/** Something that a program has named. */
export interface PickleGlobal {
  readonly module: string;
  readonly name: string;
}

export interface PickleWorld {
  /** A name. @throws if it is not allowed */
  global(module: string, name: string): PickleGlobal;
  /** The value of a call of an allowed name. @throws if this one cannot be called so */
  call(callee: PickleGlobal, args: readonly unknown[]): unknown;
  /** What a persistent id stands for. */
  persistent(id: unknown): unknown;
}

export interface PickleLimits {
  /** Tuples, lists, dicts and sets. Default: 4 million. */
  readonly containers?: number;
  /** Values that wait on the stack. Default: 16 million. */
  readonly stack?: number;
}

export interface Unpickled {
  readonly value: unknown;
  /** Where the program ended: several may follow each other. */
  readonly end: number;
}

const DEFAULT_LIMITS = { containers: 4e6, stack: 16e6 };
/** Of an integer. */
const MAX_INTEGER_BYTES = 255;

/** @throws FormatError if it is no pickle, ends early, does what is refused, or makes more than the limits allow */
export function unpickle(bytes: Uint8Array, world: PickleWorld, where: string, limits: PickleLimits = {}): Unpickled {
  return new Machine(bytes, world, where, { ...DEFAULT_LIMITS, ...limits }).run();
}

const MARK = Symbol("mark");
const REFUSED = new Map([
  [0x50, "PERSID"],
  [0x69, "INST"],
  [0x6f, "OBJ"],
  [0x81, "NEWOBJ"],
  [0x82, "EXT1"],
  [0x83, "EXT2"],
  [0x84, "EXT4"],
  [0x92, "NEWOBJ_EX"],
  [0x97, "NEXT_BUFFER"],
  [0x98, "READONLY_BUFFER"],
]);

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #world: PickleWorld;
  readonly #where: string;
  readonly #limits: Required<PickleLimits>;
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  #at = 0;
  #containers = 0;

  constructor(bytes: Uint8Array, world: PickleWorld, where: string, limits: Required<PickleLimits>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#world = world;
    this.#where = where;
    this.#limits = limits;
  }

  run(): Unpickled {
    for (;;) {
      const opcode = this.#byte();
      if (opcode === 0x2e) break; // STOP
      this.#step(opcode);
      if (this.#stack.length > this.#limits.stack) throw this.#error("puts too many values on its stack");
    }
    const value = this.#pop();
    if (this.#stack.length > 0) throw this.#error("ends with values that nothing uses");
    return { value, end: this.#at };
  }

  #step(opcode: number): void {
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = this.#byte();
        if (protocol > 5) throw this.#error("has a protocol that is not known", protocol, "0 to 5");
        return;
      }
      case 0x95: // FRAME
        this.#long64();
        return;

      case 0x28: // MARK
        this.#stack.push(MARK);
        return;
      case 0x30: // POP
        this.#stack.pop();
        return;
      case 0x31: // POP_MARK
        this.#popMark();
        return;
      case 0x32: // DUP
        this.#stack.push(this.#top());
        return;

      case 0x4e: // NONE
        this.#stack.push(null);
        return;
      case 0x88: // NEWTRUE
        this.#stack.push(true);
        return;
      case 0x89: // NEWFALSE
        this.#stack.push(false);
        return;
      case 0x49: // INT
        this.#stack.push(this.#decimal());
        return;
      case 0x4c: // LONG
        this.#stack.push(this.#decimal());
        return;
      case 0x4a: // BININT
        this.#stack.push(this.#view.getInt32(this.#skip(4), true));
        return;
      case 0x4b: // BININT1
        this.#stack.push(this.#byte());
        return;
      case 0x4d: // BININT2
        this.#stack.push(this.#view.getUint16(this.#skip(2), true));
        return;
      case 0x8a: // LONG1
        this.#stack.push(this.#integer(this.#byte()));
        return;
      case 0x8b: // LONG4
        this.#stack.push(this.#integer(this.#view.getInt32(this.#skip(4), true)));
        return;
      case 0x46: // FLOAT
        this.#stack.push(Number(this.#line()));
        return;
      case 0x47: // BINFLOAT
        this.#stack.push(this.#view.getFloat64(this.#skip(8), false));
        return;

      case 0x58: // BINUNICODE
        this.#stack.push(this.#text(this.#length32()));
        return;
      case 0x8c: // SHORT_BINUNICODE
        this.#stack.push(this.#text(this.#byte()));
        return;
      case 0x8d: // BINUNICODE8
        this.#stack.push(this.#text(this.#long64()));
        return;
      case 0x56: // UNICODE
        this.#stack.push(this.#line());
        return;
      case 0x54: // BINSTRING, text of Python 2
        this.#stack.push(this.#text(this.#length32()));
        return;
      case 0x55: // SHORT_BINSTRING
        this.#stack.push(this.#text(this.#byte()));
        return;
      case 0x53: // STRING
        this.#stack.push(this.#quoted());
        return;
      case 0x42: // BINBYTES
        this.#stack.push(this.#data(this.#length32()));
        return;
      case 0x43: // SHORT_BINBYTES
        this.#stack.push(this.#data(this.#byte()));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        this.#stack.push(this.#data(this.#long64()));
        return;

      case 0x29: // EMPTY_TUPLE
        this.#stack.push(this.#made([]));
        return;
      case 0x85: // TUPLE1
        this.#tuple(1);
        return;
      case 0x86: // TUPLE2
        this.#tuple(2);
        return;
      case 0x87: // TUPLE3
        this.#tuple(3);
        return;
      case 0x74: // TUPLE
      case 0x6c: // LIST
      case 0x91: // FROZENSET
        this.#stack.push(this.#made(this.#popMark()));
        return;
      case 0x5d: // EMPTY_LIST
      case 0x8f: // EMPTY_SET
        this.#stack.push(this.#made([]));
        return;
      case 0x61: {
        // APPEND
        const value = this.#pop();
        this.#list().push(value);
        return;
      }
      case 0x65: // APPENDS
      case 0x90: {
        // ADDITEMS
        const values = this.#popMark();
        const list = this.#list();
        for (const value of values) list.push(value);
        return;
      }
      case 0x7d: // EMPTY_DICT
        this.#stack.push(this.#made(new PickleDict()));
        return;
      case 0x64: {
        // DICT
        const dict = this.#made(new PickleDict());
        this.#fill(dict, this.#popMark());
        this.#stack.push(dict);
        return;
      }
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        const key = this.#pop();
        this.#fill(this.#dict(), [key, value]);
        return;
      }
      case 0x75: {
        // SETITEMS
        const items = this.#popMark();
        this.#fill(this.#dict(), items);
        return;
      }

      case 0x70: // PUT
        this.#memo.set(this.#index(), this.#top());
        return;
      case 0x71: // BINPUT
        this.#memo.set(this.#byte(), this.#top());
        return;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#length32(), this.#top());
        return;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case 0x67: // GET
        this.#remember(this.#index());
        return;
      case 0x68: // BINGET
        this.#remember(this.#byte());
        return;
      case 0x6a: // LONG_BINGET
        this.#remember(this.#length32());
        return;

      case 0x63: {
        // GLOBAL
        const module = this.#line();
        this.#stack.push(new Named(this.#world.global(module, this.#line())));
        return;
      }
      case 0x93: {
        // STACK_GLOBAL
        const [name, module] = [this.#pop(), this.#pop()];
        if (typeof module !== "string" || typeof name !== "string") {
          throw this.#error("names something by what is no text");
        }
        this.#stack.push(new Named(this.#world.global(module, name)));
        return;
      }
      case 0x52: {
        // REDUCE
        const args = this.#pop();
        const callee = this.#pop();
        if (!(callee instanceof Named) || !Array.isArray(args)) throw this.#error("calls what is no name");
        this.#stack.push(this.#made(this.#world.call(callee.global, args)));
        return;
      }
      case 0x62: {
        // BUILD: attributes of a dict, such as the `_metadata` of a state dict, say nothing of its items.
        this.#pop();
        if (!(this.#top() instanceof PickleDict)) throw this.#error("sets the state of an object that is no dict");
        return;
      }
      case 0x51: // BINPERSID
        this.#stack.push(this.#world.persistent(this.#pop()));
        return;
      default: {
        const name = REFUSED.get(opcode);
        throw name === undefined
          ? this.#error("is no pickle", `opcode 0x${opcode.toString(16)}`)
          : this.#error(`uses ${name}, which is not read: it makes objects of classes, or names things out of sight`);
      }
    }
  }

  #made<T>(container: T): T {
    if (++this.#containers > this.#limits.containers) throw this.#error("makes too many objects");
    return container;
  }

  #tuple(count: number): void {
    const values: unknown[] = [];
    for (let i = 0; i < count; i++) values.unshift(this.#pop());
    this.#stack.push(this.#made(values));
  }

  #fill(dict: PickleDict, items: readonly unknown[]): void {
    if (items.length % 2 !== 0) throw this.#error("has a key without a value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  #list(): unknown[] {
    const top = this.#top();
    if (!Array.isArray(top)) throw this.#error("adds to what is no list");
    return top;
  }

  #dict(): PickleDict {
    const top = this.#top();
    if (!(top instanceof PickleDict)) throw this.#error("sets items of what is no dict");
    return top;
  }

  #top(): unknown {
    const top = this.#stack.at(-1);
    if (this.#stack.length === 0 || top === MARK) throw this.#error("takes a value that is not there");
    return top;
  }

  #pop(): unknown {
    const top = this.#top();
    this.#stack.pop();
    return top;
  }

  /** The values above the last mark, which goes. */
  #popMark(): unknown[] {
    const at = this.#stack.lastIndexOf(MARK);
    if (at < 0) throw this.#error("takes values from a mark that is not there");
    const values = this.#stack.splice(at + 1);
    this.#stack.pop();
    return values;
  }

  #remember(index: number): void {
    if (!this.#memo.has(index)) throw this.#error("takes a value from its memo that is not there", index);
    this.#stack.push(this.#memo.get(index));
  }

  /** Goes on by so many bytes. @returns where they begin */
  #skip(count: number): number {
    const start = this.#at;
    if (count < 0 || count > this.#bytes.length - start) {
      throw this.#error("ends early", `${this.#bytes.length - start} bytes`, `${count} bytes more`);
    }
    this.#at += count;
    return start;
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  #length32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #long64(): number {
    const value = this.#view.getBigUint64(this.#skip(8), true);
    if (value > BigInt(this.#bytes.length)) throw this.#error("ends early", `a length of ${value}`);
    return Number(value);
  }

  #data(count: number): Uint8Array {
    const start = this.#skip(count);
    // Not slice(): of a Buffer that is a view, and would keep all of it.
    return Uint8Array.from(this.#bytes.subarray(start, start + count));
  }

  #text(count: number): string {
    const start = this.#skip(count);
    // Not fatal: Python writes lone surrogates, and names that are no text match nothing anyway.
    return DECODER.decode(this.#bytes.subarray(start, start + count));
  }

  /** Up to the end of the line. */
  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw this.#error("ends early", "no end of a line");
    const text = this.#text(end - this.#at);
    this.#at++;
    return text;
  }

  #quoted(): string {
    const line = this.#line();
    const inner = /^(['"])(.*)\1$/s.exec(line)?.[2];
    if (inner === undefined || inner.includes("\\")) throw this.#error("has a text in a form that is not read");
    return inner;
  }

  #index(): number {
    const value = Number(this.#line());
    if (!Number.isSafeInteger(value) || value < 0) throw this.#error("has a place in its memo that is no number");
    return value;
  }

  /** `12`, `12L`, and `00`, `01` for truth values. */
  #decimal(): unknown {
    const line = this.#line();
    if (line === "00" || line === "01") return line === "01";
    const digits = /^([+-]?\d{1,400})L?$/.exec(line)?.[1];
    if (digits === undefined) throw this.#error("has an integer that is none");
    return narrowed(BigInt(digits));
  }

  /** Little-endian, two's complement. */
  #integer(count: number): number | bigint {
    if (count < 0 || count > MAX_INTEGER_BYTES) throw this.#error("has an integer of too many bytes", count);
    const start = this.#skip(count);
    let value = 0n;
    for (let i = start + count - 1; i >= start; i--) value = (value << 8n) | BigInt(this.#bytes[i]!);
    return narrowed(count === 0 ? 0n : BigInt.asIntN(8 * count, value));
  }

  #error(what: string, got?: unknown, expected?: unknown): FormatError {
    return new FormatError({
      where: `${this.#where}: byte ${this.#at} of its pickle`,
      what,
      ...(got === undefined ? {} : { got }),
      ...(expected === undefined ? {} : { expected }),
      hint: "the file is damaged, or holds more than tensors: nothing of it was run",
    });
  }
}

/** An allowed name on the stack: not to be taken for an array or a dict. */
class Named {
  readonly global: PickleGlobal;
  constructor(global: PickleGlobal) {
    this.global = global;
  }
}

const DECODER = new TextDecoder("utf-8");

function narrowed(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

export function isNamed(value: unknown): value is { readonly global: PickleGlobal } {
  return value instanceof Named;
}
