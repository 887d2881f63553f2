/** This file is the file that FFmpeg's muxer writes: from its header to its end, and what is left of it after a failure. */
import type { FormatContext, Packet, Stream } from "node-av";
import { Buffer } from "node:buffer";
import { lstat, rm, truncate } from "node:fs/promises";

import { newPacket } from "../demuxer.ts";
import { check, type NodeAv } from "../node_av.ts";
import { isMp4 } from "./container.ts";

/** A packet in a stream's ticks. */
export interface MuxedPacket {
  readonly stream: Stream;
  readonly data: Uint8Array;
  /** New parameter sets. */
  readonly header: Uint8Array | undefined;
  readonly key: boolean;
  readonly pts: bigint;
  readonly dts: bigint;
  readonly duration: bigint;
}

/** An open file; its calls must not overlap. */
export class OutputFile {
  readonly #av: NodeAv;
  readonly #format: FormatContext;
  readonly #packet: Packet;
  readonly #path: string | undefined;
  readonly #durable: boolean;
  readonly #fragmented: boolean;
  #begun = false;
  #flushed = false;
  /** Where the last whole piece of a durable recording ends. */
  #playable = 0n;

  /** What it is called in messages. */
  readonly name: string;
  /** Whether its header carries the parameter sets (not so in MPEG-TS). */
  readonly globalHeader: boolean;

  private constructor(
    av: NodeAv,
    target: string | number,
    name: string,
    format: FormatContext,
    durable: boolean,
  ) {
    this.#av = av;
    this.#format = format;
    this.#path = typeof target === "string" ? target : undefined;
    this.#durable = durable;
    this.#fragmented = durable && isMp4(format.oformat!.name ?? "");
    this.#packet = newPacket(av);
    this.name = name;
    this.globalHeader = (format.oformat!.flags & av.AVFMT_GLOBALHEADER) !== 0;
  }

  /** Creates the file, or empties it. @param name what it is called in messages @param muxer FFmpeg's name of the format */
  static async create(
    av: NodeAv,
    target: string | number,
    name: string,
    muxer: string,
    durable: boolean,
  ): Promise<OutputFile> {
    const format = new av.FormatContext();
    try {
      // A path is never a URL here, whatever characters it has.
      const url = typeof target === "number" ? `pipe:${target}` : `file:${target}`;
      check(av, format.allocOutputContext2(null, muxer, url), `preparing ${muxer}`);
      check(av, await format.openOutput(), `creating ${name}`);
      return new OutputFile(av, target, name, format, durable);
    } catch (error) {
      format.freeContext();
      throw error;
    }
  }

  /** Whether it is under a path, and no descriptor of somebody who reads it now. */
  get isFile(): boolean {
    return this.#path !== undefined;
  }

  /** Whether the header is written. */
  get begun(): boolean {
    return this.#begun;
  }

  /** A stream of the file, before its header. */
  newStream(): Stream {
    return this.#format.newStream();
  }

  /** Writes the header. @param options the muxer's @returns FFmpeg's result where the muxer refuses what it is told */
  async begin(options: Record<string, string>): Promise<number> {
    const av = this.#av;
    const dictionary = av.Dictionary.fromObject(options);
    const result = await this.#format.writeHeader(dictionary);
    dictionary.free();
    if (result === av.AVERROR_EINVAL || result === av.AVERROR_INVALIDDATA) return result;
    check(av, result, `writing the header of ${this.name}`);
    this.#begun = true;
    return 0;
  }

  async write({ stream, data, header, key, pts, dts, duration }: MuxedPacket): Promise<void> {
    const av = this.#av;
    const out = this.#packet;
    out.data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    out.streamIndex = stream.index;
    out.dts = dts;
    out.pts = pts;
    out.duration = duration;
    out.isKeyframe = key;
    try {
      if (header) {
        check(
          av,
          out.addSideData(av.AV_PKT_DATA_NEW_EXTRADATA, Buffer.from(header)),
          "changing parameter sets",
        );
      }
      check(av, await this.#format.writeFrame(out), `writing to ${this.name}`);
      if (this.#durable) this.#playable = this.#format.pbBytes;
    } finally {
      out.unref();
    }
  }

  /** Ends the piece that is being written: what is in the file until here can be played. */
  async flush(): Promise<void> {
    const av = this.#av;
    const flush = async () => check(av, await this.#format.writeFrame(null), `writing to ${this.name}`);
    await flush();
    if (this.#fragmented) {
      // The first time it is the header alone.
      if (!this.#flushed) await flush();
      // A fragment begins at its own time, not where the one before it seemed to end.
      const { AV_OPT_SEARCH_CHILDREN, AV_OPT_TYPE_STRING } = av;
      const set = this.#format.setOption(
        "movflags",
        "+frag_discont",
        AV_OPT_TYPE_STRING,
        AV_OPT_SEARCH_CHILDREN,
      );
      check(av, set, `writing to ${this.name}`);
    }
    this.#flushed = true;
    if (this.#durable) this.#playable = this.#format.pbBytes;
  }

  /** Completes the file. */
  async end(): Promise<void> {
    check(this.#av, await this.#format.writeTrailer(), `completing ${this.name}`);
  }

  /**
   * Closes the file. One without a recording is removed, and so is half a piece behind a whole one.
   *
   * @param failed whether writing has failed @returns whether there is a file
   */
  async close(failed: boolean): Promise<boolean> {
    await this.#format.closeOutput();
    this.#packet.free();
    this.#format.freeContext();
    const torn = this.#durable && failed;
    if (this.#path === undefined || (this.#begun && !torn)) return true;
    try {
      // What was recorded to may be a device.
      if (!(await lstat(this.#path)).isFile()) return true;
      if (this.#playable > 0n) await truncate(this.#path, Number(this.#playable));
      else await rm(this.#path);
    } catch (error) {
      // A disk that takes nothing more cannot be tidied either; who writes has been told so.
      if (!failed) throw error;
      return true;
    }
    return this.#playable > 0n;
  }
}
