/** This file shows what publishers and their subscribers do, as tables. */
import Table from "cli-table3";
import { CODEC_IDS, codecNameOf } from "../core/mod.ts";
import type { PublisherReport, SubscriberReport, TrackReport } from "../frames/mod.ts";
import type { Found, Listing } from "./keys.ts";
import type { Colors } from "./terminal.ts";

/** No lines, and two spaces between columns. */
const PLAIN = {
  chars: {
    ...{ top: "", "top-mid": "", "top-left": "", "top-right": "" },
    ...{ bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "" },
    ...{ left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " },
  },
  style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
};

/** A column: its title, its text for each row, and the side it is aligned to. */
export interface Column<Row> {
  readonly title: string;
  readonly align?: "left" | "right";
  text(row: Row): string;
}

/** Rows as aligned columns under their titles. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], colors: Colors): string {
  const drawn = new Table({
    ...PLAIN,
    head: columns.map(({ title }) => colors.bold(title)),
    colAligns: columns.map(({ align = "right" }) => align),
  });
  drawn.push(...rows.map((row) => columns.map(({ text }) => printable(text(row)))));
  return drawn.toString().split("\n").map((line) => line.trimEnd()).join("\n");
}

/** Another process's words, without what a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, "\u{fffd}");
}

/** What a publisher's columns need of its report. */
type Summary = Omit<PublisherReport, "subscribers"> & { readonly subscribers: readonly SubscriberReport[] };

/** The columns of a publisher. */
export const PUBLISHER_COLUMNS: readonly Column<Summary>[] = [
  { title: "KEY", align: "left", text: ({ key }) => key },
  { title: "PID", text: ({ pid }) => String(pid) },
  { title: "FRAMES", align: "left", text: ofFrames(sizeOf) },
  { title: "PICTURE", align: "left", text: ofFrames(pictureOf) },
  { title: "MEMORY", align: "left", text: ofFrames(({ memory }) => memory) },
  { title: "FPS", text: ofFrames(({ frameRate }) => frameRate.toFixed(1)) },
  { title: "AGE", text: ({ lastFrameAge }) => lastFrameAge === undefined ? "-" : seconds(lastFrameAge) },
  { title: "PUBLISHED", text: ofFrames(({ published }) => String(published)) },
  { title: "SLOTS", text: ofFrames(slotsOf) },
  { title: "EVICTED", align: "left", text: ofFrames(evictionsOf) },
  { title: "PACKETS", align: "left", text: packetsOf },
  { title: "UP", text: ({ publishingFor }) => seconds(publishingFor) },
  { title: "SUBSCRIBERS", text: ({ subscribers }) => String(subscribers.length) },
];

/** A subscriber with the publisher it belongs to. */
export interface Reading {
  readonly publisher: PublisherReport;
  readonly subscriber: SubscriberReport;
}

/** The columns of a subscriber. */
export const SUBSCRIBER_COLUMNS: readonly Column<Reading>[] = [
  { title: "KEY", align: "left", text: ({ publisher }) => publisher.key },
  { title: "SUBSCRIBER", align: "left", text: ({ subscriber }) => subscriber.name },
  { title: "PID", text: ({ subscriber: { pid } }) => pid === 0 ? "-" : String(pid) },
  { title: "MODE", align: "left", text: ({ subscriber }) => subscriber.mode },
  { title: "RECEIVED", text: ({ subscriber }) => String(subscriber.received) },
  { title: "LAG", text: ({ subscriber }) => String(subscriber.lag) },
  { title: "DROPS", text: ({ subscriber }) => String(subscriber.dropped) },
  { title: "HELD", text: ({ subscriber }) => heldBy(subscriber) },
  {
    title: "PACKETS",
    text: ({ subscriber: { wantsPackets, packetsReceived } }) => wantsPackets ? String(packetsReceived) : "-",
  },
  {
    title: "LOST",
    text: ({ subscriber: { wantsPackets, packetsLost } }) => wantsPackets ? String(packetsLost) : "-",
  },
  { title: "UP", text: ({ subscriber }) => seconds(subscriber.connectedFor) },
];

/** The subscribers of all publishers that answered. */
export function readingsOf(found: readonly Found[]): Reading[] {
  return found.flatMap((one) =>
    "report" in one ? one.report.subscribers.map((subscriber) => ({ publisher: one.report, subscriber })) : []
  );
}

/** The publishers that answered. */
export function reportsOf(found: readonly Found[]): PublisherReport[] {
  return found.flatMap((one) => "report" in one ? [one.report] : []);
}

/** A line for each socket that nobody answers at. */
export function silentOf(found: readonly Found[], colors: Colors): string[] {
  return found.flatMap((one) =>
    "silent" in one
      ? [colors.dim(printable(`${one.silent.key}: ${one.silent.state}: ${one.silent.reason}`))]
      : []
  );
}

/** A line for each directory that may not be looked into. */
export function closedOf({ closed }: Listing, colors: Colors): string[] {
  return closed.map(({ reason }) => colors.dim(printable(reason)));
}

/** A text that says something where there are frames. */
function ofFrames(text: (row: Summary) => string): (row: Summary) => string {
  return (row) => row.hasFrames ? text(row) : "-";
}

function sizeOf({ format, codedWidth, codedHeight }: Summary): string {
  return `${codedWidth}×${codedHeight} ${format}`;
}

function slotsOf({ slots, slotsLeased, maxSlots }: Summary): string {
  return `${slotsLeased}/${slots}/${maxSlots}`;
}

/** What is not to be seen in the size of the frames: how they are shown, and what they stand for. */
function pictureOf({ picture, codedWidth, codedHeight }: Summary): string {
  if (picture === undefined) return "-";
  const { displayWidth, displayHeight, rotation, flip, colorSpace, fieldOrder } = picture;
  const parts = [
    displayWidth === codedWidth && displayHeight === codedHeight ? [] : `${displayWidth}×${displayHeight}`,
    rotation === 0 ? [] : `${rotation}°`,
    flip ? "flip" : [],
    colorSpace.matrix ?? [],
    colorSpace.fullRange ? "full" : [],
    fieldOrder === null || fieldOrder === "progressive" ? [] : fieldOrder,
  ].flat();
  return parts.length > 0 ? parts.join(" ") : "-";
}

/** How many, and who was the last. */
function evictionsOf({ evictions, lastEviction: last }: Summary): string {
  if (last === undefined) return "0";
  return `${evictions}: ${last.name} ${seconds(last.age)} ago, ${last.frames} for ${seconds(last.heldFor)}`;
}

/** How many of each track. */
function packetsOf({ tracks }: Summary): string {
  return tracks.map((track) => `${nameOf(track)} ${track.published}`).join(", ") || "-";
}

function nameOf({ codec, codecId }: TrackReport): string {
  const isKnown = Object.values<number>(CODEC_IDS).includes(codecId);
  return isKnown ? codecNameOf(codecId) : codec;
}

/** How many frames a subscriber holds, and since when the oldest. */
export function heldBy({ held, heldFor }: Pick<SubscriberReport, "held" | "heldFor">): string {
  return held === 0 ? "0" : `${held} for ${seconds(heldFor)}`;
}

/** A time span in its one or two largest units. */
export function seconds(span: number): string {
  if (span < 1) return `${Math.round(span * 1000)}ms`;
  if (span < 60) return `${span.toFixed(1)}s`;
  const whole = Math.floor(span);
  const [days, hours, minutes] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
  ];
  if (days > 0) return `${days}d${hours}h`;
  return hours > 0 ? `${hours}h${minutes}m` : `${minutes}m${whole % 60}s`;
}
