import type { Command } from "commander";
import { newCommand } from "./command.ts";

export function topCommand(): Command {
  return newCommand("top", "", []);
}
