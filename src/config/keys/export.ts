/** A merged model as files. */
import { honoured, inert, refused } from "../key.ts";
import { bool, choice, float, int, maybe, text } from "../type.ts";

const CALIBRATION = "it goes with export_quantization_bit, which is refused";

export const EXPORT = {
  export_dir: honoured(maybe(text), null, "folder of the merged model"),
  export_size: honoured(float({ above: 0 }), 5, "GB of a file at most"),
  export_dtype: honoured(
    choice(["auto", "float32", "float16", "bfloat16"]),
    "auto",
    "type of the weights; auto: the model's own. Merged in float32, cast once",
  ),
  export_device: inert(choice(["cpu", "auto"]), "cpu", "what merges", "merging is done in float32 on the processor"),
  export_legacy_format: refused(
    bool,
    false,
    "writes .bin files",
    "those are Python programs; only safetensors are written",
    "remove the line",
  ),
  export_quantization_bit: refused(maybe(int()), null, "bits of the weights", "not there yet", "remove the line"),
  export_quantization_dataset: inert(maybe(text), null, "samples to quantise with", CALIBRATION),
  export_quantization_nsamples: inert(int(), 128, "how many", CALIBRATION),
  export_quantization_maxlen: inert(int(), 1024, "how long", CALIBRATION),
  export_hub_model_id: refused(
    maybe(text),
    null,
    "uploads the merged model",
    "not there yet",
    "upload export_dir with the hub's own program",
  ),
};
