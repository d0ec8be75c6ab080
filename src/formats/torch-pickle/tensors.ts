/**
 * What PyTorch's `save` writes into a pickle: dicts of tensors. A tensor is a view (offset, sizes, strides) of a storage, an
 * array whose elements lie elsewhere in the file and which the pickle names by a key.
 *
 * These names are allowed, and no others: `collections.OrderedDict`, `torch.Size`, `torch.device`, data types, the storages,
 * and the functions that rebuild dense tensors and parameters.
 */
import { FormatError } from "../../errors.ts";
import type { Dtype } from "../safetensors/dtype.ts";
import { byteLengthOf } from "../safetensors/dtype.ts";
import { quote } from "../safetensors/strict-json.ts";
import { isNamed, PickleDict, type PickleWorld } from "./pickle.ts";

const STORAGES: ReadonlyMap<string, Dtype> = new Map([
  ["DoubleStorage", "F64"],
  ["FloatStorage", "F32"],
  ["HalfStorage", "F16"],
  ["BFloat16Storage", "BF16"],
  ["LongStorage", "I64"],
  ["IntStorage", "I32"],
  ["ShortStorage", "I16"],
  ["CharStorage", "I8"],
  ["ByteStorage", "U8"],
  ["BoolStorage", "BOOL"],
  ["ComplexFloatStorage", "C64"],
]);

const DTYPES: ReadonlyMap<string, Dtype> = new Map([
  ["float64", "F64"],
  ["float32", "F32"],
  ["float16", "F16"],
  ["bfloat16", "BF16"],
  ["int64", "I64"],
  ["int32", "I32"],
  ["int16", "I16"],
  ["int8", "I8"],
  ["uint8", "U8"],
  ["uint16", "U16"],
  ["uint32", "U32"],
  ["uint64", "U64"],
  ["bool", "BOOL"],
  ["complex64", "C64"],
  ["float8_e4m3fn", "F8_E4M3"],
  ["float8_e5m2", "F8_E5M2"],
]);

const REBUILDERS = ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"];

/** Dimensions that a tensor may have, as in safetensors. */
const MAX_RANK = 64;
/** Levels of dicts and lists that hold tensors. */
const MAX_DEPTH = 32;
/** Tensors, and values beside them, that a file may have: an expert's matrices in every layer are some ten thousand. */
const MAX_NAMES = 1e6;
/** Characters of a tensor's name. */
const MAX_NAME = 1000;

/** An array of a file. */
export class TorchStorage {
  /** Name of its bytes. */
  readonly key: string;
  /** Undefined: bytes, whose type the tensor says. */
  readonly dtype: Dtype | undefined;
  /** Elements; bytes where the type is not said. */
  readonly length: number;
  /** In the array that the key names, for views of old files; elements. */
  readonly start: number;

  constructor(key: string, dtype: Dtype | undefined, length: number, start = 0) {
    this.key = key;
    this.dtype = dtype;
    this.length = length;
    this.start = start;
  }
}

/** A view of a storage. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Elements between neighbours along each dimension. */
  readonly strides: readonly number[];
  /** Of the first element, in the array that the storage's key names; elements. */
  readonly offset: number;
  readonly byteLength: number;

  constructor(parts: Omit<TorchTensor, "isContiguous">) {
    this.storage = parts.storage;
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.strides = parts.strides;
    this.offset = parts.offset;
    this.byteLength = parts.byteLength;
  }

  /** Whether its elements lie one after the other, row-major. */
  get isContiguous(): boolean {
    let step = 1;
    for (let i = this.shape.length - 1; i >= 0; i--) {
      if (this.shape[i]! > 1 && this.strides[i] !== step) return false;
      step *= this.shape[i]!;
    }
    return true;
  }
}

/** The names that are allowed, and what they make. @param where the file */
export function torchWorld(where: string): PickleWorld {
  const refused = (what: string, got: unknown, hint: string) => new FormatError({ where, what, got, hint });
  const wrong = (what: string, got?: unknown) =>
    new FormatError({ where, what, ...(got === undefined ? {} : { got }), hint: "the file is damaged" });
  /** Items that were copied from lists into dicts: one list may be given to many calls. */
  let copied = 0;
  return {
    global(module, name) {
      if (isAllowed(module, name)) return { module, name };
      const full = `${module}.${name}`;
      throw refused(
        "its pickle names something that is not a part of tensors, and was not read further",
        quote(full),
        module.startsWith("__torch__")
          ? "this is a TorchScript program: save the state_dict() of the model instead"
          : "a pickle can run any code. If you trust where the file comes from, load it in Python and save its " +
              "state_dict() as safetensors",
      );
    },
    call({ module, name }, args) {
      if (module === "collections") return orderedDict(args);
      if (name === "Size" && args.length <= 1) return args[0] ?? [];
      if (name === "device") return null;
      if (name === "_rebuild_parameter") {
        if (!(args[0] instanceof TorchTensor)) throw wrong("a parameter is not made of a tensor");
        return args[0];
      }
      if (REBUILDERS.includes(name)) return tensorOf(name, args);
      throw wrong("calls what is no function", quote(`${module}.${name}`));
    },
    persistent(id) {
      if (!Array.isArray(id) || id[0] !== "storage") throw wrong("names an array in a form that is not known");
      const [, type, key, , length, view] = id as unknown[];
      if (typeof key !== "string" || !isCount(length) || !isNamed(type)) throw wrong("names an array that is none");
      const { name } = type.global;
      const dtype = STORAGES.get(name);
      if (dtype === undefined && name !== "UntypedStorage")
        throw wrong("an array has a type that is none", quote(name));
      if (view === undefined || view === null) return new TorchStorage(key, dtype, length);
      // A view of another array: [its key, first element, elements].
      const [, first, count] = Array.isArray(view) ? (view as unknown[]) : [];
      if (!isCount(first) || !isCount(count) || first + count > length) throw wrong("a view leaves its array");
      return new TorchStorage(key, dtype, count, first);
    },
  };

  function orderedDict(args: readonly unknown[]): PickleDict {
    const dict = new PickleDict();
    const [items] = args;
    if (items === undefined) return dict;
    // Pairs in a list are what Python 2 wrote.
    if (!Array.isArray(items)) throw wrong("a dict is made of what is no list");
    copied += items.length;
    if (copied > MAX_NAMES) throw wrong("its dicts have too many items");
    for (const item of items as unknown[]) {
      if (!Array.isArray(item) || item.length !== 2) throw wrong("a dict is made of what are no pairs");
      dict.set(item[0], item[1]);
    }
    return dict;
  }

  function tensorOf(name: string, args: readonly unknown[]): TorchTensor {
    const [storage, first, shape, strides] = args;
    if (!(storage instanceof TorchStorage) || !isCount(first) || !isCounts(shape) || !isCounts(strides)) {
      throw wrong("a tensor has an array, sizes or strides that are none");
    }
    if (shape.length !== strides.length) {
      throw wrong("a tensor has other numbers of sizes and of strides", `${shape.length} and ${strides.length}`);
    }
    const said = name === "_rebuild_tensor_v3" ? args[6] : undefined;
    const dtype = isNamed(said) ? DTYPES.get(said.global.name) : storage.dtype;
    if (dtype === undefined) throw wrong("a tensor has no data type that is known");
    const byteLength = byteLengthOf(dtype, shape);
    if (typeof byteLength === "string")
      throw wrong(`a tensor's shape cannot be: ${byteLength}`, `[${shape.join(", ")}]`);
    const count = shape.reduce((product, size) => product * size, 1);
    const width = count === 0 ? 1 : byteLength / count;
    const length = storage.dtype === undefined ? Math.floor(storage.length / width) : storage.length;
    const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, first);
    if (count > 0 && !(last < length)) throw wrong("a tensor leaves its array", `element ${last} of ${length}`);
    // A view that repeats elements (expand) can claim any size.
    if (count > length) throw wrong("a tensor has more elements than its array", `${count} and ${length}`);
    return new TorchTensor({ storage, dtype, shape, strides, offset: storage.start + first, byteLength });
  }
}

function isAllowed(module: string, name: string): boolean {
  if (module === "collections") return name === "OrderedDict";
  if (module === "torch._utils") return REBUILDERS.includes(name);
  if (module === "torch.storage") return name === "UntypedStorage";
  return module === "torch" && (STORAGES.has(name) || DTYPES.has(name) || name === "Size" || name === "device");
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: unknown): value is readonly number[] {
  // The length first: one long list could be given to a call of a few bytes again and again.
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isCount);
}

export interface Found {
  /** By the keys on the way to them, joined by dots. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Names of what is no tensor, such as `optimizer.step`. */
  readonly others: readonly string[];
}

/**
 * The tensors in what a file holds: a tensor (named `tensor`), a dict of them, or dicts and lists of such.
 * @throws FormatError if there are too many, or too deep
 */
export function findTensors(value: unknown, where: string): Found {
  const tensors = new Map<string, TorchTensor>();
  const others: string[] = [];
  const seen = new Set<unknown>();
  const visit = (part: unknown, path: readonly string[]): void => {
    const name = path.join(".");
    if (name.length > MAX_NAME) throw tooMuch("has names that are too long");
    if (part instanceof TorchTensor) tensors.set(path.length === 0 ? "tensor" : name, part);
    else if (!(part instanceof PickleDict) && !Array.isArray(part)) others.push(name);
    if (tensors.size + others.length > MAX_NAMES) throw tooMuch("has too many tensors");
    if (!(part instanceof PickleDict) && !Array.isArray(part)) return;
    // What two names share is told once: else some lists that hold each other twice would have no end.
    if (seen.has(part)) return;
    seen.add(part);
    if (path.length >= MAX_DEPTH) throw tooMuch("has dicts in dicts in dicts without an end");
    const entries: Iterable<[unknown, unknown]> = part instanceof PickleDict ? part : (part as unknown[]).entries();
    for (const [key, inner] of entries) {
      if (typeof key === "string" || typeof key === "number") visit(inner, [...path, String(key)]);
    }
  };
  visit(value, []);
  return { tensors, others };

  function tooMuch(what: string): FormatError {
    return new FormatError({ where, what, hint: "save the state_dict() of the model alone" });
  }
}
