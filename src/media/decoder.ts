/** This file decodes video: packets go in, pictures in display order come out. */
import type { CodecContext, CodecParameters, Frame, Packet } from "node-av";
import { CuframesError } from "../core/mod.ts";
import type { Hardware } from "./hardware.ts";
import type { CallQueue } from "./call_queue.ts";
import { check, NANOSECONDS, type NodeAv } from "./node_av.ts";

/** FFmpeg's decoder of a track. */
export class Decoder {
  readonly #av: NodeAv;
  readonly #calls: CallQueue;
  readonly #context: CodecContext;
  #failed = false;

  /** FFmpeg's `AVCodecID`. */
  readonly codecId: number;
  /** The picture that `receive()` found; valid until the next call. */
  readonly picture: Frame;

  private constructor(av: NodeAv, calls: CallQueue, context: CodecContext) {
    this.#av = av;
    this.#calls = calls;
    this.#context = context;
    this.codecId = context.codecId;
    this.picture = new av.Frame();
    this.picture.alloc();
  }

  /**
   * Opens the decoder for a track whose packets have times in ns.
   *
   * @param hardware decodes there where it can the codec
   * @param live whether latency counts: then several threads work on one picture, but not on several pictures
   * @throws {CuframesError} `UNSUPPORTED` for a codec that FFmpeg cannot decode
   */
  static async open(
    av: NodeAv,
    calls: CallQueue,
    parameters: CodecParameters,
    live: boolean,
    hardware: Hardware | undefined,
  ): Promise<Decoder> {
    const codec = av.Codec.findDecoder(parameters.codecId);
    const name = av.avGetCodecName(parameters.codecId) ?? `codec ${parameters.codecId}`;
    if (!codec) throw new CuframesError("UNSUPPORTED", `no decoder for ${name}: open it with decode: false`);
    const context = new av.CodecContext();
    context.allocContext3(codec);
    try {
      check(av, context.parametersToContext(parameters), "passing codec parameters");
      context.pktTimebase = new av.Rational(NANOSECONDS.num, NANOSECONDS.den);
      // Without UNALIGNED what is cropped at the left is rounded to the alignment of memory.
      context.setFlags(av.AV_CODEC_FLAG_OUTPUT_CORRUPT, av.AV_CODEC_FLAG_UNALIGNED);
      if (hardware) context.hwDeviceCtx = hardware.device;
      // The GPU is parallel by itself; FFmpeg's threads would only add latency.
      context.threadCount = hardware ? 1 : 0;
      context.threadType = live ? av.FF_THREAD_SLICE : av.FF_THREAD_FRAME;
      check(av, await calls.run(() => context.open2(codec)), `opening the decoder for ${name}`);
    } catch (error) {
      context.freeContext();
      throw error;
    }
    return new Decoder(av, calls, context);
  }

  /** Gives the decoder a packet, or null: no more. All pictures must have been received. */
  async send(packet: Packet | null): Promise<void> {
    const result = await this.#calls.run(() => this.#context.sendPacket(packet));
    if (result !== 0) this.#failed = true;
  }

  /** Fetches the next picture; false where the decoder wants a packet first, or has ended. */
  async receive(): Promise<boolean> {
    for (;;) {
      const result = await this.#calls.run(() => this.#context.receiveFrame(this.picture));
      if (result === 0) return true;
      if (result === this.#av.AVERROR_EAGAIN || result === this.#av.AVERROR_EOF) return false;
      // FFmpeg has dropped a picture, and each such result has used a packet up.
      if (result !== this.#av.AVERROR_INVALIDDATA) check(this.#av, result, "decoding");
      this.#failed = true;
    }
  }

  /** Whether a packet could not be decoded since the last call. */
  takeFailed(): boolean {
    const failed = this.#failed;
    this.#failed = false;
    return failed;
  }

  /** Makes the decoder take packets again after its end. */
  restart(): void {
    this.#context.flushBuffers();
  }

  /** Frees everything; no call may be running. */
  close(): void {
    this.picture.free();
    this.#context.freeContext();
  }
}
