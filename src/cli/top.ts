/** This file is `cuframes top`, which shows what is published here, live. */
import type { Command } from "commander";
import process from "node:process";
import { isCuframesError, pause } from "../core/mod.ts";
import {
  type CommonOptions,
  type Context,
  contextOf,
  durationOption,
  integer,
  newCommand,
} from "./command.ts";
import { type Listing, listKeys, Lookout } from "./keys.ts";
import { type PublisherRates, Rates, type SubscriberRates } from "./rates.ts";
import { Screen } from "./screen.ts";
import {
  closedOf,
  type Column,
  heldBy,
  PUBLISHER_COLUMNS,
  reportsOf,
  seconds,
  silentOf,
  table,
} from "./tables.ts";
import { type Colors, colorsOf } from "./terminal.ts";
import { print, printJson } from "./stdout.ts";

interface Options extends CommonOptions {
  interval: number;
  count?: number;
}

/** A look takes as long as the interval at most, in ms: a publisher that is stopped is not waited for. */
const PATIENCE_MIN_MS = 250;
const PATIENCE_MAX_MS = 2000;

export function topCommand(): Command {
  return newCommand("top", "Show rates, latency, lag and drops of every publisher and subscriber, live.", [
    "top",
    "top --interval 5s --json | jq '.publishers[].subscribers[] | {name, lag}'",
  ])
    .addOption(durationOption("--interval <duration>", "time between two looks", "1s"))
    .option("--count <n>", "end after so many looks", integer(1, Number.MAX_SAFE_INTEGER))
    .action(async (options: Options) => {
      const context = contextOf(options);
      const live = process.stdout.isTTY === true && !context.json;
      using screen = live ? new Screen() : undefined;
      await look(options, context, screen);
    });
}

async function look(options: Options, context: Context, screen: Screen | undefined): Promise<void> {
  const signal = screen ? AbortSignal.any([context.signal, screen.quit]) : context.signal;
  const watched = { ...context, signal };
  const lookout = new Lookout(watched);
  const patience = Math.min(Math.max(options.interval * 1000, PATIENCE_MIN_MS), PATIENCE_MAX_MS);
  const rates = new Rates();
  const colors = colorsOf(process.stdout);
  try {
    let listing: Listing | undefined;
    for (let count = 1;; count++) {
      const beganAt = performance.now();
      listing = listAgain(watched, listing);
      const found = await lookout.look(listing.keys, patience);
      const publishers = rates.of(reportsOf(found), performance.now());
      const silent = found.flatMap((one) => "silent" in one ? [one.silent] : []);
      const at = new Date();
      if (context.json) printJson({ at, publishers, silent });
      else {
        const lines = [...page(publishers, colors), ...silentOf(found, colors), ...closedOf(listing, colors)];
        if (screen) screen.draw([title(publishers, at, options, colors), "", ...lines]);
        else print(`${lines.join("\n")}\n\n`);
      }
      if (count === options.count) return;
      await pause(Math.max(0, options.interval * 1000 - (performance.now() - beganAt)), signal);
    }
  } catch (error) {
    // Whoever typed q has seen enough; a signal is the program's own business.
    if (!screen?.quit.aborted || context.signal.aborted) throw error;
  }
}

/** The keys that there are now. The first look says what this user may not see; a later one shows it and goes on. */
function listAgain(context: Context, before: Listing | undefined): Listing {
  try {
    return listKeys(context);
  } catch (error) {
    if (before === undefined || !isCuframesError(error, "PERMISSION")) throw error;
    return { keys: [], closed: [{ directory: "", reason: error.message }] };
  }
}

function title(
  publishers: readonly PublisherRates[],
  at: Date,
  { interval }: Options,
  colors: Colors,
): string {
  const subscribers = publishers.reduce((sum, publisher) => sum + publisher.subscribers.length, 0);
  const counts = `${publishers.length} publishers, ${subscribers} subscribers`;
  return colors.dim(
    `cuframes top  ${at.toTimeString().slice(0, 8)}  every ${seconds(interval)}  ${counts}  q quits`,
  );
}

interface Row {
  readonly publisher: PublisherRates;
  readonly subscriber: SubscriberRates;
}

const rate = (value: number | undefined): string => value === undefined ? "-" : value.toFixed(1);

/** The columns of a subscriber. Packets are counted apart: a recorder has no frames. */
const COLUMNS: readonly Column<Row>[] = [
  { title: "KEY", align: "left", text: ({ publisher }) => publisher.key },
  { title: "SUBSCRIBER", align: "left", text: ({ subscriber }) => subscriber.name },
  { title: "MODE", align: "left", text: ({ subscriber }) => subscriber.mode },
  { title: "FPS", text: ({ subscriber }) => rate(subscriber.frameRate) },
  {
    title: "LATENCY",
    text: ({ subscriber: { latency } }) => latency === undefined ? "-" : seconds(latency),
  },
  { title: "LAG", text: ({ subscriber }) => String(subscriber.lag) },
  { title: "DROPS", text: ({ subscriber }) => String(subscriber.dropped) },
  { title: "DROPS/S", text: ({ subscriber }) => rate(subscriber.dropRate) },
  { title: "HELD", text: ({ subscriber }) => heldBy(subscriber) },
  {
    title: "PACKETS/S",
    text: ({ subscriber }) => subscriber.wantsPackets ? rate(subscriber.packetRate) : "-",
  },
  {
    title: "LOST",
    text: ({ subscriber }) => subscriber.wantsPackets ? String(subscriber.packetsLost) : "-",
  },
];

function page(publishers: readonly PublisherRates[], colors: Colors): string[] {
  if (publishers.length === 0) return ["no publisher"];
  const rows = publishers.flatMap((publisher) =>
    publisher.subscribers.map((subscriber) => ({ publisher, subscriber }))
  );
  const tables = [table(PUBLISHER_COLUMNS, publishers, colors)];
  if (rows.length > 0) tables.push("", table(COLUMNS, rows, colors));
  return tables.join("\n").split("\n");
}
