/** This file makes an input's video packets what the rest of this room takes: Annex B, with times in nanoseconds. */
import type { CodecParameters, FormatContext, Packet, Rational, Stream } from "node-av";
import { isAnnexB } from "../core/mod.ts";
import { AnnexBFilter } from "./bitstream.ts";
import { NANOSECONDS, type NodeAv } from "./node_av.ts";
import type { PictureTrack } from "./picture_description.ts";
import { PresentationFilter } from "./presentation_filter.ts";
import { Arrivals } from "./time/arrivals.ts";

/** FFmpeg's own assumption for raw streams that name no rate. */
const DEFAULT_FRAME_RATE = { num: 25, den: 1 };

/** What else is known of the stream. */
export interface VideoInputOptions {
  /** Whether every packet has a presentation time by nature; FFmpeg takes the first one's away where there are B-frames. */
  readonly rtp: boolean;
  /** Whether the user has chosen the frame rate. */
  readonly rateChosen: boolean;
  /** Whether FFmpeg stamps packets with when they come: it makes a rate of that, too. */
  readonly stamped: boolean;
  /** What the stream is, where the container's parameters are not true any more; they become this object's. */
  readonly parameters?: CodecParameters;
}

/** A video stream of an input, with one codec. */
export class VideoInput implements PictureTrack {
  readonly #av: NodeAv;
  readonly #stream: Stream;
  readonly #own: CodecParameters | undefined;
  readonly #annexB: AnnexBFilter | undefined;
  readonly #rate: { num: number; den: number };
  readonly #rtp: boolean;
  #presentation: PresentationFilter | undefined;
  #started = false;
  /** How many packets were given a generated decode time; undefined where the source has its own. */
  #generated: bigint | undefined;
  /** Whether the times that FFmpeg gives are of no use here. */
  #timeless = false;
  #arrivals: Arrivals | undefined;

  readonly codecId: number;
  /** Frames a second; undefined where the source does not know. */
  #frameRate: number | undefined;

  constructor(av: NodeAv, format: FormatContext, stream: Stream, options: VideoInputOptions) {
    this.#av = av;
    this.#rtp = options.rtp;
    this.#stream = stream;
    this.#own = options.parameters;
    // In the middle of a stream a packet without times is no sign that there are none.
    this.#started = this.#own !== undefined;
    const parameters = this.#own ?? stream.codecpar;
    this.codecId = parameters.codecId;
    this.#annexB = isAnnexB(this.codecId) ? new AnnexBFilter(av, parameters) : undefined;
    // For other codecs FFmpeg finds missing presentation times itself, one packet later.
    if (!this.#annexB && !options.rtp) format.setFlags(av.AVFMT_FLAG_GENPTS);
    const rate = frameRateOf(av, format, stream, options);
    this.#rate = rate ?? DEFAULT_FRAME_RATE;
    this.#frameRate = rate && rate.num / rate.den;
  }

  /** Frames a second; undefined where the source does not know. */
  get frameRate(): number | undefined {
    return this.#frameRate;
  }

  /** A frame's duration in ns at that rate, or at 25 a second. */
  get frameNs(): bigint {
    return this.#arrivals?.durationNs ?? this.#generate(1n);
  }

  /** The track's parameters, with Annex B extradata for H.264 and HEVC; valid until the next packet. */
  get parameters(): CodecParameters {
    return this.#annexB?.parameters ?? this.#own ?? this.#stream.codecpar;
  }

  /** Width to height of a pixel as the container states it; 0: it states nothing. */
  get sampleAspectRatio(): Rational {
    return this.#stream.sampleAspectRatio;
  }

  /**
   * The source has no times of its own, and FFmpeg stamps its packets with when they come.
   *
   * @param measured the first ones' stamps in ns where those are the times; undefined: they follow the frame rate
   */
  stampBy(measured: readonly bigint[] | undefined): void {
    this.#timeless = true;
    if (measured === undefined) return;
    this.#arrivals = new Arrivals(measured);
    // What a raw stream is taken for is no rate of a camera.
    const { num, den } = this.#stream.codecpar.frameRate;
    this.#frameRate = num > 0 && den > 0 ? num / den : undefined;
  }

  /** Takes a packet of the stream: `"ready"`, held back to be received, or damaged, and then empty. */
  accept(packet: Packet): "ready" | "held" | "damaged" {
    const av = this.#av;
    packet.rescaleTs(this.#stream.timeBase, NANOSECONDS);
    if (this.#timeless) this.#stamp(packet);
    const stamped = packet.pts !== av.AV_NOPTS_VALUE || packet.dts !== av.AV_NOPTS_VALUE;
    if (!this.#started && !this.#rtp) {
      this.#started = true;
      if (!stamped) this.#generated = 0n;
      if (packet.pts === av.AV_NOPTS_VALUE) {
        this.#presentation = PresentationFilter.for(this.parameters, {
          frameNs: this.frameNs,
          generate: stamped ? undefined : (field) => this.#generate(field, 2n),
        });
      }
    }
    if (this.#generated !== undefined && !stamped) {
      packet.dts = this.#generate(this.#generated++);
      packet.duration = this.frameNs;
    }
    // To a decoder an empty packet would be the end of the stream.
    if (packet.size === 0 || this.#annexB?.filter(packet) === false) return "damaged";
    this.#presentation?.send(packet);
    return this.#presentation === undefined ? "ready" : "held";
  }

  /** Whether a packet that was held back was moved into `packet`. */
  receive(packet: Packet): boolean {
    return this.#presentation?.receive(packet) ?? false;
  }

  /** No packet follows: what is held back is received next. Whether there may be such. */
  end(): boolean {
    if (!this.#presentation || this.#presentation.ended) return false;
    this.#presentation.end();
    return true;
  }

  /** Frees everything. */
  close(): void {
    this.#annexB?.close();
    this.#presentation?.close();
    this.#own?.free();
  }

  /** Gives a packet its time: when it came, or none, for the rate to make one. */
  #stamp(packet: Packet): void {
    const { AV_NOPTS_VALUE } = this.#av;
    const stamp = stampOf(packet, AV_NOPTS_VALUE);
    packet.pts = packet.dts = AV_NOPTS_VALUE;
    if (!this.#arrivals) return;
    const { timeNs, durationNs } = this.#arrivals.place(stamp);
    packet.dts = timeNs;
    packet.duration = durationNs;
  }

  /** The time of the n-th frame of a source that gives no times, or of the n-th of its `parts`. */
  #generate(n: bigint, parts = 1n): bigint {
    const seconds = { num: this.#rate.den, den: this.#rate.num * Number(parts) };
    return this.#av.avRescaleQ(n, seconds, NANOSECONDS);
  }
}

/** When FFmpeg says that a packet came, in the packet's own ticks. */
export function stampOf({ pts, dts }: Packet, none: bigint): bigint | undefined {
  return dts !== none ? dts : pts !== none ? pts : undefined;
}

function frameRateOf(
  av: NodeAv,
  format: FormatContext,
  stream: Stream,
  { rateChosen, stamped }: VideoInputOptions,
): { num: number; den: number } | undefined {
  const flags = format.iformat?.flags ?? 0;
  const average = stream.avgFrameRate;
  // A raw stream's average is the demuxer's option, 25 unless chosen; the stream's own rate is better.
  const isRaw = (flags & av.AVFMT_NOTIMESTAMPS) !== 0 && !rateChosen;
  const known = isRaw || stamped ? [stream.codecpar.frameRate, average] : [average];
  const valid = (rate: Rational) => rate.num > 0 && rate.den > 0;
  return (stamped ? known : [...known, stream.rFrameRate]).find(valid);
}
