/** This file is `cuframes inspect`, which shows what is published here, by whom, and to whom. */
import type { Command } from "commander";
import process from "node:process";
import { checkKey, isCuframesError } from "../core/mod.ts";
import { type CommonOptions, type Context, contextOf, newCommand } from "./command.ts";
import { inspect } from "../frames/mod.ts";
import { runtimeDirectories } from "../memory/mod.ts";
import { cleanUp, type Found, listKeys, Lookout } from "./keys.ts";
import { PUBLISHER_COLUMNS, readingsOf, reportsOf, silentOf, SUBSCRIBER_COLUMNS, table } from "./tables.ts";
import { colorsOf } from "./terminal.ts";
import { print, printJson } from "./stdout.ts";

/** How long a look may take, in ms: more than the answer of the slowest publisher. */
const LOOK_MS = 5000;

export function inspectCommand(): Command {
  return newCommand("inspect", "Show what is published here, by whom, and to whom.", [
    "inspect",
    "inspect cam1 --json | jq .subscribers",
  ])
    .argument("[key]", "one publisher; default: all in the runtime directory")
    .action(async (key: string | undefined, options: CommonOptions) => {
      const context = contextOf(options);
      const found = key === undefined ? await lookAround(context) : [await lookAtKey(checkKey(key), context)];
      for (const one of found) if ("closed" in one) context.log.warn(one.closed.reason);
      if (!context.json) return print(page(found, context));
      for (const one of found) {
        if ("report" in one) printJson(one.report);
        else if ("silent" in one) printJson(one.silent);
      }
    });
}

/** One that was asked for must be there. */
async function lookAtKey(key: string, context: Context): Promise<Found> {
  try {
    return { report: await inspect(key, { ...context.place, signal: context.signal }) };
  } catch (error) {
    const cleaned = isCuframesError(error, "NOT_FOUND") ? cleanUp(key, context) : undefined;
    if (cleaned !== undefined) context.log.info(`${key}: ${cleaned}`);
    throw error;
  }
}

/** All that is in the runtime directories. What dead publishers have left there goes. */
async function lookAround(context: Context): Promise<Found[]> {
  const { keys, closed } = listKeys(context);
  const found = await new Lookout(context).look(keys, LOOK_MS);
  return [...found.map((one) => cleaned(one, context)), ...closed.map((closed) => ({ closed }))];
}

function cleaned(found: Found, context: Context): Found {
  if (!("silent" in found) || found.silent.state !== "stale") return found;
  const outcome = cleanUp(found.silent.key, context);
  if (outcome === undefined) return found;
  return { silent: { ...found.silent, reason: `${found.silent.reason}: ${outcome}` } };
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
