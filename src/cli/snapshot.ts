import type { Command } from "commander";
import { newCommand } from "./command.ts";

export function snapshotCommand(): Command {
  return newCommand("snapshot", "", []);
}
