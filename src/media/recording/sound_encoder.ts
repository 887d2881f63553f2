/** This file encodes sound as AAC, for a file format that does not take it as it is. */
import type { CodecContext, FilterContext, FilterGraph, Frame, Packet, Rational } from "node-av";
import { Buffer } from "node:buffer";
import { CuframesError } from "../../core/mod.ts";

import { newPacket } from "../demuxer.ts";
import { check, mediaError, NANOSECONDS, type NodeAv } from "../node_av.ts";
import type { RecorderPacket, RecorderTrack } from "./recorder_track.ts";

const SECOND = 1_000_000_000n;
/** Sampling rates that AAC has (ISO/IEC 14496-3, table 1.18), but for 7350. */
const RATES = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000];
/** Samples of a packet; so many the encoder puts before the first one, too. */
const FRAME = 1024n;
/** More than this is no gap that is filled with silence: the sound begins anew. */
const GAP_NS = SECOND;
/** Sound is moved where it is so far from its time, in s. */
const SLIP = 0.01;
/** For each channel. */
const BIT_RATE = 64_000n;

/** Filters in a row. */
interface SoundFilters {
  readonly graph: FilterGraph;
  readonly source: FilterContext;
  readonly sink: FilterContext;
}

/**
 * Decodes a track, brings it to a rate that AAC has, and encodes it. Gaps up to a second are filled with silence. A packet's
 * time is that of the samples that come out when it is decoded, so that sound stays where it was: the first packet lies 1024
 * samples before the sound.
 */
export class SoundEncoder {
  readonly #av: NodeAv;
  readonly #name: string;
  readonly #decoder: CodecContext;
  readonly #encoder: CodecContext;
  readonly #packet: Packet;
  readonly #frame: Frame;
  /** Rate and channels of what comes out. */
  readonly #rate: number;
  readonly #channels: number;
  #graph: SoundFilters | undefined;
  /** When the decoded sound goes on, in ns. */
  #expectedNs: bigint | undefined;
  /** Whether the encoder has got nothing yet; the times of the packets that it will give. */
  #isFresh = true;
  readonly #times: bigint[] = [];

  /** What comes out. */
  readonly track: RecorderTrack;

  private constructor(
    av: NodeAv,
    name: string,
    input: RecorderTrack,
    decoder: CodecContext,
    encoder: CodecContext,
  ) {
    this.#av = av;
    this.#name = name;
    this.#decoder = decoder;
    this.#encoder = encoder;
    this.#rate = encoder.sampleRate;
    this.#channels = encoder.channelLayout.nbChannels;
    this.#packet = newPacket(av);
    this.#frame = new av.Frame();
    this.#frame.alloc();
    this.track = {
      ...input,
      codec: undefined,
      codecId: av.AV_CODEC_ID_AAC,
      description: new Uint8Array(encoder.extraData ?? []),
      sampleRate: this.#rate,
      numberOfChannels: this.#channels,
    };
  }

  /** @throws {CuframesError} `UNSUPPORTED` where FFmpeg has no decoder of the track */
  static async create(av: NodeAv, input: RecorderTrack): Promise<SoundEncoder> {
    const { codecId, description, sampleRate, numberOfChannels } = input;
    const id = codecId as Parameters<NodeAv["Codec"]["findDecoder"]>[0];
    const name = av.avGetCodecName(id) ?? `codec ${codecId}`;
    const [decoding, encoding] = [av.Codec.findDecoder(id), av.Codec.findEncoder(av.AV_CODEC_ID_AAC)];
    if (!decoding || !encoding) {
      throw new CuframesError(
        "UNSUPPORTED",
        `${name} cannot be encoded as AAC: FFmpeg does not decode it here`,
      );
    }
    const decoder = new av.CodecContext();
    decoder.allocContext3(decoding);
    const encoder = new av.CodecContext();
    encoder.allocContext3(encoding);
    try {
      decoder.sampleRate = sampleRate!;
      decoder.channelLayout = layoutOf(av, numberOfChannels!);
      decoder.pktTimebase = new av.Rational(NANOSECONDS.num, NANOSECONDS.den);
      if (description?.length) decoder.extraData = Buffer.from(description);
      check(av, await decoder.open2(decoding), `decoding ${name}`);
      const channels = Math.min(numberOfChannels!, 2);
      encoder.sampleRate = RATES.find((rate) => rate >= sampleRate!) ?? RATES.at(-1)!;
      encoder.channelLayout = layoutOf(av, channels);
      encoder.sampleFormat = av.AV_SAMPLE_FMT_FLTP;
      encoder.bitRate = BIT_RATE * BigInt(channels);
      encoder.timeBase = new av.Rational(1, encoder.sampleRate);
      encoder.setFlags(av.AV_CODEC_FLAG_GLOBAL_HEADER);
      check(av, await encoder.open2(encoding), "encoding AAC");
      return new SoundEncoder(av, name, input, decoder, encoder);
    } catch (error) {
      decoder.freeContext();
      encoder.freeContext();
      throw error;
    }
  }

  /** Takes the next packet; gives what is encoded by now. */
  async encode({ data, timestampNs }: RecorderPacket): Promise<RecorderPacket[]> {
    const av = this.#av;
    const packet = this.#packet;
    packet.data = Buffer.from(data);
    packet.pts = packet.dts = timestampNs;
    const sent = await this.#decoder.sendPacket(packet);
    packet.unref();
    // What is damaged is silent: the next packet says where the sound goes on.
    if (sent < 0 && sent !== av.AVERROR_INVALIDDATA) throw mediaError(av, sent, `decoding ${this.#name}`);
    return sent < 0 ? [] : await this.#decoded(timestampNs);
  }

  /** Gives the rest. */
  async flush(): Promise<RecorderPacket[]> {
    await this.#decoder.sendPacket(null);
    const encoded = await this.#decoded(this.#expectedNs ?? 0n);
    encoded.push(...await this.#endGraph());
    await this.#encoder.sendFrame(null);
    encoded.push(...await this.#received());
    return encoded;
  }

  close(): void {
    this.#graph?.graph.free();
    this.#decoder.freeContext();
    this.#encoder.freeContext();
    this.#packet.free();
    this.#frame.free();
  }

  async #decoded(fallbackNs: bigint): Promise<RecorderPacket[]> {
    const av = this.#av;
    const encoded: RecorderPacket[] = [];
    for (;;) {
      const result = await this.#decoder.receiveFrame(this.#frame);
      if (result === av.AVERROR_EAGAIN || result === av.AVERROR_EOF) return encoded;
      if (result === av.AVERROR_INVALIDDATA) continue;
      check(av, result, `decoding ${this.#name}`);
      const { pts, nbSamples, sampleRate } = this.#frame;
      const beginNs = pts === av.AV_NOPTS_VALUE ? fallbackNs : pts;
      const expectedNs = this.#expectedNs ?? beginNs;
      if (beginNs - expectedNs > GAP_NS || expectedNs - beginNs > GAP_NS) {
        encoded.push(...await this.#endGraph());
      }
      this.#expectedNs = beginNs + BigInt(nbSamples) * SECOND / BigInt(sampleRate);
      this.#frame.pts = beginNs;
      this.#graph ??= await this.#newGraph();
      check(av, await this.#graph.source.buffersrcAddFrame(this.#frame), `resampling ${this.#name}`);
      this.#frame.unref();
      encoded.push(...await this.#filtered());
    }
  }

  /** The way of the samples: to AAC's rate, at their times, in pieces of a packet. */
  async #newGraph(): Promise<SoundFilters> {
    const av = this.#av;
    const { sampleRate, format, channelLayout } = this.#frame;
    const graph = new av.FilterGraph();
    graph.alloc();
    const make = (filter: string, words: string) => {
      const made = graph.createFilter(av.Filter.getByName(filter)!, filter, words);
      if (made === null) throw new CuframesError("INTERNAL", `FFmpeg has no filter ${filter} here`);
      return made;
    };
    const source = make(
      "abuffer",
      `time_base=1/${NANOSECONDS.den}:sample_rate=${sampleRate}:` +
        `sample_fmt=${av.avGetSampleFmtName(format as never)}:channel_layout=${channelLayout.nbChannels}c`,
    );
    const chain = [
      source,
      make("aresample", `${this.#rate}:async=1:min_hard_comp=${SLIP}`),
      make("aformat", `sample_fmts=fltp:channel_layouts=${this.#channels === 1 ? "mono" : "stereo"}`),
      make("asetnsamples", `n=${FRAME}:p=1`),
      make("abuffersink", ""),
    ];
    for (const [index, filter] of chain.slice(1).entries()) {
      check(av, chain[index]!.link(0, filter, 0), `resampling ${this.#name}`);
    }
    check(av, await graph.config(), `resampling ${this.#name}`);
    return { graph, source, sink: chain.at(-1)! };
  }

  /** What is in the filters comes out, its last packet filled with silence. */
  async #endGraph(): Promise<RecorderPacket[]> {
    const graph = this.#graph;
    if (graph === undefined) return [];
    await graph.source.buffersrcAddFrame(null);
    const encoded = await this.#filtered();
    graph.graph.free();
    this.#graph = undefined;
    return encoded;
  }

  async #filtered(): Promise<RecorderPacket[]> {
    const av = this.#av;
    const encoded: RecorderPacket[] = [];
    const { sink } = this.#graph!;
    const frame = new av.Frame();
    frame.alloc();
    try {
      for (;;) {
        const result = await sink.buffersinkGetFrame(frame);
        if (result === av.AVERROR_EAGAIN || result === av.AVERROR_EOF) return encoded;
        check(av, result, `resampling ${this.#name}`);
        const timeBase: Rational = sink.buffersinkGetTimeBase();
        const beginNs = av.avRescaleQ(frame.pts, timeBase, NANOSECONDS);
        // The samples that an encoder begins with, and from then on what is given to it.
        if (this.#isFresh) this.#times.push(beginNs - this.#frameNs);
        this.#isFresh = false;
        this.#times.push(beginNs);
        frame.pts = av.AV_NOPTS_VALUE;
        check(av, await this.#encoder.sendFrame(frame), "encoding AAC");
        frame.unref();
        encoded.push(...await this.#received());
      }
    } finally {
      frame.free();
    }
  }

  get #frameNs(): bigint {
    return FRAME * SECOND / BigInt(this.#rate);
  }

  async #received(): Promise<RecorderPacket[]> {
    const av = this.#av;
    const encoded: RecorderPacket[] = [];
    for (;;) {
      const result = await this.#encoder.receivePacket(this.#packet);
      if (result === av.AVERROR_EAGAIN || result === av.AVERROR_EOF) return encoded;
      check(av, result, "encoding AAC");
      const data = new Uint8Array(this.#packet.data!);
      this.#packet.unref();
      const timestampNs = this.#times.shift();
      if (timestampNs === undefined) continue;
      encoded.push({
        data,
        type: "key",
        timestampNs,
        decodeTimestampNs: timestampNs,
        durationNs: this.#frameNs,
      });
    }
  }
}

function layoutOf(av: NodeAv, channels: number) {
  return av.avChannelLayoutDefault(channels);
}
