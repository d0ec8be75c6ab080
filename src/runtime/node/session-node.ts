/** Sessions of ONNX Runtime, with the settings that training needs. */
import { InferenceSession } from "onnxruntime-node";
import { EngineError } from "../../errors.ts";
import { NoKernelError } from "./no-kernel-node.ts";
import type { EngineOptions, OutputLocations } from "./protocol-node.ts";

interface SessionSettings {
  readonly prepack?: boolean;
  readonly arena?: boolean;
  readonly narrow?: boolean;
  readonly optimizedModelPath?: string;
  /** Of the outputs, by name. Default: in memory. */
  readonly locations?: OutputLocations | undefined;
}

/** What the engine says when a node has no kernel, before and after it has looked for another device. */
const NO_KERNEL = /assigned to the default CPU EP|Provider type for .* is not set|Could not find an implementation/;
/**
 * The first would merge recomputed nodes with the first ones, and undo checkpointing. Folding constants would compute the
 * float32 values of narrow weights at load, and keep them.
 */
const DISABLED = ["CommonSubexpressionElimination"];
const NO_GPU = /Failed to get a WebGPU (adapter|device)/;
const NO_CUDA = /ExecutionProvider_Cuda|cudaError|CUDA failure|no CUDA-capable device/i;

/** @throws NoKernelError if a node cannot run on the device, EngineError if there is no GPU, or what the engine throws */
export async function openSession(
  model: Uint8Array,
  { device, threads }: EngineOptions,
  { prepack = false, arena = false, narrow = false, optimizedModelPath, locations }: SessionSettings,
): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model, {
      executionProviders: [device],
      ...(threads > 0 ? { intraOpNumThreads: threads } : {}),
      ...(locations === undefined ? {} : { preferredOutputLocation: locations }),
      ...(optimizedModelPath === undefined ? {} : { optimizedModelFilePath: optimizedModelPath }),
      // The pattern would double the peak of a training step, and so can the arena.
      enableMemPattern: false,
      enableCpuMemArena: arena,
      // Errors are thrown, and not printed as well; warnings are for the engine's developers.
      logSeverityLevel: 4,
      extra: {
        session: {
          model_external_initializers_file_folder_path: "/",
          disable_prepacking: prepack ? "0" : "1",
          // On a GPU nothing may run on the CPU unnoticed.
          disable_cpu_ep_fallback: device === "webgpu" ? "1" : "0",
        },
        optimization: {
          disable_specified_optimizers: (narrow ? [...DISABLED, "ConstantFolding"] : DISABLED).join(";"),
        },
      },
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    if (device === "webgpu" && NO_KERNEL.test(message)) {
      throw new NoKernelError({ where: "webgpu", what: "a part of the graph has no kernel on the GPU", got: message });
    }
    if (device === "cuda" && NO_CUDA.test(message)) {
      throw new EngineError({
        where: "cuda",
        what: "the engine cannot use CUDA",
        got: message.split("\n")[0],
        hint: 'install its libraries with `npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12`, or use the device "cpu"',
        cause,
      });
    }
    if (NO_GPU.test(message)) {
      const driver = process.platform === "linux" ? "install a Vulkan driver and libvulkan.so.1, or " : "";
      throw new EngineError({
        where: "webgpu",
        what: "the engine finds no GPU",
        hint: `${driver}use the device "cpu"`,
        cause,
      });
    }
    throw cause;
  }
}
