/** This file writes encoded packets to a file as they are. */
import { clearTimeout, setTimeout } from "node:timers";
import { CODEC_IDS, CuframesError, invalid, shown } from "../core/mod.ts";

import { CallQueue } from "./call_queue.ts";
import { loadNodeAv, type NodeAv } from "./node_av.ts";
import { formatOf, isMp4, muxerOptions, needsPacket } from "./recording/container.ts";
import { DiskSync } from "./recording/disk_sync.ts";
import { OutputFile } from "./recording/output_file.ts";
import { Prelude } from "./recording/prelude.ts";
import { RecordedTrack } from "./recording/recorded_track.ts";
import { checkRecorder, type RecorderOptions } from "./recording/recorder_options.ts";
import type { RecorderPacket, RecorderTrack } from "./recording/recorder_track.ts";
import { bytesOf, nextTrack, WAITING_BYTES, type Which } from "./recording/interleaving.ts";
import { Silence } from "./recording/silence.ts";
import type { SoundEncoder } from "./recording/sound_encoder.ts";
import { codecName, type LeftTrack, type Taken, taking } from "./recording/taken_tracks.ts";

const SECOND = 1_000_000_000n;
/** Packets that are looked at before an MP4's ticks are chosen. */
const SURVEYED_PACKETS = 64;
/** The same for a durable recording: until then nothing is on the disk. */
const SURVEYED_DURABLE = 16;
/** A piece of a durable recording is so long, in the stream's time, if not by this machine's clock. */
const PIECE_NS = SECOND;
/** By the clock, in ms: what came is in the file at the latest then, however slow the camera. */
const PIECE_MS = 500;

/**
 * A recording: tracks as they are, not encoded again. It begins with the first key packet of its first video track, whose
 * presentation time becomes 0; without a video track, with its first packet. Sound before that is left out, but for what a
 * decoder needs to begin: where sound and picture begin together, up to 150 ms of it. MP4, MOV and Matroska
 * get the packets in the form they have in such a file, so that a track read from one is written byte for byte the same.
 *
 * Tracks are written in the order of their times. One that has nothing holds the others for a second of the stream's time.
 *
 * @example
 * ```ts
 * import { openMedia, Recorder } from "@cuframes/core/media";
 *
 * await using media = await openMedia("rtsp://camera/stream", { decode: false });
 * await using recorder = await Recorder.create("camera.mp4", media.video);
 * for await (const event of media) if (event.kind === "packet") await recorder.write(event);
 * ```
 */
export class Recorder implements AsyncDisposable {
  readonly #av: NodeAv;
  readonly #format: string;
  readonly #file: OutputFile;
  readonly #stated: readonly RecorderTrack[];
  /** The tracks of the file; none where one is left out. */
  readonly #tracks: (RecordedTrack | undefined)[];
  /** What encodes a track's sound, where it is not recorded as it is. */
  readonly #encoders: readonly (SoundEncoder | undefined)[];
  /** The track whose key packets begin a recording, and whose times end the pieces of a durable one. */
  readonly #lead: RecordedTrack;
  readonly #left: LeftTrack[];
  readonly #durable: boolean;
  readonly #sync: DiskSync | undefined;
  readonly #prelude = new Prelude();
  readonly #calls = new CallQueue();
  #originNs: bigint | undefined;
  /** The piece that is being written: since when in the stream's time, and how many bytes. */
  #pieceNs: bigint | undefined;
  #pieceBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The packet that the timer has left to wait, by its decode time. */
  #waitingNs: bigint | undefined;
  #failure: { readonly cause: unknown } | undefined;
  #failed = false;
  /** Packets taken, by track. */
  readonly #packets: number[] = [];
  #endNs: bigint | undefined;
  #closing: Promise<void> | undefined;

  /** Where the recording is; a descriptor by its number. */
  readonly path: string;
  /** Tracks that the file does not have, because its format does not take them. */
  get left(): readonly LeftTrack[] {
    return this.#left;
  }

  private constructor(
    av: NodeAv,
    format: string,
    file: OutputFile,
    { tracks: stated, encoders, left }: Taken,
    durable: boolean,
    sync: DiskSync | undefined,
  ) {
    this.#av = av;
    this.path = file.name;
    this.#left = left;
    this.#encoders = encoders;
    this.#format = format;
    this.#file = file;
    this.#stated = stated;
    this.#durable = durable;
    this.#sync = sync;
    const place = { global: file.globalHeader, changes: isMp4(format) };
    this.#tracks = stated.map((track, index) =>
      left.some((one) => one.track === index)
        ? undefined
        : new RecordedTrack(av, track, place, durable && file.isFile, Silence.for(av, format, track))
    );
    const kept = this.#tracks.filter((track) => track !== undefined);
    this.#lead = kept.find((track) => track.kind === "video") ?? kept[0]!;
  }

  /**
   * Creates the file, or empties it.
   *
   * @param target a path, or the number of a descriptor to write to, which stays the caller's: `1` is the standard
   * output
   * @throws {CuframesError} `INVALID_ARGUMENT` for an extension that stands for no format here; `UNSUPPORTED` where the
   * format takes no video track of those that there are, or no track at all, and without node-av; `NOT_FOUND`, `PERMISSION`
   * or `IO` where the file cannot be created
   */
  static async create(target: string | number, options: RecorderOptions): Promise<Recorder> {
    const toFile = typeof target === "string";
    const { stated, durable, sync, encodes, format: wanted } = checkRecorder(options, toFile);
    const name = nameOf(target);
    const format = formatOf(name, wanted);
    const av = await loadNodeAv();
    const taken = await taking(av, format, stated, name, toFile, encodes);
    let file: OutputFile | undefined;
    try {
      file = await OutputFile.create(av, target, name, format, durable);
      const synchronized = sync > 0 && toFile ? await DiskSync.open(target, sync) : undefined;
      return new Recorder(av, format, file, taken, durable, synchronized);
    } catch (error) {
      for (const encoder of taken.encoders) encoder?.close();
      await file?.close(true);
      throw error;
    }
  }

  /** Packets taken so far, of all tracks, from the first key packet on. */
  get packets(): number {
    return this.#packets.reduce((sum, count = 0) => sum + count, 0);
  }

  /** Those of one of the tracks. */
  packetsOf(track: number): number {
    return this.#packets[track] ?? 0;
  }

  /**
   * Takes the next packet of a track, in decode order; packets before the first key packet are left out, and those of a track
   * that is in {@linkcode Recorder.left}. Its data may be used again afterwards. Await it before the next one: packets wait in
   * memory for the disk.
   *
   * @param track its number in the options' `tracks`
   * @throws {CuframesError} `IO` where the file cannot be written, `UNSUPPORTED` where the file format does not
   * take the codec, `INVALID_ARGUMENT` after `close()`, for a track that there is not, and for a packet of an MP4 or MOV more
   * than 30 minutes behind the one before it, which the format cannot hold: close the file and begin another
   */
  async write(packet: RecorderPacket, track = 0): Promise<void> {
    if (this.#closing) throw invalid(`${this.path}: write() after close()`);
    if (!(track in this.#tracks)) throw invalid(`${this.path}: there is no track ${shown(track)}`);
    const into = this.#tracks[track];
    if (into === undefined) return;
    const encoder = this.#encoders[track];
    const packets: readonly RecorderPacket[] = encoder === undefined
      ? [packet]
      : await this.#guard(() => encoder.encode(packet));
    for (const one of packets) this.#take(one, track, into);
    if (this.#originNs === undefined) return;
    await this.#guard(async () => {
      this.#sync?.check();
      if (this.#failure) throw this.#failure.cause;
      await this.#drain("due");
    });
    this.#arm();
  }

  /** A call that must not overlap with others, and whose failure is the recording's. */
  #guard<T>(call: () => Promise<T>): Promise<T> {
    return this.#calls.run(async () => {
      try {
        return await call();
      } catch (error) {
        this.#failed = true;
        throw error;
      }
    });
  }

  #check(packet: RecorderPacket, into: RecordedTrack): void {
    const gap = packet.decodeTimestampNs - (into.newestNs ?? packet.decodeTimestampNs);
    if (isMp4(this.#format) && gap > into.longestGapNs) {
      throw invalid(
        `${this.path}: a packet comes ${
          gap / SECOND
        } s behind the one before it, which MP4 cannot hold: close this file and begin another`,
      );
    }
  }

  /**
   * Completes the file; repeated calls are harmless. A recording that never got a key packet leaves no file.
   *
   * @param options `endNs`: when the stream goes on elsewhere, which is how long the last frame is shown; default: as long as
   * it says itself, or as the one before it
   * @throws {CuframesError} as {@linkcode Recorder.write}
   */
  close(options?: { endNs?: bigint | undefined }): Promise<void> {
    this.#endNs ??= options?.endNs;
    return this.#closing ??= this.#finish();
  }

  /** As {@linkcode Recorder.close}, whose error it does not repeat to who has called that. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing === undefined) await this.close();
    else await this.#closing.catch(() => {});
  }

  #take(packet: RecorderPacket, track: number, into: RecordedTrack): void {
    this.#prelude.note(track, packet);
    this.#check(packet, into);
    if (this.#originNs === undefined) {
      if (into === this.#lead && (packet.type === "key" || into.length > 0)) {
        this.#push(packet, into);
        this.#settleOrigin(into.bytes >= WAITING_BYTES);
      } else if (into.kind !== "video") this.#prelude.hold(track, packet);
      return;
    }
    // Each video track begins with a key packet of its own.
    if (into.kind === "video" && into.newestNs === undefined && packet.type !== "key") return;
    if (into.kind !== "video" && !this.#prelude.belongs(track, packet, this.#originNs)) return;
    this.#push(packet, into);
  }

  /** Finds the recording's time 0, and what of the other tracks belongs behind it. */
  #settleOrigin(all: boolean): void {
    this.#originNs ??= this.#lead.originNs(all);
    if (this.#originNs === undefined) return;
    for (const held of this.#prelude.take()) this.#take(held.packet, held.track, this.#tracks[held.track]!);
  }

  #push(packet: RecorderPacket, into: RecordedTrack): void {
    into.push(packet);
    const track = this.#tracks.indexOf(into);
    this.#packets[track] = this.packetsOf(track) + 1;
  }

  get #kept(): RecordedTrack[] {
    return this.#tracks.filter((track) => track !== undefined);
  }

  /** Writes what is due; `"settled"`: that, and what waits for nothing but its successor or another track; all that waits. */
  async #drain(which: Which): Promise<void> {
    if (!this.#file.begun) {
      if (which === "due" && !this.#isSurveyed) return;
      await this.#begin();
    }
    const next = () => nextTrack(this.#kept, which);
    for (let track = next(); track !== undefined; track = next()) {
      if (this.#durable && this.#isPieceWhole(track)) await this.#endPiece();
      this.#pieceNs ??= track.nextNs!;
      const packet = track.shift(this.#endNs);
      this.#pieceBytes += packet.data.byteLength;
      await this.#file.write(packet);
      this.#sync?.note();
    }
  }

  get #isSurveyed(): boolean {
    if (!isMp4(this.#format) || this.#lead.kind !== "video") return true;
    return this.#lead.length >= (this.#durable ? SURVEYED_DURABLE : SURVEYED_PACKETS) ||
      bytesOf(this.#kept) >= WAITING_BYTES;
  }

  #isPieceWhole(track: RecordedTrack): boolean {
    if (this.#pieceNs === undefined) return false;
    if (this.#pieceBytes >= WAITING_BYTES) return true;
    return track === this.#lead && track.isForward && track.nextNs! - this.#pieceNs >= PIECE_NS;
  }

  async #endPiece(): Promise<void> {
    if (this.#pieceNs === undefined) return;
    this.#pieceNs = undefined;
    this.#pieceBytes = 0;
    await this.#file.flush();
    for (const track of this.#kept) track.restart();
    this.#sync?.note();
  }

  /** Sees to it that what waits is in the file soon, if nothing comes that drives it there. */
  #arm(): void {
    if (!this.#durable || this.#timer !== undefined || this.#closing) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#closing) return;
      this.#calls.run(async () => {
        if (this.#failed) return;
        // What had not settled half a second before never may.
        const waited = this.#lead.nextNs !== undefined && this.#lead.nextNs === this.#waitingNs;
        await this.#drain(waited ? "all" : "settled");
        this.#waitingNs = this.#lead.nextNs;
        await this.#endPiece();
        if (this.#waitingNs !== undefined) this.#arm();
      }).catch((cause) => this.#failure ??= { cause });
    }, PIECE_MS);
    // A recording that nobody closes keeps nothing alive.
    this.#timer.unref();
  }

  async #begin(): Promise<void> {
    const av = this.#av;
    for (const [index, track] of this.#tracks.entries()) {
      if (track?.length === 0 && this.#durable && needsPacket(av, this.#format, this.#stated[index]!)) {
        this.#tracks[index] = undefined;
        const codec = codecName(av, this.#stated[index]!);
        this.#left.push({
          track: index,
          reason: `${codec} cannot begin later than the file: the file is without it`,
        });
        continue;
      }
      const hevc = this.#stated[index]!.codecId === CODEC_IDS.hevc && isMp4(this.#format);
      // Apple's players take HEVC by this tag alone: parameter sets in the header and nowhere else.
      track?.begin(this.#file, this.#originNs!, hevc ? "hvc1" : undefined);
    }
    const options = muxerOptions(this.#format, this.#durable, this.#stated);
    if (await this.#file.begin(options) < 0) {
      const [track] = this.#stated;
      throw new CuframesError(
        "UNSUPPORTED",
        `${this.path}: ${codecName(av, track!)} does not go into this file as it is here`,
      );
    }
  }

  async #finish(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#calls.run(async () => {
        if (this.#failure) throw this.#failure.cause;
        this.#settleOrigin(true);
        if (this.#originNs === undefined || this.#failed) return;
        for (const [track, encoder] of this.#encoders.entries()) {
          const into = this.#tracks[track];
          if (encoder && into) {
            for (const packet of await encoder.flush()) this.#take(packet, track, into);
          }
        }
        await this.#drain("all");
      });
      // What a failed write has left behind may not be built upon.
      if (this.#file.begun && !(this.#failed && this.#durable)) await this.#file.end();
    } catch (error) {
      this.#failed = true;
      throw error;
    } finally {
      await this.#calls.close();
      for (const encoder of this.#encoders) encoder?.close();
      const kept = await this.#file.close(this.#failed);
      if (!kept) await this.#sync?.abandon();
      // Who is told of a failure already is not told of its consequences.
      else if (this.#failed) await this.#sync?.close().catch(() => {});
      else await this.#sync?.close();
    }
  }
}

function nameOf(target: string | number): string {
  if (typeof target === "string") return target;
  return target === 1 ? "the standard output" : `descriptor ${target}`;
}
