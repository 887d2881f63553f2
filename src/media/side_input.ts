/** This file makes an input's packets of sound and data what the rest of this room takes: as they are, in nanoseconds. */
import type { BitStreamFilterContext, CodecParameters, Packet, Stream } from "node-av";
import { Buffer } from "node:buffer";
import { CuframesError } from "../core/mod.ts";
import { openFilter } from "./bitstream.ts";
import { NANOSECONDS, type NodeAv } from "./node_av.ts";
import { probed } from "./probe.ts";
import { describeAudio, describeData, hasSameDecoder, type MediaTrack } from "./track.ts";

/** Packets of a codec whose parameters cannot be found out, before the track is taken as it is. */
const MOST_PROBED = 25;

/** MPEG's ticks, of 90000 a second, rounded up: ns. */
const TICK = 11_112n;

/** A stream of sound or data. */
export class SideInput {
  readonly #av: NodeAv;
  readonly #stream: Stream;
  readonly #isAudio: boolean;
  /** Takes the ADTS header off AAC's packets. */
  #adts: BitStreamFilterContext | undefined;
  /** What the last packet's header said of rate and channels, where packets have one. */
  #header: number | undefined;
  #codecId: CodecParameters["codecId"];
  #sampleRate = 0;
  #channels = 0;
  #frameSize = 0;
  /** The time that FFmpeg would fill in for the next packet. */
  #filled: bigint | undefined;
  /** Packets that did not tell what the track is, while it is not known. */
  #unknown = 0;
  #config: MediaTrack | undefined;
  /** The codec's own header, where the packets have it instead of the container. */
  #extradata: Buffer | undefined;

  /** The track's number. */
  readonly track: number;

  constructor(av: NodeAv, stream: Stream, track: number) {
    this.#av = av;
    this.#stream = stream;
    this.track = track;
    this.#isAudio = stream.codecpar.codecType === av.AVMEDIA_TYPE_AUDIO;
    this.#codecId = stream.codecpar.codecId;
    this.#remember(stream.codecpar);
  }

  /** Whether a packet of the track has to be looked at, to describe it whole. */
  get isOpaque(): boolean {
    const { codecId, extradataSize } = this.#stream.codecpar;
    return codecId === this.#av.AV_CODEC_ID_AAC && extradataSize === 0 && this.#extradata === undefined;
  }

  /** Looks at a packet, which is left as it is. */
  look(packet: Packet): void {
    const copy = packet.clone();
    if (!copy) throw new CuframesError("OUT_OF_MEMORY", "keeping a packet");
    this.accept(copy);
    copy.free();
    this.close();
    this.#config = undefined;
  }

  /** What the track is, as far as its packets do not have to say so. */
  describe(): MediaTrack {
    if (!this.#isAudio) return describeData(this.#av, this.#stream);
    return describeAudio(this.#av, this.#stream.codecpar, this.#stream, this.#extradata);
  }

  /** What the track is from the packet on that was accepted last, where that is something else than before. */
  takeConfig(): MediaTrack | undefined {
    const config = this.#config;
    this.#config = undefined;
    return config;
  }

  /** Takes a packet of the stream; false where it is damaged or nothing that could be used. */
  accept(packet: Packet): boolean {
    packet.rescaleTs(this.#stream.timeBase, NANOSECONDS);
    if (packet.size === 0) return false;
    if (!this.#isAudio) return true;
    const data = packet.data!;
    const changed = this.#stream.codecpar.codecId !== this.#codecId;
    const header = headerOf(this.#av, this.#stream.codecpar.codecId, data);
    const other = header !== undefined && this.#header !== undefined && header !== this.#header;
    if (changed || other) this.#restart();
    this.#header = header ?? this.#header;
    if (!this.#strip(packet, data)) return false;
    const isNew = this.#takeExtradata(packet) || changed || other || this.#isUnknown;
    if (isNew && !this.#learn(packet)) return false;
    this.#correct(packet);
    if (packet.duration <= 0n) packet.duration = this.#durationOf(packet.size);
    return true;
  }

  /**
   * FFmpeg goes on to count by the rate that the track had when it was opened: the times that it fills in between those
   * that the stream states, and durations, are of no use then.
   */
  #correct(packet: Packet): void {
    const { pts, duration } = packet;
    const filledIn = this.#filled !== undefined && pts - this.#filled <= TICK && this.#filled - pts <= TICK;
    this.#filled = pts === this.#av.AV_NOPTS_VALUE ? undefined : pts + duration;
    if (this.#sampleRate === this.#stream.codecpar.sampleRate) return;
    packet.duration = 0n;
    if (filledIn) packet.pts = packet.dts = this.#av.AV_NOPTS_VALUE;
  }

  /** The track is new to those who read it: its first packet says what it is. */
  introduce(): void {
    this.#sampleRate = 0;
  }

  /** The track goes on, in another form of the input: its first packet says what it is, where that has changed. */
  follow(before: MediaTrack): void {
    const now = this.describe();
    if (!hasSameDecoder(before, now)) this.#config = now;
  }

  /** Frees everything. */
  close(): void {
    this.#adts?.free();
    this.#adts = undefined;
  }

  get #isUnknown(): boolean {
    return this.#sampleRate === 0 && this.#unknown < MOST_PROBED;
  }

  #restart(): void {
    this.close();
    this.#codecId = this.#stream.codecpar.codecId;
    this.#unknown = 0;
    this.#extradata = undefined;
  }

  /** Whether a packet brings another header than the one that is known. */
  #takeExtradata(packet: Packet): boolean {
    const extradata = packet.getSideData(this.#av.AV_PKT_DATA_NEW_EXTRADATA);
    if (!extradata || this.#extradata?.equals(extradata)) return false;
    this.#extradata = Buffer.from(extradata);
    return true;
  }

  /** Makes an access unit of AAC of an ADTS frame; its AudioSpecificConfig comes with the first. */
  #strip(packet: Packet, data: Uint8Array): boolean {
    const isAdts = this.#codecId === this.#av.AV_CODEC_ID_AAC && data[0] === 0xff &&
      (data[1]! & 0xf6) === 0xf0;
    if (!isAdts || (this.#stream.codecpar.extradataSize > 0 && !this.#adts)) return true;
    this.#adts ??= openFilter(this.#av, "aac_adtstoasc", this.#stream.codecpar);
    if (this.#adts.sendPacketSync(packet) === 0 && this.#adts.receivePacketSync(packet) === 0) return true;
    packet.unref();
    return false;
  }

  /** Finds out what the track is; false where this packet does not tell, and the next may. */
  #learn(packet: Packet): boolean {
    const parameters = probed(this.#av, this.#stream.codecpar, this.#extradata, packet);
    try {
      if (parameters.sampleRate === 0 && ++this.#unknown < MOST_PROBED) return false;
      this.#remember(parameters);
      this.#config = describeAudio(this.#av, parameters, this.#stream, this.#extradata);
      return true;
    } finally {
      parameters.free();
    }
  }

  #remember({ sampleRate, channels, frameSize }: CodecParameters): void {
    this.#sampleRate = sampleRate;
    this.#channels = channels;
    this.#frameSize = frameSize;
  }

  /** For a source that does not say: by the frame's size, or that of PCM's samples. */
  #durationOf(size: number): bigint {
    const { bitsPerCodedSample } = this.#stream.codecpar;
    const name = this.#av.avGetCodecName(this.#codecId) ?? "";
    const samples = /^(pcm_|adpcm_g722)/.test(name) && bitsPerCodedSample > 0 && this.#channels > 0
      ? Math.floor(size * 8 / bitsPerCodedSample / this.#channels)
      : this.#frameSize;
    if (samples <= 0 || this.#sampleRate <= 0) return 0n;
    return BigInt(samples) * BigInt(NANOSECONDS.den) / BigInt(this.#sampleRate);
  }
}

/** What the header of a packet says of rate and channels, for codecs whose packets each have one. */
function headerOf(av: NodeAv, codecId: number, data: Uint8Array): number | undefined {
  const [first = 0, second = 0, third = 0, fourth = 0] = data;
  const word = Buffer.from([first, second, third, fourth]).readUInt32BE();
  switch (codecId) {
    case av.AV_CODEC_ID_AAC: // ADTS: object type, rate, channels
      return (word & 0xfff60000) >>> 0 === 0xfff00000 ? word & 0x0000fdc0 : undefined;
    case av.AV_CODEC_ID_MP1:
    case av.AV_CODEC_ID_MP2:
    case av.AV_CODEC_ID_MP3: // version, layer, rate, whether it is mono
      return word >>> 21 === 0x7ff ? (word & 0x001e0c00) | ((word & 0xc0) === 0xc0 ? 1 : 0) : undefined;
    case av.AV_CODEC_ID_AC3: // rate, channels
      return word >>> 16 === 0x0b77 && data.length > 6 ? (data[4]! & 0xc0) | data[6]! >> 5 : undefined;
    default:
      return undefined;
  }
}
