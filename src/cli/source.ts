import type { Command } from "commander";
import { newCommand } from "./command.ts";

export function sourceCommand(): Command {
  return newCommand("source", "", []);
}
