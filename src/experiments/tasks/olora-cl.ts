/**
 * Six tasks of the O-LoRA benchmark (Wang et al. 2023, arXiv 2310.14152) in a fixed order, from the files of its repository
 * (`CL_Benchmark/`). They are in the place of MNLI, QQP, SST-2, SIQA, WinoGrande and FEVER, of which it has the first three. Texts
 * are as they are there: both sentences of a pair in one, with their names before them.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { TaskFiles } from "./task-files.ts";

const COLUMNS = { text: "sentence", label: "label" } as const;

export const OLORA_TASKS: readonly TaskFiles[] = [
  task("mnli", "NLI/MNLI"),
  task("qqp", "QQP/QQP"),
  task("sst-2", "SC/SST-2"),
  task("ag-news", "TC/agnews"),
  // Its training file is larger than what is passed on: the test file is divided.
  { name: "dbpedia", train: "TC/dbpedia/test.json", ...COLUMNS },
  task("rte", "NLI/RTE"),
];

function task(name: string, folder: string): TaskFiles {
  return { name, train: `${folder}/train.json`, test: `${folder}/test.json`, ...COLUMNS };
}

/**
 * Where the benchmark is, given a folder that has it: itself, or `CL_Benchmark` or `olora-cl/CL_Benchmark` in it; undefined if
 * it is in none of them.
 */
export async function oloraFolder(dir: string): Promise<string | undefined> {
  for (const folder of [dir, join(dir, "CL_Benchmark"), join(dir, "olora-cl", "CL_Benchmark")]) {
    const found = await Promise.all(
      OLORA_TASKS.map(({ train }) =>
        stat(join(folder, train)).then(
          (info) => info.isFile(),
          () => false,
        ),
      ),
    );
    if (found.every(Boolean)) return folder;
  }
  return undefined;
}
