#!/usr/bin/env node
/** The command line: `lowrank COMMAND`. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { LowrankError } from "../errors.ts";
import { addAnalyzeCommand } from "./analyze/command.ts";
import { addChatCommand } from "./chat/command.ts";
import { addBenchCommands } from "./bench/command.ts";
import { addClassifyCommand } from "./classify/command.ts";
import { addCompareCommand } from "./compare/command.ts";
import { addContinualCommand } from "./continual/command.ts";
import { addD90Command } from "./d90/command.ts";
import { addDataCommand } from "./data/command.ts";
import { addDemoCommands } from "./demo/command.ts";
import { addExperimentCommand } from "./experiment/command.ts";
import { addExportCommand } from "./export/command.ts";
import { addMethodsCommand } from "./methods/command.ts";
import { addQuickstartCommand } from "./quickstart/command.ts";
import { addRepairCommand } from "./repair/command.ts";
import { addStoragesCommand } from "./storages/command.ts";
import { addTrainCommand } from "./train/command.ts";
import { addInspectCommand } from "./inspect/command.ts";
import { Interrupted } from "./interrupt.ts";

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const program = new Command("lowrank")
  .version(version)
  .description("Fine-tune neural networks with low-rank adaptation")
  .showHelpAfterError("(--help lists the options)")
  .exitOverride();
addAnalyzeCommand(program);
addChatCommand(program);
addBenchCommands(program);
addClassifyCommand(program);
addCompareCommand(program);
addContinualCommand(program);
addD90Command(program);
addDataCommand(program);
addDemoCommands(program);
addExperimentCommand(program);
addExportCommand(program);
addInspectCommand(program);
addMethodsCommand(program);
addQuickstartCommand(program);
addRepairCommand(program);
addStoragesCommand(program);
addTrainCommand(program);

// A reader that has seen enough, such as `head`, is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong, as a person would want it said. @returns the exit code */
function report(error: unknown): number {
  // Commander has printed its message already.
  if (error instanceof CommanderError) return error.exitCode;
  if (error instanceof Interrupted) {
    process.stderr.write(`\n${error.message}\n`);
    return 130;
  }
  if (error instanceof LowrankError) {
    process.stderr.write(`\n${error.name} ${error.message}\n`);
    return 1;
  }
  process.stderr.write(`\nThis is a bug in lowrank, please report it:\n`);
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return 2;
}
