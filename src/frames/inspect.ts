// Asking a publisher what it does.

import { connect } from "../connect/mod.ts";
import {
  checkOptions,
  formatOfCode,
  MEMORY_KINDS,
  MODES,
  NAME_SIZE_MAX,
  optionNames,
  type PixelFormat,
  POLICIES,
  SUBSCRIBERS_MAX,
  TRACKS_MAX,
  UUID_SIZE,
  WANT_FRAMES,
  WANT_PACKETS,
  WANT_REPORT,
} from "../core/mod.ts";
import { Report, ReportSubscriber, ReportTrack, type Struct } from "../ffi/mod.ts";
import { deviceName, type MemoryKind } from "../memory/mod.ts";
import { readTrack, type Track } from "../packets/mod.ts";
import { type PictureView, readPicture } from "./picture_view.ts";
import type { Policy } from "./publisher_options.ts";
import type { Mode } from "./subscriber.ts";

/** One subscriber, as its publisher sees it. The counters are those that the subscriber itself wrote. */
export interface SubscriberReport {
  /** The name that it gave to `connect`. */
  name: string;
  /** Its process id, from the kernel; 0 across PID namespaces. */
  pid: number;
  /** Which frames it is given. */
  mode: Mode;
  /** Whether it asked for packets. */
  wantsPackets: boolean;
  /** Frames delivered. */
  received: number;
  /** Frames not delivered. */
  dropped: number;
  /** Frames published after the last one delivered; 0 for a subscriber to packets only. */
  lag: number;
  /** Frames held now. */
  held: number;
  /** How long ago the oldest frame that it holds was published, in seconds; 0: it holds none. */
  heldFor: number;
  /** Packets delivered, to all of its packet readers together. */
  packetsReceived: number;
  /** Packets lost to the writer, which was faster, or passed over up to the next key packet. */
  packetsLost: number;
  /** How long it has been connected, in seconds. */
  connectedFor: number;
}

/** How a subscriber lost its connection. */
export interface EvictionReport {
  /** The subscriber's name. */
  name: string;
  /** The subscriber's process id; 0 where it has none in the publisher's PID namespace. */
  pid: number;
  /** Frames that it held. */
  frames: number;
  /** How long ago the oldest of them had been published then, in seconds. */
  heldFor: number;
  /** How long ago it was evicted, in seconds. */
  age: number;
}

/** What is published under a key, by whom, to whom. */
export interface PublisherReport {
  /** The key that it publishes under. */
  key: string;
  /** The publisher's process id, as it says. */
  pid: number;
  /** Pixel format of the frames. */
  format: PixelFormat;
  /** Width of the frames in pixels. */
  codedWidth: number;
  /** Height of the frames in pixels. */
  codedHeight: number;
  /** Where the frames are. */
  memory: MemoryKind;
  /** The GPU the frames are on, as `"GPU-<uuid>"`; undefined on host memory. */
  device: string | undefined;
  /** What happens when no slot is free. */
  policy: Policy;
  /** Slots in the ring now. */
  slots: number;
  /** Slots that it may grow to. */
  maxSlots: number;
  /** Slots' memories that left the ring and that subscribers have not let go of. */
  slotsOutside: number;
  /** Bytes that both may take. */
  memoryLimit: number;
  /** Subscribers evicted so far. */
  evictions: number;
  /** The last of them; undefined where there was none. */
  lastEviction: EvictionReport | undefined;
  /** Slots that subscribers hold now. */
  slotsLeased: number;
  /** Bytes of each slot. */
  slotSize: number;
  /** What picture the newest frame is; undefined before the first. */
  picture: PictureView | undefined;
  /** Frames published so far. */
  published: number;
  /**
   * Frames per second, measured over the last two seconds, of a slower camera over its last 8 frames; 0 in the first
   * quarter of a second, and when no frame has come for two seconds and three times as long as one took.
   */
  frameRate: number;
  /** Seconds since the last frame; undefined before the first. */
  lastFrameAge: number | undefined;
  /** How long it has been publishing, in seconds. */
  publishingFor: number;
  /** Whether it has frames; if not, what is said of them here means nothing. */
  hasFrames: boolean;
  /** The first track of encoded pictures; undefined where there is none. */
  packets: { codecId: number; published: number } | undefined;
  /** Every track, by its number. */
  tracks: TrackReport[];
  /** Connections dropped for what they sent or failed to send. */
  rejected: number;
  /** Everybody who is connected. */
  subscribers: SubscriberReport[];
}

/** What a publisher knows of one of its tracks. */
export interface TrackReport extends Omit<Track, "description"> {
  /** Packets published. */
  published: number;
  /** Payload of them, in bytes. */
  bytes: number;
}

/** Options of {@linkcode inspect}. */
export interface InspectOptions {
  /** Milliseconds to wait for a publisher; default 0. */
  timeout?: number;
  /** Gives up with the signal's reason. */
  signal?: AbortSignal;
  /** Where to look for the socket; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
}

const INSPECT_OPTIONS = optionNames<InspectOptions>({ timeout: true, signal: true, runtimeDirectory: true });

/**
 * Asks a publisher what it does. Its control thread answers, whatever its JavaScript is busy with, and the question takes no
 * subscriber's place.
 *
 * @throws {CuframesError} as `Subscriber.connect`
 * @example
 * ```ts
 * import { inspect } from "@cuframes/core";
 *
 * const report = await inspect("cam-parking");
 * console.log(report.frameRate, report.subscribers.map(({ name, lag }) => `${name} +${lag}`));
 * ```
 */
export async function inspect(key: string, options?: InspectOptions): Promise<PublisherReport> {
  const { timeout = 0, runtimeDirectory, signal } = checkOptions(options, INSPECT_OPTIONS);
  const { report } = await connect({
    key,
    runtimeDirectory,
    name: undefined,
    mode: 0,
    wants: WANT_REPORT,
    timeout,
  }, signal);
  return readReport(key, report);
}

function readReport(key: string, report: Struct): PublisherReport {
  const now = report.count(Report.nowNs);
  const published = report.count(Report.published);
  const tracks = tracksOf(report);
  const pictures = tracks.find(({ kind }) => kind === "video");
  const format = formatOfCode(report.u32(Report.geometryFormat));
  const seconds = (since: number) => Math.max(0, now - since) / 1e9;
  return {
    key,
    pid: report.count(Report.publisherPid),
    format,
    codedWidth: report.u32(Report.geometryWidth),
    codedHeight: report.u32(Report.geometryHeight),
    memory: nameOf(MEMORY_KINDS, report.u32(Report.memory)),
    device: report.u32(Report.memory) === MEMORY_KINDS.cuda
      ? deviceName(report.bytes.subarray(Report.device, Report.device + UUID_SIZE))
      : undefined,
    policy: nameOf(POLICIES, report.u32(Report.policy)),
    slots: report.u32(Report.slotCount),
    maxSlots: report.u32(Report.maxSlots),
    slotsOutside: report.u32(Report.slotsOutside),
    memoryLimit: report.count(Report.memoryLimit),
    evictions: report.u32(Report.evictions),
    lastEviction: evictionOf(report, now),
    slotsLeased: report.u32(Report.slotsLeased),
    slotSize: report.count(Report.slotSize),
    picture: published === 0 ? undefined : readPicture(report, Report.pictureVisibleX, format),
    published,
    frameRate: report.count(Report.rateMillihertz) / 1000,
    lastFrameAge: published === 0 ? undefined : seconds(report.count(Report.newestPublishedNs)),
    publishingFor: seconds(report.count(Report.createdNs)),
    hasFrames: report.u32(Report.packetsOnly) === 0,
    packets: pictures && { codecId: pictures.codecId, published: pictures.published },
    tracks,
    rejected: report.u32(Report.rejected),
    subscribers: Array.from(
      { length: Math.min(report.u32(Report.subscriberCount), SUBSCRIBERS_MAX) },
      (_, index) => {
        const base = Report.subscribers + index * ReportSubscriber.SIZE;
        const field = (name: keyof typeof ReportSubscriber) => base + ReportSubscriber[name];
        const wants = report.u32(field("wants"));
        return {
          name: report.text(field("name"), NAME_SIZE_MAX + 1),
          pid: report.i32(field("pid")),
          mode: nameOf(MODES, report.u32(field("mode"))),
          wantsPackets: (wants & WANT_PACKETS) !== 0,
          received: report.count(field("received")),
          dropped: report.count(field("dropped")),
          lag: wants & WANT_FRAMES ? Math.max(0, published - report.count(field("cursor"))) : 0,
          held: report.u32(field("held")),
          heldFor: report.count(field("heldNs")) / 1e9,
          packetsReceived: report.count(field("packetsReceived")),
          packetsLost: report.count(field("packetsLost")),
          connectedFor: seconds(report.count(field("connectedNs"))),
        };
      },
    ),
  };
}

function tracksOf(report: Struct): TrackReport[] {
  const count = Math.min(report.u32(Report.trackCount), TRACKS_MAX);
  return Array.from({ length: count }, (_, index) => {
    const base = Report.tracks + index * ReportTrack.SIZE;
    const { description: _none, ...track } = readTrack(
      report,
      new Uint8Array(0),
      base + ReportTrack.infoKind,
    );
    return {
      ...track,
      published: report.count(base + ReportTrack.published),
      bytes: report.count(base + ReportTrack.bytes),
    };
  });
}

function evictionOf(report: Struct, now: number): EvictionReport | undefined {
  const at = report.count(Report.lastEvictionAtNs);
  if (at === 0) return undefined;
  return {
    name: report.text(Report.lastEvictionName, NAME_SIZE_MAX + 1),
    pid: report.i32(Report.lastEvictionPid),
    frames: report.u32(Report.lastEvictionFrames),
    heldFor: report.count(Report.lastEvictionHeldNs) / 1e9,
    age: Math.max(0, now - at) / 1e9,
  };
}

/** The name of a code; a code of a later release, which has none here, counts as the first one. */
function nameOf<Name extends string>(table: Readonly<Record<Name, number>>, code: number): Name {
  const names = Object.keys(table) as Name[];
  return names.find((name) => table[name] === code) ?? names[0]!;
}
