import type { Command } from "commander";
import { newCommand } from "./command.ts";

export function pipeCommand(): Command {
  return newCommand("pipe", "", []);
}
