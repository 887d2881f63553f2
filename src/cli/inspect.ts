/** This file is `cuframes inspect`, which shows what is published here, by whom, and to whom. */
import type { Command } from "commander";
import process from "node:process";
import { checkKey } from "../core/mod.ts";
import { type CommonOptions, type Context, contextOf, newCommand } from "./command.ts";
import { inspect } from "../frames/mod.ts";
import { runtimeDirectories } from "../memory/mod.ts";
import { type Found, keysIn, lookAt } from "./keys.ts";
import { PUBLISHER_COLUMNS, readingsOf, reportsOf, silentOf, SUBSCRIBER_COLUMNS, table } from "./tables.ts";
import { colorsOf } from "./terminal.ts";
import { print, printJson } from "./stdout.ts";

export function inspectCommand(): Command {
  return newCommand("inspect", "Show what is published here, by whom, and to whom.", [
    "inspect",
    "inspect cam1 --json | jq .subscribers",
  ])
    .argument("[key]", "one publisher; default: all in the runtime directory")
    .action(async (key: string | undefined, options: CommonOptions) => {
      const context = contextOf(options);
      const found = key === undefined
        ? await lookAround(context)
        // One that was asked for must be there.
        : [{ report: await inspect(checkKey(key), { ...context.place, signal: context.signal }) }];
      if (context.json) return found.forEach((one) => printJson("report" in one ? one.report : one.silent));
      print(page(found, context));
    });
}

/** All that is in the runtime directories. */
export async function lookAround(context: Context): Promise<Found[]> {
  return await lookAt(keysIn(runtimeDirectories(context.place.runtimeDirectory)), context);
}

function page(found: readonly Found[], { place }: Context): string {
  const colors = colorsOf(process.stdout);
  const [reports, readings] = [reportsOf(found), readingsOf(found)];
  const where = runtimeDirectories(place.runtimeDirectory).join(", ");
  const parts = [
    reports.length > 0 ? table(PUBLISHER_COLUMNS, reports, colors) : `no publisher in ${where}`,
    ...(readings.length > 0 ? ["", table(SUBSCRIBER_COLUMNS, readings, colors)] : []),
    ...silentOf(found, colors),
  ];
  return `${parts.join("\n")}\n`;
}
