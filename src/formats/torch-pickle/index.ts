/** Files of PyTorch's `save`, read without running anything of them. */
export { openTorch, TorchFile } from "./open.ts";
export { type LoralibAdapter, type LoralibLayer, type LoralibOptions, loralibUpdate, openLoralib } from "./loralib.ts";
