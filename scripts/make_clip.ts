/**
 * Makes the project's own clip, `test/fixtures/clip.mp4`: H.264 with B-frames beside an AAC track, the same
 * bytes at every run. Tests make their other inputs with it.
 *
 *     deno run -A scripts/make_clip.ts [FILE]
 */
import type { CodecContext, FormatContext, Frame, Packet, Stream } from "node-av";
import process from "node:process";
import { check, loadNodeAv, type NodeAv } from "../src/media/node_av.ts";

type VideoEncoder = Parameters<NodeAv["Codec"]["findEncoderByName"]>[0];

/** What to make. */
export interface ClipOptions {
  width?: number;
  height?: number;
  frames?: number;
  /** Ticks a second of `timestamps`. */
  frameRate?: number;
  /** FFmpeg's encoder. */
  encoder?: string;
  /** The encoder's options. */
  encoderOptions?: Record<string, string>;
  /** FFmpeg's pixel format that is encoded. */
  pixelFormat?: string;
  /** When frame `index` is shown, in ticks of `frameRate`; default: `index`. */
  timestamps?: (index: number) => number;
  /** Number of the pattern's first frame. */
  firstFrame?: number;
  /** Whether there is an AAC track, of the same length. */
  audio?: boolean;
  /** Whether there is a video track. */
  video?: boolean;
  /** The muxer's options. */
  muxerOptions?: Record<string, string>;
}

const AUDIO_RATE = 48_000;

/** Brightness of a pixel of frame `frame`: a drifting gradient, the frame's number in bits and a moving square. */
export function luma(x: number, y: number, frame: number, width: number, height: number): number {
  const size = Math.min(32, height >> 2);
  const [squareX, squareY] = [
    (frame * 3) % Math.max(1, width - size),
    (frame * 2) % Math.max(1, height - size),
  ];
  if (x >= squareX && x < squareX + size && y >= squareY && y < squareY + size) return 220;
  if (y < size && x < size * 10) return (frame >> Math.floor(x / size)) & 1 ? 200 : 40;
  return 50 + (((x >> 1) + (y >> 1) + frame) & 127);
}

/** The two colour samples of a pixel pair. */
export function chroma(x: number, y: number, frame: number): [number, number] {
  return [96 + ((x + frame) & 63), 96 + ((y + (frame >> 1)) & 63)];
}

/** Writes the clip `path`; its extension chooses the file format. */
export async function makeClip(path: string, options: ClipOptions = {}): Promise<void> {
  const av = await loadNodeAv();
  const { frames = 250, frameRate = 25, audio = false, video = true } = options;
  const format = new av.FormatContext();
  check(av, format.allocOutputContext2(null, null, path), `preparing ${path}`);
  format.setFlags(av.AVFMT_FLAG_BITEXACT);
  const tracks: Track[] = [];
  if (video) tracks.push(await videoTrack(av, format, options));
  if (audio) tracks.push(await audioTrack(av, format, frames / frameRate));
  check(av, await format.openOutput(), `creating ${path}`);
  const dictionary = av.Dictionary.fromObject(options.muxerOptions ?? {});
  check(av, await format.writeHeader(dictionary), `writing the header of ${path}`);
  dictionary.free();

  const packet = new av.Packet();
  packet.alloc();
  // The track that is behind is encoded next, so that the file is interleaved.
  for (;;) {
    const track = tracks.filter((one) => !one.ended).sort((one, other) => one.seconds - other.seconds)[0];
    if (!track) break;
    check(av, await track.encoder.sendFrame(track.next()), "encoding");
    while (await receive(av, track, packet)) {
      check(av, await format.interleavedWriteFrame(packet), `writing ${path}`);
    }
  }
  check(av, await format.writeTrailer(), `completing ${path}`);
  await format.closeOutput();
  packet.free();
  for (const track of tracks) track.free();
  format.freeContext();
}

interface Track {
  readonly stream: Stream;
  readonly encoder: CodecContext;
  /** How far it has come. */
  seconds: number;
  ended: boolean;
  /** The next frame, or null at the end. */
  next(): Frame | null;
  free(): void;
}

async function receive(av: NodeAv, { encoder, stream }: Track, packet: Packet): Promise<boolean> {
  const result = await encoder.receivePacket(packet);
  if (result === av.AVERROR_EAGAIN || result === av.AVERROR_EOF) return false;
  check(av, result, "encoding");
  packet.streamIndex = stream.index;
  packet.rescaleTs(encoder.timeBase, stream.timeBase);
  return true;
}

async function openEncoder(
  av: NodeAv,
  format: FormatContext,
  name: string,
  options: Record<string, string>,
  configure: (encoder: CodecContext) => void,
): Promise<{ encoder: CodecContext; stream: Stream }> {
  const codec = av.Codec.findEncoderByName(name as VideoEncoder);
  if (!codec) throw new Error(`node-av has no encoder ${name}`);
  const encoder = new av.CodecContext();
  encoder.allocContext3(codec);
  configure(encoder);
  encoder.threadCount = 1;
  encoder.setFlags(av.AV_CODEC_FLAG_BITEXACT, av.AV_CODEC_FLAG_FRAME_DURATION);
  const globalHeader = (format.oformat!.flags & av.AVFMT_GLOBALHEADER) !== 0;
  if (globalHeader) encoder.setFlags(av.AV_CODEC_FLAG_GLOBAL_HEADER);
  const dictionary = av.Dictionary.fromObject(options);
  check(av, await encoder.open2(codec, dictionary), `opening the encoder ${name}`);
  dictionary.free();
  const stream = format.newStream();
  check(av, stream.codecpar.fromContext(encoder), "passing codec parameters");
  stream.timeBase = encoder.timeBase;
  return { encoder, stream };
}

async function videoTrack(av: NodeAv, format: FormatContext, options: ClipOptions): Promise<Track> {
  const { width = 320, height = 240, frames = 250, frameRate = 25, firstFrame = 0 } = options;
  const { encoder: name = "libx264", encoderOptions = {}, timestamps = (index: number) => index } = options;
  const pixelFormat = av.avGetPixFmtFromName(options.pixelFormat ?? "yuv420p");
  const { encoder, stream } = await openEncoder(av, format, name, encoderOptions, (context) => {
    context.width = width;
    context.height = height;
    context.pixelFormat = pixelFormat;
    context.timeBase = new av.Rational(1, frameRate);
    context.framerate = new av.Rational(frameRate, 1);
  });
  const drawn = picture(av, width, height, av.AV_PIX_FMT_YUV420P);
  const encoded = pixelFormat === av.AV_PIX_FMT_YUV420P ? drawn : picture(av, width, height, pixelFormat);
  const scaler = new av.SoftwareScaleContext();
  scaler.allocContext();
  let index = 0;
  const track: Track = {
    stream,
    encoder,
    seconds: 0,
    ended: false,
    next() {
      if (index === frames) {
        this.ended = true;
        return null;
      }
      check(av, drawn.makeWritable(), "drawing");
      draw(drawn, firstFrame + index);
      if (encoded !== drawn) check(av, scaler.scaleFrameSync(encoded, drawn), "converting");
      encoded.pts = BigInt(timestamps(index));
      encoded.duration = BigInt(timestamps(index + 1)) - encoded.pts;
      index++;
      this.seconds = index / frameRate;
      return encoded;
    },
    free() {
      if (encoded !== drawn) encoded.free();
      drawn.free();
      scaler.freeContext();
      encoder.freeContext();
    },
  };
  return track;
}

function picture(av: NodeAv, width: number, height: number, format: Frame["format"]): Frame {
  const frame = new av.Frame();
  frame.alloc();
  frame.width = width;
  frame.height = height;
  frame.format = format;
  check(av, frame.getBuffer(), "allocating a picture");
  return frame;
}

function draw(frame: Frame, number: number): void {
  const { width, height, linesize } = frame;
  const [luminance, blue, red] = frame.data!;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) luminance![y * linesize[0]! + x] = luma(x, y, number, width, height);
  }
  for (let y = 0; y < (height + 1) >> 1; y++) {
    for (let x = 0; x < (width + 1) >> 1; x++) {
      [blue![y * linesize[1]! + x], red![y * linesize[2]! + x]] = chroma(x, y, number) as [number, number];
    }
  }
}

/** A tone of 440 Hz. */
async function audioTrack(av: NodeAv, format: FormatContext, seconds: number): Promise<Track> {
  const { encoder, stream } = await openEncoder(av, format, "aac", {}, (context) => {
    context.sampleRate = AUDIO_RATE;
    context.sampleFormat = av.AV_SAMPLE_FMT_FLTP;
    context.channelLayout = av.AV_CHANNEL_LAYOUT_MONO;
    context.bitRate = 32_000n;
    context.timeBase = new av.Rational(1, AUDIO_RATE);
  });
  const frame = new av.Frame();
  frame.alloc();
  frame.nbSamples = encoder.frameSize;
  frame.format = encoder.sampleFormat;
  frame.sampleRate = AUDIO_RATE;
  frame.channelLayout = av.AV_CHANNEL_LAYOUT_MONO;
  check(av, frame.getBuffer(), "allocating sound");
  let sample = 0;
  const track: Track = {
    stream,
    encoder,
    seconds: 0,
    ended: false,
    next() {
      if (sample >= seconds * AUDIO_RATE) {
        this.ended = true;
        return null;
      }
      check(av, frame.makeWritable(), "drawing");
      const bytes = frame.data![0]!;
      const samples = new Float32Array(bytes.buffer, bytes.byteOffset, encoder.frameSize);
      frame.pts = BigInt(sample);
      for (let i = 0; i < samples.length; i++) {
        samples[i] = Math.sin((2 * Math.PI * 440 * sample++) / AUDIO_RATE) / 4;
      }
      this.seconds = sample / AUDIO_RATE;
      return frame;
    },
    free() {
      frame.free();
      encoder.freeContext();
    },
  };
  return track;
}

if (import.meta.main) {
  await makeClip(process.argv[2] ?? new URL("../test/fixtures/clip.mp4", import.meta.url).pathname, {
    audio: true,
    encoderOptions: { preset: "slow", crf: "30", bf: "2", g: "50", "x264-params": "threads=1" },
    muxerOptions: { movflags: "+faststart" },
  });
}
