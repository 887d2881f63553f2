/** This file runs FFmpeg's bitstream filters as the demuxer needs them. */
import type { BitStreamFilterContext, CodecParameters, Packet } from "node-av";
import { Buffer } from "node:buffer";
import {
  CODEC_IDS,
  CuframesError,
  isAnnexB,
  isCuframesError,
  parameterSets,
  withParameterSets,
} from "../core/mod.ts";

import { check, NANOSECONDS, type NodeAv } from "./node_av.ts";

/** A filter for packets with times in ns; free it with `free()`. */
function open(av: NodeAv, name: string, parameters: CodecParameters): BitStreamFilterContext {
  const filter = av.BitStreamFilter.getByName(name);
  if (!filter) {
    throw new CuframesError("UNSUPPORTED", `node-av has no bitstream filter ${name}: update node-av`);
  }
  const context = new av.BitStreamFilterContext();
  try {
    check(av, context.alloc(filter), `allocating the bitstream filter ${name}`);
    check(av, parameters.copy(context.inputCodecParameters!), "copying codec parameters");
    context.inputTimeBase = new av.Rational(NANOSECONDS.num, NANOSECONDS.den);
    check(av, context.init(), `starting the bitstream filter ${name}`);
    return context;
  } catch (error) {
    context.free();
    throw error;
  }
}

/** Converts H.264 and HEVC to Annex B with parameter sets at IDR pictures; Annex B passes through. */
export class AnnexBFilter {
  readonly #av: NodeAv;
  #context: BitStreamFilterContext;

  constructor(av: NodeAv, parameters: CodecParameters) {
    this.#av = av;
    this.#context = openAnnexB(av, parameters);
  }

  /** The stream's parameters after the conversion; valid until the next `filter()`. */
  get parameters(): CodecParameters {
    return this.#context.outputCodecParameters!;
  }

  /** Converts in place, one packet to one; false, and an empty packet, where the packet is damaged. */
  filter(packet: Packet): boolean {
    const followed = this.#follow(packet);
    if (this.#context.sendPacketSync(packet) === 0 && this.#context.receivePacketSync(packet) === 0) {
      if (followed) this.#announce(packet);
      return true;
    }
    packet.unref();
    return false;
  }

  /** Frees the filter. */
  close(): void {
    this.#context.free();
  }

  /**
   * An MP4 or an RTMP stream may change its parameter sets; a decoder of Annex B must not be told so in MP4's form.
   *
   * @returns whether it does at this packet
   */
  #follow(packet: Packet): boolean {
    const extradata = packet.getSideData(this.#av.AV_PKT_DATA_NEW_EXTRADATA);
    if (!extradata) return false;
    const parameters = new this.#av.CodecParameters();
    parameters.alloc();
    try {
      check(this.#av, this.#context.inputCodecParameters!.copy(parameters), "copying codec parameters");
      parameters.extradata = Buffer.from(extradata);
      const context = openAnnexB(this.#av, parameters);
      this.#context.free();
      this.#context = context;
    } catch (error) {
      if (isCuframesError(error)) return false;
      throw error;
    } finally {
      parameters.free();
    }
    packet.freeSideData();
    return true;
  }

  /** The filter puts new sets before the next IDR picture; they hold from here on, whatever this packet is. */
  #announce(packet: Packet): void {
    const { codecId, extradata } = this.parameters;
    const sets = parameterSets(codecId, extradata ?? new Uint8Array(0));
    const data = packet.data ?? Buffer.alloc(0);
    const whole = withParameterSets(codecId, data, sets);
    if (whole !== data) packet.data = Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength);
  }
}

function openAnnexB(av: NodeAv, parameters: CodecParameters): BitStreamFilterContext {
  const name = parameters.codecId === CODEC_IDS.hevc ? "hevc_mp4toannexb" : "h264_mp4toannexb";
  return open(av, name, parameters);
}

/**
 * Finds presentation times for a stream that has decode times only (raw streams, AVI), from the order that
 * the pictures themselves state. Holds some packets back.
 */
export class PresentationFilter {
  readonly #av: NodeAv;
  readonly #context: BitStreamFilterContext;
  readonly #frameNs: bigint;
  readonly #reorder: number;
  /** The stream's first packets, one for each frame of reordering delay. */
  readonly #head: Packet[] = [];
  /** Presentation times that no packet has yet: the decode times, but for the delay's. */
  readonly #free: bigint[] = [];
  #sent = 0;
  #lastDts = 0n;
  #state: "open" | "ending" | "flushed" | "ended" = "open";

  private constructor(av: NodeAv, parameters: CodecParameters, frameNs: bigint) {
    this.#av = av;
    this.#context = open(av, "dts2pts", parameters);
    this.#frameNs = frameNs;
    this.#reorder = parameters.videoDelay;
  }

  /** The filter, or undefined for a stream that does not reorder or that the filter does not know. */
  static for(av: NodeAv, parameters: CodecParameters, frameNs: bigint): PresentationFilter | undefined {
    if (parameters.videoDelay <= 0 || !isAnnexB(parameters.codecId)) return undefined;
    return new PresentationFilter(av, parameters, frameNs);
  }

  /** Whether the last packet has been received. */
  get ended(): boolean {
    return this.#state === "ended";
  }

  /** Takes a packet's content; false, and an empty packet, where it is damaged. */
  send(packet: Packet): boolean {
    if (this.#head.length < this.#reorder) {
      const clone = packet.clone();
      if (!clone) throw new CuframesError("OUT_OF_MEMORY", "keeping a packet");
      this.#head.push(clone);
    }
    this.#lastDts = packet.dts;
    return this.#send(packet);
  }

  /** No packet follows; the ones held back are received next. */
  end(): void {
    this.#state = "ending";
  }

  /** Whether a packet was moved into `packet`. */
  receive(packet: Packet): boolean {
    for (;;) {
      if (this.#state === "ended") return false;
      if (this.#context.receivePacketSync(packet) === 0) {
        if (packet.dts <= this.#lastDts || this.#state === "open") {
          packet.pts = this.#claim(packet);
          return true;
        }
        packet.unref();
        this.#state = "ended";
      } else if (this.#state === "open") {
        return false;
      } else {
        this.#sendAfterEnd();
      }
    }
  }

  /** Frees the filter and what it holds. */
  close(): void {
    for (const packet of this.#head) packet.free();
    this.#context.free();
  }

  /**
   * The last frames' presentation times are the decode times of packets that would follow. So the head of the
   * stream follows, as if it were looped; its packets are known by their times, and not passed on.
   */
  #sendAfterEnd(): void {
    const packet = this.#head.shift();
    if (packet) {
      packet.dts = this.#lastDts + this.#frameNs * BigInt(this.#reorder - this.#head.length);
      this.#send(packet);
      packet.free();
    } else if (this.#state === "ending") {
      this.#context.sendPacketSync(null);
      this.#state = "flushed";
    } else {
      this.#state = "ended";
    }
  }

  /** The filter loses count at some IDR pictures: a packet without a time of its own gets the first free one. */
  #claim({ pts, dts }: Packet): bigint {
    while (this.#free.length > 0 && this.#free[0]! < dts) this.#free.shift();
    const found = this.#free.indexOf(pts);
    return this.#free.splice(Math.max(found, 0), 1)[0] ?? pts;
  }

  #send(packet: Packet): boolean {
    if (this.#sent++ >= this.#reorder) this.#free.push(packet.dts);
    packet.pts = this.#av.AV_NOPTS_VALUE;
    if (this.#context.sendPacketSync(packet) === 0) return true;
    packet.unref();
    return false;
  }
}
