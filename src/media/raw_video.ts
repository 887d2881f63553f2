/** This file writes frames as they are, for programs that read raw video. */
import type { CodecContext, FormatContext, Frame as Picture, Packet, Stream } from "node-av";
import {
  type ChromaLocation,
  CuframesError,
  type FieldOrder,
  isRgb,
  isSideways,
  type PixelFormat,
  type Ratio,
  type Size,
} from "../core/mod.ts";

import type { Frame } from "../frames/mod.ts";
import { newPacket } from "./demuxer.ts";
import {
  chromaCode,
  type ColourOptions,
  coloursOf,
  FramePicture,
  type PictureFrame,
  rational,
} from "./frame_picture.ts";
import { CallQueue } from "./call_queue.ts";
import { check, loadNodeAv, NANOSECONDS, type NodeAv } from "./node_av.ts";
import { type Colours, FFMPEG_NAMES, PictureConverter } from "./picture.ts";
import { type Orientation, UPRIGHT } from "./picture_description.ts";
import { PictureTurner, turnedChroma, turnedFields } from "./picture_turner.ts";
import { Timeline } from "./time/timeline.ts";

/** The formats of {@linkcode RawVideoWriter}, with FFmpeg's names of the muxers. */
const MUXERS = { yuv4mpeg: "yuv4mpegpipe", rawvideo: "rawvideo", nut: "nut" } as const;
export type RawVideoFormat = keyof typeof MUXERS;

/** A number of frames a second as a fraction. */
export interface FrameRate {
  readonly num: number;
  readonly den: number;
}

/** What a {@linkcode RawVideoWriter} writes. */
export interface RawVideoOptions extends ColourOptions {
  /**
   * `"yuv4mpeg"`: planar YUV with its size and rate in a header; `"rawvideo"`: the frames' pixels, one behind the
   * other; `"nut"`: the frames with their timestamps.
   */
  format: RawVideoFormat;
  /** What the header of yuv4mpeg says. */
  frameRate: FrameRate;
  /** Whether pictures are written as they are, not turned; default false. */
  asStored?: boolean;
}

/** FFmpeg's names of what the formats hold: the same samples where they can, else RGB as YUV with as much colour. */
const WRITTEN: Record<RawVideoFormat, Record<PixelFormat, string>> = {
  rawvideo: FFMPEG_NAMES,
  // FFmpeg takes nut's P010 for RGB.
  nut: { ...FFMPEG_NAMES, P010: "yuv420p10le" },
  yuv4mpeg: {
    NV12: "yuv420p",
    I420: "yuv420p",
    P010: "yuv420p10le",
    GRAY8: "gray",
    RGBA: "yuv444p",
    BGRA: "yuv444p",
    RGBX: "yuv444p",
    BGRX: "yuv444p",
  },
};

/** FFmpeg's names of field orders, which the encoder's option takes. */
const FIELD_ORDERS: Record<FieldOrder, string> = { progressive: "progressive", tff: "tt", bff: "bb" };

/**
 * The visible parts of frames as a stream of raw video, upright, written to a descriptor. All have the size, the format
 * and the colours of the first one: later ones that differ are converted. What the format has a place for is in its
 * header: the shape of pixels, the order of fields, where chroma lies.
 */
export class RawVideoWriter implements AsyncDisposable {
  readonly #av: NodeAv;
  readonly #options: RawVideoOptions;
  readonly #format: FormatContext;
  readonly #stream: Stream;
  readonly #encoder: CodecContext;
  readonly #packet: Packet;
  readonly #calls = new CallQueue();
  readonly #timeline: Timeline;
  /** Of what is written. */
  readonly #size: Size;
  readonly #sampleAspectRatio: Ratio;
  readonly #timed: boolean;
  #written = 0n;
  /** FFmpeg's name of what is written. */
  readonly #name: string;
  readonly #converter: PictureConverter;
  readonly #colours: Colours;
  #input: FramePicture;
  /** How the frame that was loaded last is turned. */
  #orientation: Orientation = UPRIGHT;
  #turner: PictureTurner | undefined;
  #closing: Promise<void> | undefined;

  private constructor(av: NodeAv, first: PictureFrame, options: RawVideoOptions, format: FormatContext) {
    const { num, den } = options.frameRate;
    this.#av = av;
    this.#options = options;
    this.#format = format;
    this.#name = WRITTEN[options.format][first.format];
    this.#input = new FramePicture(av, first, options);
    this.#colours = this.#name.startsWith("yuv") && isRgb(first.format)
      ? coloursOfConverted(av, this.#input.height, options)
      : coloursOf(av, first, options);
    const orientation = this.#orientationOf(first);
    const { width, height } = this.#input;
    const { sampleAspectRatio: ratio } = first;
    const sideways = isSideways(orientation.rotation);
    this.#size = sideways ? { width: height, height: width } : { width, height };
    this.#converter = new PictureConverter(av, this.#name, this.#size.width, this.#size.height);
    this.#sampleAspectRatio = sideways ? { num: ratio.den, den: ratio.num } : ratio;
    this.#timeline = new Timeline(BigInt(Math.round(1e9 * den / num)), 0);
    this.#packet = newPacket(av);
    // Frames are counted where they have no times: yuv4mpeg writes the time base as its rate.
    this.#timed = options.format === "nut";
    const fields = turnedFields(first.fieldOrder, orientation, height);
    const chroma = turnedChroma(first.chromaLocation, orientation);
    this.#encoder = this.#openEncoder(this.#timed ? NANOSECONDS : { num: den, den: num }, fields, chroma);
    this.#stream = format.newStream();
    check(av, this.#stream.codecpar.fromContext(this.#encoder), "passing the parameters of raw video");
    this.#stream.timeBase = this.#encoder.timeBase;
    this.#stream.avgFrameRate = new av.Rational(num, den);
    this.#stream.sampleAspectRatio = this.#encoder.sampleAspectRatio;
    // Nut has no fields for these; yuv4mpeg has no tags.
    this.#stream.metadata = av.Dictionary.fromObject({
      ...(fields !== null && { field_order: FIELD_ORDERS[fields] }),
      ...(chroma !== null && { chroma_location: chroma }),
    });
  }

  /**
   * Begins a stream.
   *
   * @param descriptor number of a descriptor, which stays the caller's: `1` is the standard output
   * @param first a frame, or what it says: all are written as this one
   * @throws {CuframesError} `UNSUPPORTED` without node-av; `IO`
   */
  static async create(
    descriptor: number,
    first: PictureFrame,
    options: RawVideoOptions,
  ): Promise<RawVideoWriter> {
    const av = await loadNodeAv();
    const format = new av.FormatContext();
    try {
      check(
        av,
        format.allocOutputContext2(null, MUXERS[options.format], `pipe:${descriptor}`),
        `preparing ${options.format}`,
      );
      check(av, await format.openOutput(), `opening descriptor ${descriptor}`);
      const writer = new RawVideoWriter(av, first, options, format);
      // More than 8 bits are FFmpeg's own extension of yuv4mpeg.
      const dictionary = av.Dictionary.fromObject({ flush_packets: "1", strict: "-1" });
      const written = await format.writeHeader(dictionary);
      dictionary.free();
      check(av, written, `writing the header of ${options.format}`);
      return writer;
    } catch (error) {
      format.freeContext();
      throw error;
    }
  }

  /** FFmpeg's name of the pixel format that is written. */
  get pixelFormat(): string {
    return this.#name;
  }

  /** Copies a frame; it may be closed when this has resolved. {@linkcode RawVideoWriter.write} then writes it. */
  async load(frame: Frame): Promise<void> {
    if (!this.#input.fits(frame)) {
      this.#input[Symbol.dispose]();
      this.#input = new FramePicture(this.#av, frame, this.#options);
    }
    this.#orientation = this.#orientationOf(frame);
    const picture = await this.#input.load(frame);
    picture.pts = this.#timeline.place(frame.timestampNs, frame.timestampNs, frame.durationNs).timestampNs;
  }

  /**
   * Writes the frame loaded last; resolves when the reader has taken it.
   *
   * @throws {CuframesError} `IO`: the reader is gone, or the disk is full
   */
  write(): Promise<void> {
    return this.#calls.run(async () => {
      const av = this.#av;
      const { picture } = this.#input;
      const output = this.#upright(picture);
      output.pts = this.#timed ? picture.pts : this.#written++;
      check(av, await this.#encoder.sendFrame(output), "packing a frame");
      check(av, await this.#encoder.receivePacket(this.#packet), "packing a frame");
      const packet = this.#packet;
      packet.streamIndex = this.#stream.index;
      packet.rescaleTs(this.#encoder.timeBase, this.#stream.timeBase);
      try {
        check(av, await this.#format.writeFrame(packet), `writing ${this.#options.format}`);
      } finally {
        packet.unref();
      }
    });
  }

  /** Ends the stream, once the last write has ended; repeated calls are harmless. */
  close(): Promise<void> {
    return this.#closing ??= this.#finish();
  }

  /** As {@linkcode RawVideoWriter.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #finish(): Promise<void> {
    await this.#calls.close();
    try {
      // Nut ends with an index; to a reader that has gone nothing can be said any more.
      await this.#format.writeTrailer();
      await this.#format.closeOutput();
    } finally {
      this.#packet.free();
      this.#encoder.freeContext();
      this.#format.freeContext();
      this.#converter[Symbol.dispose]();
      this.#turner?.[Symbol.dispose]();
      this.#input[Symbol.dispose]();
    }
  }

  #orientationOf(frame: Orientation): Orientation {
    return this.#options.asStored ? UPRIGHT : { rotation: frame.rotation, flip: frame.flip };
  }

  /** The picture as it is written: turned, and in the first one's size, format and colours. */
  #upright(picture: Picture): Picture {
    this.#turner = PictureTurner.for(this.#av, picture, this.#orientation, this.#turner);
    const turned = this.#turner?.turn(picture) ?? picture;
    const { colorSpace, colorRange } = this.#colours;
    const isSame = turned.width === this.#size.width && turned.height === this.#size.height &&
      FFMPEG_NAMES[this.#input.format] === this.#name &&
      turned.colorSpace === colorSpace && turned.colorRange === colorRange;
    return isSame ? turned : this.#converter.convert(turned, this.#colours);
  }

  #openEncoder(
    timeBase: { num: number; den: number },
    fieldOrder: FieldOrder | null,
    chromaLocation: ChromaLocation | null,
  ): CodecContext {
    const av = this.#av;
    const codec = av.Codec.findEncoder(av.AV_CODEC_ID_RAWVIDEO);
    if (!codec) {
      throw new CuframesError("UNSUPPORTED", "node-av has no encoder for raw video: update node-av");
    }
    const encoder = new av.CodecContext();
    encoder.allocContext3(codec);
    encoder.width = this.#size.width;
    encoder.height = this.#size.height;
    encoder.sampleAspectRatio = rational(av, this.#sampleAspectRatio);
    encoder.chromaLocation = chromaCode(chromaLocation);
    if (fieldOrder !== null) {
      check(av, encoder.setOption("field_order", FIELD_ORDERS[fieldOrder]), "stating the order of fields");
    }
    encoder.pixelFormat = av.avGetPixFmtFromName(this.#name);
    encoder.colorSpace = this.#colours.colorSpace;
    encoder.colorRange = this.#colours.colorRange;
    encoder.timeBase = new av.Rational(timeBase.num, timeBase.den);
    check(av, encoder.open2Sync(codec), "opening the encoder of raw video");
    return encoder;
  }
}

/** What RGB becomes as YUV. */
function coloursOfConverted(av: NodeAv, height: number, { matrix = "auto", range }: ColourOptions): Colours {
  const colorSpace = { primaries: null, transfer: null, matrix: null, fullRange: null };
  const visibleRect = { x: 0, y: 0, width: 1, height };
  return coloursOf(av, { format: "I420", visibleRect, colorSpace }, { matrix, range });
}
