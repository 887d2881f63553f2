import type { Command } from "commander";
import { newCommand } from "./command.ts";

export function recordCommand(): Command {
  return newCommand("record", "", []);
}
