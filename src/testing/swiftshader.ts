/**
 * SwiftShader: Vulkan on the CPU, slow but exact enough, so that the WebGPU device can be tested without a GPU. Chromium
 * brings it along; `LOWRANK_VK_ICD` names the manifest of this or any other Vulkan driver.
 */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { ConfigError } from "../errors.ts";

const MANIFEST = "vk_swiftshader_icd.json";

/** Where distributions put Chromium. */
const FOLDERS = [
  "/usr/lib/chromium",
  "/usr/lib/chromium-browser",
  "/usr/lib64/chromium-browser",
  "/opt/google/chrome",
  "/opt/chromium.org/chromium",
  "/snap/chromium/current/usr/lib/chromium-browser",
];

/** The loader for Vulkan drivers. Chromium brings this one along, too. */
const LOADER = "libvulkan.so.1";

/**
 * Environment variables for a process that is to use SwiftShader: the driver is chosen when the process starts, so that
 * setting them inside it comes too late. Nothing, if there is no SwiftShader: then the process finds a real driver or none.
 * @throws ConfigError if LOWRANK_VK_ICD names no file
 */
export function swiftShaderEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const manifest = findManifest(environment["LOWRANK_VK_ICD"]);
  if (manifest === undefined) return {};
  const folder = dirname(manifest);
  const libraries = [environment["LD_LIBRARY_PATH"] ?? "", existsSync(join(folder, LOADER)) ? folder : ""];
  return {
    VK_DRIVER_FILES: manifest,
    // The name that older loaders know.
    VK_ICD_FILENAMES: manifest,
    LD_LIBRARY_PATH: libraries.filter((path) => path !== "").join(delimiter),
    // The loader complains without one.
    XDG_RUNTIME_DIR: environment["XDG_RUNTIME_DIR"] ?? tmpdir(),
  };
}

function findManifest(given: string | undefined): string | undefined {
  if (given === undefined || given === "") return FOLDERS.map((folder) => join(folder, MANIFEST)).find(existsSync);
  if (existsSync(given)) return given;
  throw new ConfigError({
    where: "LOWRANK_VK_ICD",
    what: "there is no such file",
    got: given,
    expected: `the manifest of a Vulkan driver, such as ${MANIFEST}`,
  });
}
