/** Keys of other programs and of other kinds of data that LLaMA-Factory's files may have in them. */
import { inert, refused } from "../key.ts";
import { bool, either, float, int, mapping, maybe, text } from "../type.ts";

const VLLM = "vLLM is not what runs here";
const SGLANG = "SGLang is not what runs here";
const KT = "KTransformers is not what runs here; it changes speed only";
const TEXT_ONLY = "only text is read";
const SWANLAB = "it goes with use_swanlab, which is refused";

export const ELSEWHERE = {
  vllm_maxlen: inert(int(), 4096, "vLLM: tokens", VLLM),
  vllm_gpu_util: inert(float(), 0.7, "vLLM: share of the GPU", VLLM),
  vllm_enforce_eager: inert(bool, false, "vLLM: no CUDA graphs", VLLM),
  vllm_max_lora_rank: inert(int(), 32, "vLLM: largest rank", VLLM),
  vllm_config: inert(maybe(either(mapping, text)), null, "vLLM: settings", VLLM),
  sglang_maxlen: inert(int(), 4096, "SGLang: tokens", SGLANG),
  sglang_mem_fraction: inert(float(), 0.7, "SGLang: share of the memory", SGLANG),
  sglang_tp_size: inert(int(), -1, "SGLang: GPUs", SGLANG),
  sglang_config: inert(maybe(either(mapping, text)), null, "SGLang: settings", SGLANG),
  sglang_lora_backend: inert(text, "triton", "SGLang: kernels", SGLANG),
  use_kt: inert(bool, false, "KTransformers", KT),
  kt_optimize_rule: inert(maybe(text), null, "KTransformers: rule", KT),
  kt_maxlen: inert(int(), 4096, "KTransformers: tokens", KT),
  kt_use_cuda_graph: inert(bool, true, "KTransformers: CUDA graphs", KT),
  kt_mode: inert(text, "normal", "KTransformers: mode", KT),
  kt_force_think: inert(bool, false, "KTransformers: reasoning", KT),
  cpu_infer: inert(maybe(int()), 32, "KTransformers: cores", KT),
  chunk_size: inert(maybe(int()), 8192, "KTransformers: size of a piece", KT),
  mode: inert(maybe(text), "normal", "KTransformers: mode", KT),
  image_max_pixels: inert(int(), 589_824, "images", TEXT_ONLY),
  image_min_pixels: inert(int(), 1024, "images", TEXT_ONLY),
  image_do_pan_and_scan: inert(bool, false, "images", TEXT_ONLY),
  crop_to_patches: inert(bool, false, "images", TEXT_ONLY),
  video_max_pixels: inert(int(), 65_536, "videos", TEXT_ONLY),
  video_min_pixels: inert(int(), 256, "videos", TEXT_ONLY),
  video_fps: inert(float(), 2, "videos", TEXT_ONLY),
  video_maxlen: inert(int(), 128, "videos", TEXT_ONLY),
  use_audio_in_video: inert(bool, false, "audio", TEXT_ONLY),
  audio_sampling_rate: inert(int(), 16_000, "audio", TEXT_ONLY),
  use_swanlab: refused(bool, false, "logs to SwanLab", "nothing is sent to a service", "report_to: tensorboard"),
  swanlab_project: inert(maybe(text), "llamafactory", "SwanLab: project", SWANLAB),
  swanlab_workspace: inert(maybe(text), null, "SwanLab: workspace", SWANLAB),
  swanlab_run_name: inert(maybe(text), null, "SwanLab: name of the run", SWANLAB),
  swanlab_mode: inert(text, "cloud", "SwanLab: mode", SWANLAB),
  swanlab_api_key: inert(maybe(text), null, "SwanLab: key", SWANLAB),
  swanlab_logdir: inert(maybe(text), null, "SwanLab: folder", SWANLAB),
  swanlab_lark_webhook_url: inert(maybe(text), null, "SwanLab: messages", SWANLAB),
  swanlab_lark_secret: inert(maybe(text), null, "SwanLab: messages", SWANLAB),
};
