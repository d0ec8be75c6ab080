/** Weights in formats that are not read, and what their owner can do. */

/** @param names of files, none of which holds the safetensors that were looked for */
export function convertHint(names: readonly string[]): string {
  const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  if (pickle !== undefined) {
    return (
      `${pickle} is a pickle, which can run any code and is not read: in Python, ` +
      "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR) writes safetensors; " +
      "many repositories of the hub have them as revision refs/pr/1"
    );
  }
  if (names.some((name) => name.endsWith(".gguf"))) {
    return "GGUF files are not read: take the repository with the safetensors files that they were made from";
  }
  return "check the path, or download the model";
}
