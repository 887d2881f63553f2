/** This file is one track of a recording: its packets, from when they come to when the file has them. */
import type { Rational, Stream } from "node-av";
import { timescaleOf } from "../../core/mod.ts";

import { NANOSECONDS, type NodeAv } from "../node_av.ts";
import { later } from "../time/nanoseconds.ts";
import type { MuxedPacket, OutputFile } from "./output_file.ts";
import { type HeaderPlace, PacketForm } from "./packet_form.ts";
import { type RecorderPacket, type RecorderTrack, stateTrack } from "./recorder_track.ts";
import type { Silence } from "./silence.ts";

const SECOND = 1_000_000_000n;
/** MP4 counts from one packet to the next in less than 2^31 ticks: 35 minutes of the finest that `timescaleOf` chooses. */
export const LONGEST_GAP_NS: bigint = 30n * 60n * SECOND;
const TICKS_MAX = 2n ** 31n - 1n;
/** H.264 and HEVC hold at most 16 frames back. */
const REORDERED_FRAMES = 16;
/** How long a packet is taken to last when nothing tells: 25 frames a second. */
const USUAL_FRAME_NS = SECOND / 25n;

/** A packet that waits to be written, in the form of the file. */
interface Queued {
  readonly data: Uint8Array;
  readonly header: Uint8Array | undefined;
  readonly key: boolean;
  readonly timestampNs: bigint;
  readonly decodeTimestampNs: bigint;
  readonly durationNs: bigint;
  readonly hidden: boolean;
}

/** A track of a file: its queue, and the ticks of what was written. */
export class RecordedTrack {
  readonly #av: NodeAv;
  readonly #track: RecorderTrack;
  readonly #place: HeaderPlace;
  readonly #waits: boolean;
  readonly #silence: Silence | undefined;
  readonly #queue: Queued[] = [];
  #form: PacketForm | undefined;
  #stream: Stream | undefined;
  #originNs = 0n;
  #bytes = 0;
  /** The newest packet's decode time. */
  #newestNs: bigint | undefined;
  /** Whether frames are shown in another order than decoded; the latest to be shown, and when it is decoded. */
  #reorders = false;
  #latestNs: bigint | undefined;
  #forwardNs = 0n;
  /** Of the packet written last: its decode time in ticks, and how long it lasted in ns. */
  #lastDecode: bigint | undefined;
  #lastDuration = 0n;
  /** The latest presentation time of all that was written. */
  #shownNs: bigint | undefined;
  /** When the last of all frames has been shown, in ticks; the same as a muxer knows it that began a piece anew. */
  #shownEnd: bigint | undefined;
  #muxedEnd: bigint | undefined;

  /** What kind it is. */
  readonly kind: RecorderTrack["kind"];
  /** The longest time between two packets that an MP4 can hold. */
  readonly longestGapNs: bigint;

  /** @param waits whether a frame waits for those that are shown before it, so that the file can end anywhere */
  constructor(
    av: NodeAv,
    track: RecorderTrack,
    place: HeaderPlace,
    waits: boolean,
    silence: Silence | undefined,
  ) {
    this.#silence = silence;
    this.#waits = waits;
    this.#av = av;
    this.#track = track;
    this.#place = place;
    this.kind = track.kind;
    this.longestGapNs = longestGapOf(track);
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Packets that wait. */
  get length(): number {
    return this.#queue.length;
  }

  /** When the packet that comes next is decoded; undefined where none waits. */
  get nextNs(): bigint | undefined {
    return this.#queue[0]?.decodeTimestampNs;
  }

  /** When the newest packet of all is decoded. */
  get newestNs(): bigint | undefined {
    return this.#newestNs;
  }

  /** Whether how long the next packet lasts is known, and nothing is missing that is shown before it. */
  get isReady(): boolean {
    const [next] = this.#queue;
    if (next === undefined) return false;
    if (this.kind === "video") return this.#queue.length > 1 && this.isSettled;
    return this.#queue.length > 1 || this.kind === "data" || next.durationNs > 0n;
  }

  /** Whether all frames are there that are shown before the next one and decoded after it. */
  get isSettled(): boolean {
    const [next] = this.#queue;
    if (next === undefined) return false;
    return !this.#waits || !this.#reorders || next.decodeTimestampNs < this.#forwardNs ||
      this.#queue.length > REORDERED_FRAMES;
  }

  /** Whether the next packet is shown after all before it, so that what is before it is whole. */
  get isForward(): boolean {
    const [next] = this.#queue;
    return next !== undefined && (this.#shownNs === undefined || next.timestampNs > this.#shownNs);
  }

  /**
   * The first packet's presentation time; where that is not shown, of what is shown first: before 0 an edit list hides what
   * there is. Undefined where more has to come to know it. @param all whether nothing more comes
   */
  originNs(all: boolean): bigint | undefined {
    const [first] = this.#queue;
    const shown = this.#queue.filter(({ hidden }) => !hidden).map(({ timestampNs }) => timestampNs);
    if (first === undefined || !first.hidden) return first?.timestampNs;
    if (!all && shown.length <= REORDERED_FRAMES) return undefined;
    return shown.reduce((least, time) => time < least ? time : least, shown[0] ?? first.timestampNs);
  }

  /** Takes the next packet. */
  push(packet: RecorderPacket): void {
    for (const one of this.#silence?.before(packet) ?? [packet]) this.#enqueue(one);
  }

  #enqueue(packet: RecorderPacket): void {
    const { data, type, timestampNs, decodeTimestampNs, durationNs, hidden = false } = packet;
    const { codecId, description } = this.#track;
    this.#form ??= new PacketForm(this.#av, codecId, description, data, this.#place);
    const formed = this.#form.take(data, type);
    this.#queue.push({
      ...formed,
      key: type === "key",
      timestampNs,
      decodeTimestampNs,
      durationNs: durationNs ?? 0n,
      hidden,
    });
    this.#bytes += formed.data.byteLength;
    if (this.#latestNs === undefined || timestampNs > this.#latestNs) {
      this.#latestNs = timestampNs;
      this.#forwardNs = decodeTimestampNs;
    } else if (this.kind === "video") this.#reorders = true;
    this.#newestNs = decodeTimestampNs;
  }

  /**
   * Makes the track's stream; its ticks are those of the packets that wait, or the samples of sound.
   *
   * @param originNs the recording's time 0
   */
  begin(file: OutputFile, originNs: bigint, tag: string | undefined): void {
    const av = this.#av;
    const stream = file.newStream();
    const header = this.#form?.header;
    stateTrack(av, stream, header === undefined ? this.#track : { ...this.#track, description: header });
    if (tag !== undefined) stream.codecpar.codecTag = tag;
    // Decode times may have been guessed, presentation times come from the source.
    const times = this.#queue.map((packet) => packet.timestampNs);
    stream.timeBase = new av.Rational(1, this.#track.sampleRate ?? timescaleOf(times));
    this.#stream = stream;
    this.#originNs = originNs;
  }

  /** A piece of the file has ended: the muxer counts on from the next packet. */
  restart(): void {
    this.#muxedEnd = undefined;
  }

  /** The next packet, in the ticks of the file. @param endNs when the stream goes on elsewhere, where that is known */
  shift(endNs?: bigint): MuxedPacket {
    const packet = this.#queue.shift()!;
    this.#bytes -= packet.data.byteLength;
    const stream = this.#stream!;
    const nextNs = this.#queue[0]?.decodeTimestampNs;
    const dts = this.#after(this.#ticks(packet.decodeTimestampNs));
    const durationNs = this.#durationOf(packet, nextNs ?? endNs);
    this.#lastDecode = dts;
    this.#lastDuration = durationNs;
    this.#shownNs = later(this.#shownNs ?? packet.timestampNs, packet.timestampNs);
    const pts = later(this.#ticks(packet.timestampNs), dts);
    const end = this.#after(this.#ticks(packet.decodeTimestampNs + durationNs));
    let duration = end - dts;
    this.#shownEnd = later(this.#shownEnd ?? pts, pts + duration);
    this.#muxedEnd = later(this.#muxedEnd ?? pts, pts + duration);
    // It may be the last one, and is shown before frames that are in the piece before: they count by its end.
    if (nextNs === undefined && this.#muxedEnd < this.#shownEnd) duration = this.#shownEnd - pts;
    const { data, header, key } = packet;
    return { stream, data, header, key, pts, dts, duration };
  }

  #durationOf({ decodeTimestampNs, durationNs }: Queued, nextNs: bigint | undefined): bigint {
    const until = nextNs === undefined ? 0n : nextNs - decodeTimestampNs;
    // Sound that is interrupted does not last until it goes on.
    if (this.kind === "audio" && durationNs > 0n) return durationNs;
    if (until > 0n) return until;
    return durationNs || this.#lastDuration || USUAL_FRAME_NS;
  }

  /** Ticks can be coarser than the packets are apart. */
  #after(ticks: bigint): bigint {
    return this.#lastDecode !== undefined && ticks <= this.#lastDecode ? this.#lastDecode + 1n : ticks;
  }

  #ticks(ns: bigint): bigint {
    const timeBase: Rational = this.#stream!.timeBase;
    return this.#av.avRescaleQ(ns - this.#originNs, NANOSECONDS, timeBase);
  }
}

/** The longest time between two packets of a track that an MP4 can hold; the ticks of sound are its samples. */
export function longestGapOf({ kind, sampleRate }: RecorderTrack): bigint {
  if (kind === "audio") return TICKS_MAX * SECOND / BigInt(sampleRate!);
  // Data goes into formats without such a limit.
  return kind === "video" ? LONGEST_GAP_NS : 2n ** 63n;
}
