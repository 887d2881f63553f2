import type { Command } from "commander";
import { newCommand } from "./command.ts";

export function inspectCommand(): Command {
  return newCommand("inspect", "", []);
}
