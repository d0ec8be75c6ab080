/** What a name on a command line is the weights of: a model, an adapter, a file of tensors; on this machine or on the hub. */
import { basename, join } from "node:path";
import { DataError } from "../errors.ts";
import { convertHint } from "../formats/safetensors/other-formats.ts";
import { namesInFolder, statIfThere } from "../formats/safetensors/user-folder.ts";
import { type HubProgress, resolveFolder } from "../hub/resolve.ts";

export interface LocateOptions {
  /** Branch, tag or commit on the hub. Default: `main`. */
  readonly revision?: string;
  /** Downloads nothing. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  readonly onDownload?: (progress: HubProgress) => void;
  readonly onNotice?: (notice: string) => void;
  readonly signal?: AbortSignal;
}

export type Located =
  | { readonly kind: "model"; readonly name: string; readonly dir: string }
  | { readonly kind: "adapter"; readonly name: string; readonly dir: string }
  | { readonly kind: "file"; readonly name: string; readonly path: string }
  /** A `state_dict` that loralib wrote. */
  | { readonly kind: "pickle"; readonly name: string; readonly path: string };

const PICKLE = /\.(bin|pt|pth|ckpt)$/;
const CHECKPOINT = /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/;

/** @throws DataError saying what it is, if it is none of these; FormatError if it may not be read; as {@link resolveFolder} for names on the hub */
export async function locate(name: string, options: LocateOptions = {}): Promise<Located> {
  const found = await statIfThere(name);
  if (found?.isFile() === true) return locateFile(name);
  if (found?.isDirectory() === true) return locateFolder(name, name, await namesInFolder(name));
  const asked = hubOptions(options);
  // Adapters are of the hub's kind of models too: the small files say which it is.
  const files = ["config.json", "adapter_config.json"];
  const { dir: probe } = await resolveFolder(name, { ...asked, kind: "model", files });
  const kind = (await namesInFolder(probe)).includes("adapter_config.json") ? "adapter" : "model";
  const { dir } = await resolveFolder(name, { ...asked, kind });
  return { kind, name, dir };
}

/** These alone: callers pass their own options, whose cache is another one. */
function hubOptions({ revision, offline, onDownload, onNotice, signal }: LocateOptions) {
  return {
    ...(revision === undefined ? {} : { revision }),
    ...(offline === undefined ? {} : { offline }),
    ...(onDownload === undefined ? {} : { onProgress: onDownload }),
    ...(onNotice === undefined ? {} : { onNotice }),
    ...(signal === undefined ? {} : { signal }),
  };
}

function locateFile(path: string): Located {
  const name = basename(path);
  if (name.endsWith(".safetensors") || name.endsWith(".safetensors.index.json")) {
    return { kind: "file", name: path, path };
  }
  if (PICKLE.test(name)) return { kind: "pickle", name: path, path };
  throw new DataError({
    where: path,
    what: "this file holds no weights that are read",
    expected: "the folder of a model or an adapter, a name on the hub, or a .safetensors file",
    hint: convertHint([name]),
  });
}

function locateFolder(name: string, dir: string, names: readonly string[]): Located {
  if (names.includes("adapter_config.json")) return { kind: "adapter", name, dir };
  if (names.some((each) => CHECKPOINT.test(each))) return { kind: "model", name, dir };
  const files = names.filter((each) => each.endsWith(".safetensors"));
  if (files.length === 1) return { kind: "file", name, path: join(dir, files[0]!) };
  const checkpoints = names.filter((each) => /^checkpoint-\d+$/.test(each));
  const last = checkpoints.toSorted((a, b) => Number(a.slice(11)) - Number(b.slice(11))).at(-1);
  throw new DataError({
    where: name,
    what: "this folder has neither weights nor an adapter",
    got: names.length === 0 ? "an empty folder" : names.toSorted().slice(0, 10).join(", "),
    expected: "model.safetensors (or its index), or adapter_config.json",
    hint:
      last === undefined
        ? convertHint(names)
        : `it is the output of a run: give ${join(name, last)}, or all of them with --checkpoints ${name}`,
  });
}
